// Package queuetest is the conformance suite of queues. Every engine runs its
// tests of [queue.Queue].
package queuetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
)

// Subject is an engine to test.
type Subject struct {
	// Open returns an empty queue that is closed with t.
	Open func(t *testing.T) Instance
	// Bubble runs every test with the fake time of testing/synctest. An engine
	// that uses the network cannot be tested in it.
	Bubble bool
}

// Instance is one queue with the operations that the tests need.
type Instance struct {
	queue.Queue
	// Advance advances the queue's time by d.
	Advance func(t *testing.T, d time.Duration)
	// Reopen reopens the queue without closing it, as after a crash.
	Reopen func(t *testing.T) Instance
	// StepClock changes the clock that the engine reads.
	StepClock func(t *testing.T, d time.Duration)
	// Corrupt changes a byte of the stored body of an entry.
	Corrupt func(t *testing.T, name, key string)
}

// Times used in all tests. They are so long that none of them expires on a slow
// machine unless a test advances the time.
const (
	lease    = time.Hour
	remember = 24 * time.Hour
	name     = "orders"
)

// Run runs the suite.
func Run(t *testing.T, subject Subject) {
	suites := []map[string]func(*testing.T, Instance){puts, leases, ends, bounds, operating, crashes, agreement}
	for _, suite := range suites {
		for name, test := range suite {
			t.Run(name, func(t *testing.T) {
				if subject.Bubble {
					synctest.Test(t, func(t *testing.T) { test(t, subject.Open(t)) })
					return
				}
				test(t, subject.Open(t))
			})
		}
	}
}

// request is a request with every field set, with values that the encoding must
// preserve.
func request() queue.Request {
	return queue.Request{
		Method: http.MethodPost, OriginalURI: "/webhooks/shopify?x=%2F&x=1", URI: "/shopify", Proto: "HTTP/2.0",
		Host: "hooks.example.com", RemoteAddr: "[2001:db8::1]:4711", TLS: true,
		Header: http.Header{
			"Webhook-Verified-Provider": {"shopify"},
			"X-Repeated":                {"b", "a", "", "b"},
			"X-Bytes":                   {"caf\xe9 \u00fc"},
			"lower-case":                {"kept"},
		},
		Attributes: map[string]string{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	}
}

// bodyOf returns a body whose bytes depend on their position.
func bodyOf(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// newPut returns an entry with a small body.
func newPut(key string) queue.Put {
	body := "body of " + key
	return queue.Put{
		Queue: name, Key: key, Request: request(), Body: strings.NewReader(body), BodySize: int64(len(body)), Remember: remember,
	}
}

func mustPut(t *testing.T, q queue.Queue, put queue.Put) string {
	t.Helper()
	result, err := q.Put(t.Context(), put)
	if err != nil || result.Existing != 0 {
		t.Fatalf("Put(%q) = %+v, %v; want a new entry", put.Key, result, err)
	}
	return result.Key
}

// exists checks that a put changes nothing, because the key exists.
func exists(t *testing.T, q queue.Queue, key string, want queue.State) {
	t.Helper()
	result, err := q.Put(t.Context(), newPut(key))
	if err != nil || result.Existing != want || result.Key != key {
		t.Fatalf("Put(%q) = %+v, %v; want %v", key, result, err, want)
	}
}

// take leases exactly the entries with these keys.
func take(t *testing.T, q queue.Queue, keys ...string) []queue.Lease {
	t.Helper()
	taken, _, err := q.Lease(t.Context(), name, len(keys)+1, lease)
	if err != nil || fmt.Sprint(keysOf(taken)) != fmt.Sprint(keys) {
		t.Fatalf("Lease = %v, %v; want %v", keysOf(taken), err, keys)
	}
	return taken
}

func keysOf(leases []queue.Lease) []string {
	keys := []string{}
	for _, l := range leases {
		keys = append(keys, l.Entry.Key)
	}
	return keys
}

func finish(t *testing.T, q queue.Queue, l queue.Lease, o queue.Outcome) {
	t.Helper()
	if err := q.Finish(t.Context(), l, o); err != nil {
		t.Fatalf("Finish(%q, %+v): %v", l.Entry.Key, o, err)
	}
}

// deliver leases and delivers one entry.
func deliver(t *testing.T, q queue.Queue, key string) {
	t.Helper()
	finish(t, q, take(t, q, key)[0], queue.Outcome{Action: queue.Deliver, Result: queue.Result{Status: 200}})
}

// bury leases one entry and makes it dead.
func bury(t *testing.T, q queue.Queue, key string) {
	t.Helper()
	finish(t, q, take(t, q, key)[0], queue.Outcome{Action: queue.Bury, Result: queue.Result{Status: 410}})
}

func hasState(t *testing.T, q queue.Queue, key string, want queue.State) queue.Entry {
	t.Helper()
	e, err := q.Get(t.Context(), name, key)
	if want == 0 {
		if !errors.Is(err, queue.ErrNotFound) {
			t.Fatalf("Get(%q) = %v, %v; want ErrNotFound", key, e.State, err)
		}
		return e
	}
	if err != nil || e.State != want {
		t.Fatalf("Get(%q) = %v, %v; want %v", key, e.State, err, want)
	}
	return e
}

// counts checks the counts of the queue: waiting, in flight, dead, tombstones.
func counts(t *testing.T, q queue.Queue, waiting, inFlight, dead, tombstones int64) queue.Stats {
	t.Helper()
	s, err := q.Stats(t.Context(), name)
	if err != nil || s.Waiting != waiting || s.InFlight != inFlight || s.Dead != dead || s.Tombstones != tombstones {
		t.Fatalf("Stats = %+v, %v; want %d waiting, %d in flight, %d dead, %d tombstones", s, err, waiting, inFlight, dead, tombstones)
	}
	if waiting+inFlight+dead == 0 && s.Bytes != 0 {
		t.Fatalf("an empty queue has %d bytes", s.Bytes)
	}
	return s
}

func wantError(t *testing.T, doing string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: %v, want %v", doing, err, want)
	}
}

func readBody(t *testing.T, b queue.Body) []byte {
	t.Helper()
	stream, err := b.Open(t.Context())
	if err != nil {
		t.Fatalf("opening a body: %v", err)
	}
	defer stream.Close()
	content, err := io.ReadAll(stream)
	if err != nil {
		t.Fatalf("reading a body: %v", err)
	}
	return content
}

func sameRequest(t *testing.T, got, want queue.Request) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("the request is\n%+v\nwant\n%+v", got, want)
	}
}

func sameBody(t *testing.T, b queue.Body, want []byte) {
	t.Helper()
	if b.Size() != int64(len(want)) {
		t.Fatalf("the body has %d bytes, want %d", b.Size(), len(want))
	}
	for range 2 { // it can be opened again
		if got := readBody(t, b); !bytes.Equal(got, want) {
			t.Fatalf("the body is not what was put: %d bytes of %d", len(got), len(want))
		}
	}
}

// near compares durations with a tolerance for the time that the test takes.
func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if d := got - want; d < -time.Minute || d > time.Minute {
		t.Fatalf("%s is %v, want about %v", what, got, want)
	}
}
