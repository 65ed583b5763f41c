package redis

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

// patience bounds waiting for a server to do what it certainly will.
const patience = 30 * time.Second

// server is a real Redis, or Valkey, on a loopback port of its own.
type server struct {
	t       testing.TB
	address string
	dir     string
	args    []string
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

// freePort returns a port that nobody listens on at this moment.
func freePort(t testing.TB) int {
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

// startServer starts a server with more arguments and waits until it answers.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	port := freePort(t)
	s := &server{t: t, address: "127.0.0.1:" + strconv.Itoa(port), dir: t.TempDir()}
	s.args = append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", s.dir, "--save", "", "--daemonize", "no"}, args...)
	t.Cleanup(s.kill)
	s.start()
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.launch()
	s.await("an answer", func() bool {
		answer := s.do("PING")
		return strings.Contains(answer, "PONG") || strings.Contains(answer, "NOAUTH")
	})
}

// launch starts the process without waiting for it.
func (s *server) launch() {
	s.t.Helper()
	s.output.Reset()
	s.process = exec.Command(binary(s.t), s.args...)
	s.process.Stdout, s.process.Stderr = &s.output, &s.output
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// kill ends the process at once, as a crash would.
func (s *server) kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.process = nil
}

// do sends one command over a connection of its own and returns the reply, or
// the error, as text.
func (s *server) do(command ...string) string {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.address}, ForceSingleClient: true, DisableCache: true})
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

// mustDo is do for a command that answers OK.
func (s *server) mustDo(command ...string) {
	s.t.Helper()
	if got := s.do(command...); !strings.Contains(got, "OK") {
		s.t.Fatalf("%v: %s", command, got)
	}
}

func (s *server) await(what string, done func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for !done() {
		if time.Now().After(deadline) {
			s.t.Fatalf("waiting for %s from %s: nothing in %v; it says: %s", what, s.address, patience, s.output.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *server) url() string { return "redis://" + s.address }

// startCluster starts a Cluster of three nodes.
func startCluster(t *testing.T) []*server {
	t.Helper()
	nodes := make([]*server, 3)
	for i := range nodes {
		nodes[i] = startServer(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000")
		slots := []string{"CLUSTER", "ADDSLOTS"}
		for slot := i * 16384 / len(nodes); slot < (i+1)*16384/len(nodes); slot++ {
			slots = append(slots, strconv.Itoa(slot))
		}
		nodes[i].mustDo(slots...)
		nodes[i].mustDo("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
	}
	for _, node := range nodes[1:] {
		host, port, err := net.SplitHostPort(node.address)
		if err != nil {
			t.Fatal(err)
		}
		nodes[0].mustDo("CLUSTER", "MEET", host, port)
	}
	for _, node := range nodes {
		node.await("a whole cluster", func() bool {
			info := node.do("CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", len(nodes)))
		})
	}
	return nodes
}
