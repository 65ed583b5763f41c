package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

const appReadyWithin = 30 * time.Second

// app is one of the example apps, with the Caddy in front of it. The app runs
// as it is, inside the recorder.
type app struct {
	name   string // of its folder in examples
	folder string // what the recorder shares with us
	site   string // the Caddy in front of it
	github string // webhook secrets
	stripe string

	server *process.Process
	caddy  *sidecar.Sidecar
}

// start starts the app and its Caddy, with the Caddyfile that lies beside it.
func (a *app) start(ctx context.Context, examples, python, caddy string) error {
	if err := os.MkdirAll(a.folder, 0o700); err != nil {
		return err
	}
	address, err := process.FreeAddress()
	if err != nil {
		return err
	}
	listen, err := process.FreeAddress()
	if err != nil {
		return err
	}

	server, err := process.Start(process.Command{
		Path: python,
		Args: serverArgs(a.name, address),
		Env:  pythonEnv(examples, a.name, a.folder),
	})
	if err != nil {
		return err
	}
	a.server = server
	ready, cancel := context.WithTimeout(ctx, appReadyWithin)
	defer cancel()
	if err := server.WaitReady(ready, process.Accepts(address)); err != nil {
		return err
	}

	a.site = "http://" + listen
	a.caddy, err = sidecar.Start(ctx, sidecar.Config{
		Binary:    caddy,
		Caddyfile: filepath.Join(examples, a.name, "Caddyfile"),
		State:     filepath.Join(a.folder, "caddy"),
		Env: []string{
			"SITE=" + a.site,
			"APP=" + address,
			"GITHUB_WEBHOOK_SECRET=" + a.github,
			"STRIPE_WEBHOOK_SECRET=" + a.stripe,
		},
	})
	return err
}

// pythonEnv lets an app be found, inside the recorder.
func pythonEnv(examples, name, folder string) []string {
	return []string{
		"PYTHONPATH=" + filepath.Join(examples, name) + string(os.PathListSeparator) + filepath.Join(examples, "demo"),
		"PYTHONDONTWRITEBYTECODE=1",
		"RECORDER_DIR=" + folder,
	}
}

// serverArgs is how each app is served in production, on two workers: so that a
// replay has a worker that has not seen the delivery before.
func serverArgs(name, address string) []string {
	if strings.HasPrefix(name, "flask") {
		return []string{"-m", "gunicorn", "--workers", "2", "--threads", "4", "--bind", address, "recorder:wsgi()"}
	}
	host, port, _ := net.SplitHostPort(address)
	return []string{"-m", "uvicorn", "--workers", "2", "--host", host, "--port", port, "--no-access-log", "--factory", "recorder:asgi"}
}

// stop ends the app and its Caddy, as far as they were started.
func (a *app) stop() error {
	var errs []error
	if a.caddy != nil {
		errs = append(errs, a.caddy.Stop())
	}
	if a.server != nil {
		errs = append(errs, a.server.Stop())
	}
	return errors.Join(errs...)
}

// failNext makes the app answer 500 to the next request.
func (a *app) failNext() error { return os.WriteFile(filepath.Join(a.folder, "fail"), nil, 0o600) }

// hold makes the app keep its callers waiting until release.
func (a *app) hold() error { return os.WriteFile(filepath.Join(a.folder, "hold"), nil, 0o600) }

func (a *app) release() error {
	if err := os.Remove(filepath.Join(a.folder, "hold")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// request is what reached the app.
type request struct {
	Path    string      `json:"path"`
	Headers [][2]string `json:"headers"` // names in lower case with hyphens, as WSGI cannot tell more
	Body    []byte      `json:"body"`
}

// header returns all values that the app sees under a name, WSGI's comma-joined
// ones as one.
func (r request) header(name string) []string {
	var values []string
	for _, h := range r.Headers {
		if h[0] == strings.ToLower(name) {
			values = append(values, h[1])
		}
	}
	return values
}

// seen returns all requests that reached the app so far, by the mark they carry.
func (a *app) seen() (map[string][]request, error) {
	lines, err := os.ReadFile(filepath.Join(a.folder, "seen"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	byMark := make(map[string][]request)
	scan := bufio.NewScanner(bytes.NewReader(lines))
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		var r request
		if err := json.Unmarshal(scan.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("reading what %s saw: %w", a.name, err)
		}
		mark := strings.Join(r.header(sidecar.Mark), ",")
		byMark[mark] = append(byMark[mark], r)
	}
	return byMark, scan.Err()
}
