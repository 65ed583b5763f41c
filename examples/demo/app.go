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

// app is one of the example apps and the Caddy in front of it. The recorder wraps the
// unchanged app.
type app struct {
	name   string // its folder in examples
	folder string // the recorder's files
	site   string // URL of the Caddy in front of it
	github string // webhook secrets
	stripe string

	server *process.Process
	caddy  *sidecar.Sidecar
}

// start starts the app, and Caddy with the app's Caddyfile.
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

// pythonEnv returns an environment in which Python finds the app and the recorder.
func pythonEnv(examples, name, folder string) []string {
	return []string{
		"PYTHONPATH=" + filepath.Join(examples, name) + string(os.PathListSeparator) + filepath.Join(examples, "demo"),
		"PYTHONDONTWRITEBYTECODE=1",
		"RECORDER_DIR=" + folder,
	}
}

// serverArgs returns the arguments of a production server with two workers, so that a
// replay can reach a worker that has not seen the delivery.
func serverArgs(name, address string) []string {
	if strings.HasPrefix(name, "flask") {
		return []string{"-m", "gunicorn", "--workers", "2", "--threads", "4", "--bind", address, "recorder:wsgi()"}
	}
	host, port, _ := net.SplitHostPort(address)
	return []string{"-m", "uvicorn", "--workers", "2", "--host", host, "--port", port, "--no-access-log", "--factory", "recorder:asgi"}
}

// stop stops the app and its Caddy if they were started.
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

// failNext makes the app respond to the next request with 500.
func (a *app) failNext() error { return os.WriteFile(filepath.Join(a.folder, "fail"), nil, 0o600) }

// hold makes requests wait until release is called.
func (a *app) hold() error { return os.WriteFile(filepath.Join(a.folder, "hold"), nil, 0o600) }

func (a *app) release() error {
	if err := os.Remove(filepath.Join(a.folder, "hold")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// request is a request that reached the app.
type request struct {
	Path    string      `json:"path"`
	Headers [][2]string `json:"headers"` // lower-case names with hyphens: WSGI does not preserve more
	Body    []byte      `json:"body"`
}

// header returns all values of a header. WSGI joins several values with commas.
func (r request) header(name string) []string {
	var values []string
	for _, h := range r.Headers {
		if h[0] == strings.ToLower(name) {
			values = append(values, h[1])
		}
	}
	return values
}

// seen returns all requests that reached the app so far, by their mark.
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
			return nil, fmt.Errorf("reading the requests of %s: %w", a.name, err)
		}
		mark := strings.Join(r.header(sidecar.Mark), ",")
		byMark[mark] = append(byMark[mark], r)
	}
	return byMark, scan.Err()
}
