package faults

import (
	"net"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/redisserver"
)

// redisServer is a real Redis or Valkey server that syncs every write to disk before it
// responds.
type redisServer struct {
	t       *testing.T
	address string
	folder  string
	process *process.Process
}

func startRedis(t *testing.T) *redisServer {
	t.Helper()
	r := &redisServer{t: t, address: process.Address(t), folder: t.TempDir()}
	r.start()
	return r
}

func (r *redisServer) start() {
	r.t.Helper()
	host, port, err := net.SplitHostPort(r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.process = process.Run(r.t, process.Command{
		Path: redisserver.Binary(r.t),
		Args: []string{
			"--bind", host, "--port", port, "--dir", r.folder, "--save", "",
			"--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction",
		},
	}, process.Accepts(r.address))
}

// kill kills the server like a crash.
func (r *redisServer) kill() { r.process.Kill() }

// store returns the arguments of `store` in a Caddyfile.
func (r *redisServer) store() string { return "redis redis://" + r.address + "/0" }
