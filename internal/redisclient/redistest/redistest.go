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

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/redisserver"
)

// Patience is the maximum wait for a server to reach an expected state.
const Patience = 30 * time.Second

// Server is a real Redis or Valkey server on its own loopback port.
type Server struct {
	t       testing.TB
	Address string
	Dir     string
	Args    []string
	process *exec.Cmd
	output  bytes.Buffer
}

// FreePort returns a port on which nothing listens. A Cluster node also needs
// the port 10000 above it. Both are below Linux's range for outgoing
// connections, one of which could otherwise occupy it before the server
// listens.
func FreePort(t testing.TB) int {
	t.Helper()
	for {
		_, text, err := net.SplitHostPort(process.Address(t))
		if err != nil {
			t.Fatal(err)
		}
		port, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		if port+10000 < 32768 && isFree(t, port+10000) {
			return port
		}
	}
}

func isFree(t testing.TB, port int) bool {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	return err == nil && l.Close() == nil
}

// Start starts a server with additional arguments and waits until it responds.
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

// Start starts the process and waits until it responds.
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
	s.process = exec.Command(redisserver.Binary(s.t), s.Args...) //nolint:gosec,noctx // the tests choose the arguments, and Kill ends the process
	s.process.Stdout, s.process.Stderr = &s.output, &s.output
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// Kill ends the process immediately, like a crash.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.process = nil
}

// Do sends one command over a new connection and returns the reply, or the
// error, as text.
func (s *Server) Do(command ...string) string {
	reply, err := s.send(command)
	if err != nil {
		return err.Error()
	}
	return reply.String()
}

// Text sends one command like Do and returns only the reply: a string or a
// number.
func (s *Server) Text(command ...string) string {
	reply, err := s.send(command)
	if err != nil {
		return err.Error()
	}
	value, err := reply.ToAny()
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(value)
}

func (s *Server) send(command []string) (rueidis.RedisMessage, error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.Address}, ForceSingleClient: true, DisableCache: true})
	if err != nil {
		return rueidis.RedisMessage{}, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return client.Do(ctx, client.B().Arbitrary(command...).Build()).ToMessage()
}

// MustDo is Do for a command that must return OK.
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
			s.t.Fatalf("timed out waiting for %s from %s after %v; its output: %s", what, s.Address, Patience, s.output.String())
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
		node.Await("a complete cluster", func() bool {
			info := node.Do("CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", len(nodes)))
		})
	}
	return nodes
}

// AddReplicas adds a replica to each node of a Cluster and waits until all are
// synchronized. The replica of a node has its index.
func AddReplicas(t *testing.T, nodes []*Server) []*Server {
	t.Helper()
	replicas := make([]*Server, len(nodes))
	for i, node := range nodes {
		replicas[i] = Start(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000",
			"--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0")
		host, port, err := net.SplitHostPort(node.Address)
		if err != nil {
			t.Fatal(err)
		}
		replicas[i].MustDo("CLUSTER", "MEET", host, port)
	}
	for i, replica := range replicas {
		id := nodes[i].Text("CLUSTER", "MYID")
		replica.Await("its primary to be known", func() bool { return strings.Contains(replica.Do("CLUSTER", "NODES"), id) })
		replica.MustDo("CLUSTER", "REPLICATE", id)
	}
	for i, replica := range replicas {
		replica.Await("the replica to be synchronized", func() bool {
			return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up")
		})
		nodes[i].Await("all replicas to be known", func() bool {
			info := nodes[i].Text("CLUSTER", "NODES")
			return strings.Count(info, " connected") >= 2*len(nodes) && strings.Count(info, "slave ") == len(nodes)
		})
	}
	return replicas
}

// AwaitReplicated waits until the replica has all writes that its primary has
// acknowledged so far.
func AwaitReplicated(primary, replica *Server) {
	primary.t.Helper()
	written := replicationOffset(primary, "master_repl_offset:")
	replica.Await("the writes to be replicated", func() bool { return replicationOffset(replica, "slave_repl_offset:") >= written })
}

// replicationOffset returns a number from INFO, -1 if it is missing.
func replicationOffset(s *Server, name string) int64 {
	_, after, _ := strings.Cut(s.Text("INFO", "replication"), name)
	digits := after[:len(after)-len(strings.TrimLeft(after, "0123456789"))]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return -1
	}
	return n
}
