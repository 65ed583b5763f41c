package operate

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

// freeAddress returns a loopback address for a server.
func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// startCaddy runs Caddy with a Caddyfile, and stops it with the test.
func startCaddy(t *testing.T, caddyfile string, env ...string) {
	t.Helper()
	s, err := sidecar.Start(t.Context(), sidecar.Config{Binary: caddyBinary, Caddyfile: caddyfile, State: t.TempDir(), Env: env})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(s.Log())
		}
	})
}

// start runs a program until the test ends, and returns when it is ready. stop
// ends it earlier; then all that it has printed has been read.
func start(t *testing.T, c process.Command, ready func(context.Context) error) (stop func() error) {
	t.Helper()
	p, err := process.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceValue(p.Stop)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.WaitReady(ctx, ready); err != nil {
		t.Fatal(err)
	}
	return stop
}

// caddy runs a command of Caddy and returns what it prints.
func caddy(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), caddyBinary, args...).CombinedOutput()
	return string(out), err
}

// deliver has Caddy make deliveries and send them.
func deliver(t *testing.T, provider, secret, url string, more ...string) {
	t.Helper()
	args := append([]string{"verify-webhook", "send", provider, "--secret", secret, "--url", url}, more...)
	if out, err := caddy(t, args...); err != nil {
		t.Fatalf("sending to %s: %v\n%s", url, err, out)
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
