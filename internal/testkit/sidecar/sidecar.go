// Package sidecar runs a real Caddy with the verify_webhook handler and reads
// from its access log the outcome of each delivery.
package sidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
)

// Mark is a request header with which a sender finds its own requests in the access
// log.
const Mark = "X-Case"

const (
	readyWithin  = 30 * time.Second
	reloadWithin = 30 * time.Second
)

// Config is how to run Caddy.
type Config struct {
	Binary    string   // a Caddy with the handler in it
	Caddyfile string   // its path; for outcomes its site needs `log` and `log_append outcome {http.verify_webhook.outcome}`
	State     string   // directory for Caddy's data, instead of the user's
	Env       []string // added to the caller's environment
}

// Sidecar is a running Caddy.
type Sidecar struct {
	config Config
	env    []string
	proc   *process.Process
	access accessLog
}

// Start starts Caddy and returns once it has loaded its config.
func Start(ctx context.Context, c Config) (*Sidecar, error) {
	admin, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	s := &Sidecar{config: c}
	s.access.changed = make(chan struct{})
	s.env = append([]string{
		"CADDY_ADMIN=" + admin,
		"XDG_DATA_HOME=" + filepath.Join(c.State, "data"),
		"XDG_CONFIG_HOME=" + filepath.Join(c.State, "config"),
	}, c.Env...)

	s.proc, err = process.Start(process.Command{
		Path: c.Binary,
		Args: []string{"run", "--config", c.Caddyfile, "--adapter", "caddyfile"},
		Env:  s.env,
		Line: s.access.add,
	})
	if err != nil {
		return nil, err
	}
	ready, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if err := s.proc.WaitReady(ready, configLoaded(admin)); err != nil {
		s.proc.Kill()
		return nil, err
	}
	return s, nil
}

func configLoaded(admin string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/config/apps/http", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("admin API: %s", resp.Status)
		}
		return nil
	}
}

// Reload runs `caddy reload` with the current Caddyfile. The config is loaded even
// if it did not change.
func (s *Sidecar) Reload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reloadWithin)
	defer cancel()
	cmd := s.Command(ctx, "reload", "--force", "--config", s.config.Caddyfile, "--adapter", "caddyfile")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("reloading caddy: %w\n%s", err, out)
	}
	return nil
}

// Command is a command of this Caddy binary, as its operator would run it on the same
// machine.
func (s *Sidecar) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.config.Binary, args...)
	cmd.Env = append(os.Environ(), s.env...)
	return cmd
}

// Stop stops Caddy. A detected data race is an error.
func (s *Sidecar) Stop() error {
	err := s.proc.Stop()
	if strings.Contains(s.Log(), "WARNING: DATA RACE") {
		return errors.Join(err, fmt.Errorf("data race in caddy:\n%s", s.Log()))
	}
	return err
}

// Kill kills Caddy without cleanup.
func (s *Sidecar) Kill() { s.proc.Kill() }

// PID returns the number of Caddy's process.
func (s *Sidecar) PID() int { return s.proc.PID() }

// Log returns the last 64 KiB of Caddy's log.
func (s *Sidecar) Log() string { return s.proc.Output() }

// Access is one line of the access log.
type Access struct {
	Status  int
	Outcome string // empty if the handler did not get the request
}

// Accesses waits until the access log contains n requests with the given Mark and
// returns them. Caddy writes the line after the response, so the sender may be
// earlier.
func (s *Sidecar) Accesses(ctx context.Context, mark string, n int) ([]Access, error) {
	for {
		found, changed := s.access.get(mark)
		if len(found) >= n {
			return found, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return found, fmt.Errorf("%d of %d requests in the access log: %w", len(found), n, ctx.Err())
		}
	}
}

// accessLog collects access log lines by their Mark.
type accessLog struct {
	mu      sync.Mutex
	byMark  map[string][]Access
	changed chan struct{} // closed and replaced with every line
}

func (l *accessLog) add(line []byte) {
	if !bytes.Contains(line, []byte(`"http.log.access`)) {
		return
	}
	var entry struct {
		Request struct {
			Headers http.Header `json:"headers"`
		} `json:"request"`
		Status  int    `json:"status"`
		Outcome string `json:"outcome"`
	}
	if err := json.Unmarshal(line, &entry); err != nil {
		return // other output of Caddy
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byMark == nil {
		l.byMark = make(map[string][]Access)
	}
	mark := entry.Request.Headers.Get(Mark)
	l.byMark[mark] = append(l.byMark[mark], Access{Status: entry.Status, Outcome: entry.Outcome})
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *accessLog) get(mark string) ([]Access, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Access(nil), l.byMark[mark]...), l.changed
}
