// Package redistest starts real Redis or Valkey servers for tests.
package redistest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// Patience bounds waiting for a server to do what it certainly will.
const Patience = 30 * time.Second

// Server is a real Redis, or Valkey, on a loopback port of its own.
type Server struct {
	t       testing.TB
	Address string
	Dir     string
	Args    []string
	process *exec.Cmd
	output  bytes.Buffer
}

// binary returns the server program. Without one there is nothing to test, and
// a test that silently did not run would be worse than one that fails.
func binary(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("these tests need a real server: install redis-server (Debian: apt-get install redis-server) or valkey-server")
	return ""
}

// FreePort returns a port that nobody listens on at this moment.
func FreePort(t testing.TB) int {
	t.Helper()
	for {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if port < 55000 { // a Cluster node also needs the port 10000 above
			return port
		}
	}
}

// Start starts a server with more arguments and waits until it answers.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	port := FreePort(t)
	s := &Server{t: t, Address: "127.0.0.1:" + strconv.Itoa(port), Dir: t.TempDir()}
	s.Args = append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", s.Dir, "--save", "", "--daemonize", "no"}, args...)
	t.Cleanup(s.Kill)
	s.Start()
	return s
}

// StartSentinel starts a Sentinel with a configuration file.
func StartSentinel(t testing.TB, config string) *Server {
	t.Helper()
	port := strconv.Itoa(FreePort(t))
	s := &Server{t: t, Address: "127.0.0.1:" + port, Args: []string{config, "--sentinel", "--port", port, "--bind", "127.0.0.1"}}
	t.Cleanup(s.Kill)
	s.Start()
	return s
}

// Start starts the process and waits until it answers.
func (s *Server) Start() {
	s.t.Helper()
	s.Launch()
	s.Await("an answer", func() bool {
		answer := s.Do("PING")
		return strings.Contains(answer, "PONG") || strings.Contains(answer, "NOAUTH")
	})
}

// Launch starts the process without waiting for it.
func (s *Server) Launch() {
	s.t.Helper()
	s.output.Reset()
	s.process = exec.Command(binary(s.t), s.Args...) //nolint:gosec,noctx // the tests say what to start, and Kill ends it
	s.process.Stdout, s.process.Stderr = &s.output, &s.output
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// Kill ends the process at once, as a crash would.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.process = nil
}

// Do sends one command over a connection of its own and returns the reply, or
// the error, as text.
func (s *Server) Do(command ...string) string {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.Address}, ForceSingleClient: true, DisableCache: true})
	if err != nil {
		return err.Error()
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	reply, err := client.Do(ctx, client.B().Arbitrary(command...).Build()).ToMessage()
	if err != nil {
		return err.Error()
	}
	return reply.String()
}

// MustDo is do for a command that answers OK.
func (s *Server) MustDo(command ...string) {
	s.t.Helper()
	if got := s.Do(command...); !strings.Contains(got, "OK") {
		s.t.Fatalf("%v: %s", command, got)
	}
}

// Await waits until done returns true.
func (s *Server) Await(what string, done func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(Patience)
	for !done() {
		if time.Now().After(deadline) {
			s.t.Fatalf("waiting for %s from %s: nothing in %v; it says: %s", what, s.Address, Patience, s.output.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// URL returns the URL of the server.
func (s *Server) URL() string { return "redis://" + s.Address }

// StartCluster starts a Cluster of three nodes.
func StartCluster(t *testing.T) []*Server {
	t.Helper()
	nodes := make([]*Server, 3)
	for i := range nodes {
		nodes[i] = Start(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000")
		slots := []string{"CLUSTER", "ADDSLOTS"}
		for slot := i * 16384 / len(nodes); slot < (i+1)*16384/len(nodes); slot++ {
			slots = append(slots, strconv.Itoa(slot))
		}
		nodes[i].MustDo(slots...)
		nodes[i].MustDo("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
	}
	for _, node := range nodes[1:] {
		host, port, err := net.SplitHostPort(node.Address)
		if err != nil {
			t.Fatal(err)
		}
		nodes[0].MustDo("CLUSTER", "MEET", host, port)
	}
	for _, node := range nodes {
		node.Await("a whole cluster", func() bool {
			info := node.Do("CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", len(nodes)))
		})
	}
	return nodes
}
