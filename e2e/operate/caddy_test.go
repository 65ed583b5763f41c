// Package operate tests the tools for operators: the dashboard and alerts with a real
// Prometheus, the commands that query a running Caddy, and the example apps that
// need more than Go or Python.
package operate

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/e2e/prepared"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

// startCaddy runs Caddy with a Caddyfile until the test ends.
func startCaddy(t *testing.T, caddyfile string, env ...string) {
	t.Helper()
	sidecar.Run(t, sidecar.Config{Binary: prepared.Caddy(t), Caddyfile: caddyfile, State: t.TempDir(), Env: env})
}

// caddy runs a command of Caddy and returns its output.
func caddy(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), prepared.Caddy(t), args...).CombinedOutput()
	return string(out), err
}

// deliver sends deliveries with `caddy verify-webhook send`.
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
