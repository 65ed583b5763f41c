// Package redisserver runs a real Redis or Valkey for tests.
package redisserver

import (
	"net"
	"os/exec"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
)

// Start runs a server with a password, and returns its address. The server stops at
// the end of the test.
func Start(t testing.TB, password string) string {
	t.Helper()
	name := "redis-server"
	if _, err := exec.LookPath(name); err != nil {
		name = "valkey-server"
	}
	if _, err := exec.LookPath(name); err != nil {
		t.Fatal("these tests need a real server: install redis-server or valkey-server")
	}
	address := process.Address(t)
	_, port, _ := net.SplitHostPort(address)
	process.Run(t, process.Command{
		Path: name,
		Args: []string{"--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--save", "", "--requirepass", password},
	}, process.Accepts(address))
	return address
}
