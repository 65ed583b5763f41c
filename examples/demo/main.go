// Command demo runs the Flask and the FastAPI example, each behind Caddy, and a
// Caddy that relays to one of them, as to an app on a laptop. It plays GitHub and Stripe: it sends genuine, altered, forged, stale and replayed
// deliveries, and compares what the provider got, what the app saw and which
// outcome Caddy logged with what should have come of each.
//
// It exits with 0 if, and only if, everything was as it should be.
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

// demoWithin bounds the whole demo but for building and installing.
const demoWithin = 3 * time.Minute

// errNotAsItShouldBe says that the table, already printed, has the reason.
var errNotAsItShouldBe = errors.New("not everything was as it should be")

func main() {
	var o options
	flag.StringVar(&o.caddy, "caddy", "", "a `path` to Caddy with verify_webhook (default: built from this checkout)")
	flag.StringVar(&o.python, "python", "", "a `path` to a Python with the apps' requirements (default: .venv, prepared if need be)")
	flag.BoolVar(&o.keep, "run", false, "send nothing: keep everything running and print lines to try by hand")
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

// examplesFolder finds the examples from the repository's root.
func examplesFolder() (string, error) {
	folder, err := filepath.Abs("examples")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(folder, "flask", "app.py")); err != nil {
		return "", fmt.Errorf("looking for the examples: %w; run this from the root of the repository", err)
	}
	return folder, nil
}

// prepared makes what the command line did not name.
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
