// Command demo runs the Flask and FastAPI examples behind Caddy, one of them also behind
// a queue and a relay. It sends genuine, altered, forged, stale and replayed deliveries of
// GitHub and Stripe, and compares the response, the request that reached the app and the
// logged outcome with the expected ones.
//
// It exits with 0 if all of them match.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

// demoWithin is the time limit of the demo, without building and installing.
const demoWithin = 3 * time.Minute

// errUnexpected reports failed rows. Their problems are already printed.
var errUnexpected = errors.New("unexpected results: see above")

func main() {
	var o options
	flag.StringVar(&o.caddy, "caddy", "", "`path` of Caddy with verify_webhook (default: build it from this checkout)")
	flag.StringVar(&o.python, "python", "", "`path` of a Python with the apps' requirements (default: .venv, created if missing)")
	flag.BoolVar(&o.keep, "run", false, "keep the apps running and print commands to try by hand")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := demo(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

type options struct {
	caddy  string
	python string
	keep   bool
}

func demo(ctx context.Context, o options) (err error) {
	examples, err := examplesFolder()
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "verify-webhook-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()

	if o, err = o.prepared(ctx, examples, work); err != nil {
		return err
	}
	apps := []*app{
		{name: "flask", github: "flask-github-secret", stripe: "whsec_flask-stripe-secret"},
		{name: "fastapi", github: "fastapi-github-secret", stripe: "whsec_fastapi-stripe-secret"},
	}
	for _, a := range apps {
		a.folder = filepath.Join(work, a.name)
		defer func() { err = errors.Join(err, a.stop()) }()
		if err := a.start(ctx, examples, o.python, o.caddy); err != nil {
			return fmt.Errorf("starting the %s example: %w", a.name, err)
		}
	}

	if o.keep {
		printLinesToTry(os.Stdout, apps)
		<-ctx.Done()
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, demoWithin)
	defer cancel()
	onTheInternet, err := startRelay(ctx, examples, work, o.caddy, apps[0])
	defer func() { err = errors.Join(err, onTheInternet.stop()) }()
	if err != nil {
		return fmt.Errorf("starting the relay: %w", err)
	}
	queue, err := startQueued(ctx, examples, work, o.python, o.caddy)
	defer func() { err = errors.Join(err, queue.stop()) }()
	if err != nil {
		return fmt.Errorf("starting the queue: %w", err)
	}
	return sendAll(ctx, os.Stdout, apps, queue, &onTheInternet.app)
}

// examplesFolder returns the path of the examples.
func examplesFolder() (string, error) {
	folder, err := filepath.Abs("examples")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(folder, "flask", "app.py")); err != nil {
		return "", fmt.Errorf("finding the examples: %w: run this command in the root of the repository", err)
	}
	return folder, nil
}

// prepared builds Caddy and installs Python packages unless flags set their paths.
func (o options) prepared(ctx context.Context, examples, work string) (options, error) {
	if o.caddy == "" {
		o.caddy = filepath.Join(work, "bin", "caddy")
		if err := sidecar.Build(ctx, filepath.Dir(examples), o.caddy, false); err != nil {
			return o, err
		}
	}
	if o.python == "" {
		o.python = filepath.Join(filepath.Dir(examples), ".venv", "bin", "python")
		prepare := exec.CommandContext(ctx, filepath.Join(examples, "python-env.sh"))
		prepare.Stdout, prepare.Stderr = os.Stderr, os.Stderr
		if err := prepare.Run(); err != nil {
			return o, fmt.Errorf("preparing Python: %w", err)
		}
	}
	return o, nil
}
