package queuetest

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
)

var puts = map[string]func(*testing.T, Instance){
	"an entry is returned as it was put": func(t *testing.T, q Instance) {
		put := newPut("k")
		put.Accepted = time.UnixMilli(1_790_000_000_123)
		mustPut(t, q, put)
		e := hasState(t, q, "k", queue.Waiting)
		sameRequest(t, e.Request, request())
		l := take(t, q, "k")[0]
		sameRequest(t, l.Entry.Request, request())
		sameBody(t, l.Body, []byte("body of k"))
		if !l.Entry.Accepted.Equal(put.Accepted) || l.Entry.State != queue.InFlight || l.Entry.Attempts != 0 || l.Entry.Queue != name || l.Entry.BodySize != 9 {
			t.Errorf("the entry is %+v", l.Entry)
		}
	},
	"an empty request": func(t *testing.T, q Instance) {
		mustPut(t, q, queue.Put{Queue: name, Key: "k"})
		l := take(t, q, "k")[0]
		if l.Entry.Request.Method != "" || len(l.Entry.Request.Header) != 0 || l.Entry.Accepted.IsZero() {
			t.Errorf("the entry is %+v", l.Entry)
		}
		sameBody(t, l.Body, nil)
	},
	"bodies of every size": func(t *testing.T, q Instance) {
		for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, 1<<20 + 1, 5 << 20} {
			key, body := strconv.Itoa(size), bodyOf(size)
			put := newPut(key)
			put.Body, put.BodySize = iotest.HalfReader(bytes.NewReader(body)), int64(size)
			mustPut(t, q, put)
			l := take(t, q, key)[0]
			sameBody(t, l.Body, body)
			b, err := q.Body(t.Context(), name, key)
			if err != nil {
				t.Fatal(err)
			}
			sameBody(t, b, body)
			finish(t, q, l, queue.Outcome{Action: queue.Deliver})
			if _, err := q.Body(t.Context(), name, key); !errors.Is(err, queue.ErrNotFound) {
				t.Fatalf("Body of a delivered entry: %v, want ErrNotFound", err)
			}
		}
		counts(t, q, 0, 0, 0, 8)
	},
	"a body whose size differs from BodySize is rejected": func(t *testing.T, q Instance) {
		for _, size := range []int{10, 200 << 10, 3 << 20} {
			for _, off := range []int64{-1, 1} {
				put := newPut("k")
				put.Body, put.BodySize = bytes.NewReader(bodyOf(size)), int64(size)+off
				_, err := q.Put(t.Context(), put)
				wantError(t, "Put", err, queue.ErrInvalid)
			}
			put := newPut("k")
			put.Body, put.BodySize = io.MultiReader(bytes.NewReader(bodyOf(size)), iotest.ErrReader(io.ErrClosedPipe)), int64(size)+1
			_, err := q.Put(t.Context(), put)
			wantError(t, "Put", err, io.ErrClosedPipe)
		}
		hasState(t, q, "k", 0)
		counts(t, q, 0, 0, 0, 0)
	},
	"invalid entries are rejected": func(t *testing.T, q Instance) {
		for what, change := range map[string]func(*queue.Put){
			"no name":             func(p *queue.Put) { p.Queue = "" },
			"a long name":         func(p *queue.Put) { p.Queue = strings.Repeat("n", queue.MaxNameLength+1) },
			"a long key":          func(p *queue.Put) { p.Key = strings.Repeat("k", queue.MaxKeyLength+1) },
			"a negative size":     func(p *queue.Put) { p.BodySize = -1 },
			"no body":             func(p *queue.Put) { p.Body = nil },
			"a request too large": func(p *queue.Put) { p.Request.URI = strings.Repeat("/", queue.MaxRequestSize) },
		} {
			put := newPut("k")
			change(&put)
			if _, err := q.Put(t.Context(), put); !errors.Is(err, queue.ErrInvalid) {
				t.Errorf("%s: %v, want ErrInvalid", what, err)
			}
		}
		names, err := q.Names(t.Context())
		if err != nil || len(names) != 0 {
			t.Errorf("Names = %q, %v", names, err)
		}
	},
	"the longest name and key, and any byte in them": func(t *testing.T, q Instance) {
		put := newPut(strings.Repeat("k\x00{}\xff:", queue.MaxKeyLength)[:queue.MaxKeyLength])
		put.Queue = strings.Repeat("a{b}\n:", queue.MaxNameLength)[:queue.MaxNameLength]
		mustPut(t, q, put)
		e, err := q.Get(t.Context(), put.Queue, put.Key)
		if err != nil || e.State != queue.Waiting {
			t.Fatalf("Get = %+v, %v", e, err)
		}
		if names, err := q.Names(t.Context()); err != nil || len(names) != 1 || names[0] != put.Queue {
			t.Errorf("Names = %q, %v", names, err)
		}
	},
	"a put without a key gets a random key": func(t *testing.T, q Instance) {
		a, b := mustPut(t, q, newPut("")), mustPut(t, q, newPut(""))
		if a == b || len(a) != 22 {
			t.Errorf("keys %q and %q", a, b)
		}
		hasState(t, q, a, queue.Waiting)
		counts(t, q, 2, 0, 0, 0)
	},
	"a put of an existing key changes nothing in any state": func(t *testing.T, q Instance) {
		mustPut(t, q, newPut("k"))
		exists(t, q, "k", queue.Waiting)
		l := take(t, q, "k")[0]
		exists(t, q, "k", queue.InFlight)
		finish(t, q, l, queue.Outcome{Action: queue.Retry})
		exists(t, q, "k", queue.Waiting)
		bury(t, q, "k")
		exists(t, q, "k", queue.Dead)
		counts(t, q, 0, 0, 1, 0)
		if n, err := q.Retry(t.Context(), name, []string{"k"}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		deliver(t, q, "k")
		exists(t, q, "k", queue.Delivered)
		mustPut(t, q, newPut("other"))
		if n, err := q.Discard(t.Context(), name, []string{"other"}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		exists(t, q, "other", queue.Discarded)
		counts(t, q, 0, 0, 0, 2)
		take(t, q)
	},
	"the same key in another queue is another entry": func(t *testing.T, q Instance) {
		mustPut(t, q, newPut("k"))
		put := newPut("k")
		put.Queue = "other"
		mustPut(t, q, put)
		deliver(t, q, "k")
		if e, err := q.Get(t.Context(), "other", "k"); err != nil || e.State != queue.Waiting {
			t.Errorf("Get = %v, %v", e.State, err)
		}
	},
	"one of many concurrent puts of a key is stored": func(t *testing.T, q Instance) {
		var all sync.WaitGroup
		results := make([]queue.PutResult, 20)
		for i := range results {
			all.Go(func() {
				var err error
				if results[i], err = q.Put(t.Context(), newPut("k")); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		stored := 0
		for _, r := range results {
			if r.Existing == 0 {
				stored++
			}
		}
		if stored != 1 {
			t.Errorf("%d of the puts report that they stored the entry", stored)
		}
		counts(t, q, 1, 0, 0, 0)
	},
	"the tombstone of a delivered entry is kept for Remember after the put": func(t *testing.T, q Instance) {
		for _, c := range []struct {
			state  queue.State
			finish queue.Action
		}{{queue.Delivered, queue.Deliver}, {queue.Discarded, queue.Discard}} {
			mustPut(t, q, newPut("k"))
			q.Advance(t, remember/2)
			finish(t, q, take(t, q, "k")[0], queue.Outcome{Action: c.finish, Result: queue.Result{Status: 204, At: time.UnixMilli(5000)}})
			q.Advance(t, remember/2-time.Minute)
			exists(t, q, "k", c.state)
			e := hasState(t, q, "k", c.state)
			if e.Attempts != 1 || e.Last.Status != 204 || !e.Last.At.Equal(time.UnixMilli(5000)) {
				t.Errorf("the tombstone is %+v", e)
			}
			q.Advance(t, 2*time.Minute)
			if _, err := q.Expire(t.Context(), name, time.Hour); err != nil {
				t.Fatal(err)
			}
			counts(t, q, 0, 0, 0, 0)
			mustPut(t, q, newPut("k"))
			deliver(t, q, "k")
			q.Advance(t, remember+time.Minute)
			mustPut(t, q, newPut("k")) // without Expire
			finish(t, q, take(t, q, "k")[0], queue.Outcome{Action: c.finish})
			q.Advance(t, remember+time.Minute)
			if _, err := q.Expire(t.Context(), name, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
	},
	"an entry that is delivered after Remember leaves no tombstone": func(t *testing.T, q Instance) {
		mustPut(t, q, newPut("k"))
		q.Advance(t, remember+time.Minute)
		exists(t, q, "k", queue.Waiting)
		deliver(t, q, "k")
		hasState(t, q, "k", 0)
		counts(t, q, 0, 0, 0, 0)
	},
	"forget removes tombstones only": func(t *testing.T, q Instance) {
		mustPut(t, q, newPut("delivered"))
		deliver(t, q, "delivered")
		mustPut(t, q, newPut("waiting"))
		if n, err := q.Forget(t.Context(), name, []string{"delivered", "waiting", "unknown"}); n != 1 || err != nil {
			t.Fatalf("Forget = %d, %v", n, err)
		}
		counts(t, q, 1, 0, 0, 0)
		mustPut(t, q, newPut("delivered"))
	},
}
