// Package redisserver runs a real Redis or Valkey for tests.
package redisserver

import (
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
)

// Variable names the environment variable with the path of the server program to
// test with, where it is not the one that is installed.
const Variable = "REDIS_SERVER"

// Binary returns the path of the server program. Without one there is nothing to
// test, and a test that silently did not run would be worse than one that fails.
func Binary(t testing.TB) string {
	t.Helper()
	names := []string{"redis-server", "valkey-server"}
	if chosen := os.Getenv(Variable); chosen != "" {
		names = []string{chosen}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("these tests need a real server, and there is no %s: install redis-server (Debian: apt-get install redis-server) or valkey-server, or set %s to the path of one", names[0], Variable)
	return ""
}

// Start runs a server that asks for a password, and returns its address. The
// server ends with the test.
func Start(t testing.TB, password string) string {
	t.Helper()
	address := process.Address(t)
	_, port, _ := net.SplitHostPort(address)
	process.Run(t, process.Command{
		Path: Binary(t),
		Args: []string{"--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--save", "", "--requirepass", password},
	}, process.Accepts(address))
	return address
}
