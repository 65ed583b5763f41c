package queuetest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
)

func full(t *testing.T, q queue.Queue, put queue.Put, what string) {
	t.Helper()
	_, err := q.Put(t.Context(), put)
	if full, ok := errors.AsType[*queue.FullError](err); !ok || full.What != what || !errors.Is(err, queue.ErrFull) {
		t.Fatalf("Put = %v, want one that says %s", err, what)
	}
}

var bounds = map[string]func(*testing.T, Instance){
	"the number of entries is limited": func(t *testing.T, q Instance) {
		limited := func(key string) queue.Put {
			put := newPut(key)
			put.Limits.MaxEntries = 3
			return put
		}
		mustPut(t, q, limited("dead"))
		bury(t, q, "dead")
		mustPut(t, q, limited("in flight"))
		l := take(t, q, "in flight")[0]
		mustPut(t, q, limited("waiting"))
		full(t, q, limited("more"), queue.FullEntries)
		result, err := q.Put(t.Context(), limited("waiting")) // the key exists
		if err != nil || result.Existing != queue.Waiting {
			t.Fatalf("Put of an existing key = %+v, %v", result, err)
		}
		finish(t, q, l, queue.Outcome{Action: queue.Deliver})
		mustPut(t, q, limited("more"))
		full(t, q, limited("one more"), queue.FullEntries)
		other := limited("more")
		other.Queue = "other" // has its own limits
		mustPut(t, q, other)
		mustPut(t, q, newPut("without a limit"))
	},
	"the number of bytes is limited": func(t *testing.T, q Instance) {
		limited := func(key string, size int) queue.Put {
			put := newPut(key)
			put.Body, put.BodySize = bytes.NewReader(bodyOf(size)), int64(size)
			put.Limits.MaxBytes = 2_200_000
			return put
		}
		mustPut(t, q, limited("big", 2_000_000))
		mustPut(t, q, limited("small", 50_000))
		if s := counts(t, q, 2, 0, 0, 0); s.Bytes < 2_050_000 || s.Bytes > 2_060_000 {
			t.Errorf("%d bytes", s.Bytes)
		}
		full(t, q, limited("more", 200_000), queue.FullBytes)
		full(t, q, limited("big too", 2_000_000), queue.FullBytes)
		for _, l := range takeAll(t, q, 2) {
			finish(t, q, l, queue.Outcome{Action: queue.Deliver})
		}
		counts(t, q, 0, 0, 0, 2)
		mustPut(t, q, limited("more", 200_000))
	},
	"tombstones are limited: the oldest are removed": func(t *testing.T, q Instance) {
		for n := range 5 {
			put := newPut(strconv.Itoa(n))
			put.Limits.MaxTombstones = 3
			mustPut(t, q, put)
			deliver(t, q, strconv.Itoa(n))
			q.Advance(t, time.Minute)
		}
		counts(t, q, 0, 0, 0, 3)
		hasState(t, q, "0", 0)
		hasState(t, q, "1", 0)
		hasState(t, q, "2", queue.Delivered)
	},
	"dead entries are removed after their retention": func(t *testing.T, q Instance) {
		const keep = 30 * 24 * time.Hour
		put := newPut("big")
		put.Body, put.BodySize = bytes.NewReader(bodyOf(1<<20)), 1<<20
		mustPut(t, q, put)
		bury(t, q, "big")
		q.Advance(t, time.Hour)
		mustPut(t, q, newPut("later"))
		bury(t, q, "later")
		mustPut(t, q, newPut("waiting"))
		q.Advance(t, keep-30*time.Minute)
		if more, err := q.Expire(t.Context(), name, keep); more || err != nil {
			t.Fatal(more, err)
		}
		counts(t, q, 1, 0, 1, 0)
		hasState(t, q, "big", 0)
		mustPut(t, q, newPut("big"))
		q.Advance(t, time.Hour)
		if _, err := q.Expire(t.Context(), name, keep); err != nil {
			t.Fatal(err)
		}
		counts(t, q, 2, 0, 0, 0)
	},
	"Expire is limited and reports whether there is more": func(t *testing.T, q Instance) {
		const n = 1200
		for range n {
			mustPut(t, q, newPut(""))
		}
		for taken := takeAll(t, q, n); len(taken) > 0; taken = takeAll(t, q, n) {
			for i, l := range taken {
				action := queue.Deliver
				if i%2 == 0 {
					action = queue.Bury
				}
				finish(t, q, l, queue.Outcome{Action: action})
			}
		}
		q.Advance(t, remember+time.Hour)
		calls := 0
		for more := true; more; calls++ {
			var err error
			if more, err = q.Expire(t.Context(), name, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		counts(t, q, 0, 0, 0, 0)
		if calls < 2 || calls > 20 {
			t.Errorf("%d calls", calls)
		}
		if names, err := q.Names(t.Context()); err != nil || len(names) != 0 {
			t.Errorf("Names = %q, %v", names, err)
		}
	},
}

func list(t *testing.T, q queue.Queue, f queue.Filter) (keys []string) {
	t.Helper()
	f.Queue = name
	for {
		page, err := q.List(t.Context(), f)
		if err != nil {
			t.Fatalf("List(%+v): %v", f, err)
		}
		for _, e := range page.Entries {
			keys = append(keys, e.Key)
		}
		if page.Next == "" {
			return keys
		}
		f.After = page.Next
	}
}

var operating = map[string]func(*testing.T, Instance){
	"lists": func(t *testing.T, q Instance) {
		for _, key := range []string{"1", "2", "3", "4", "5", "6", "gone"} {
			mustPut(t, q, newPut(key))
			q.Advance(t, time.Hour)
		}
		for _, l := range takeAll(t, q, 7) {
			key := l.Entry.Key
			var o queue.Outcome
			switch key {
			case "1":
				o = queue.Outcome{Action: queue.Bury, Result: queue.Result{Status: 410}}
			case "3":
				o = queue.Outcome{Action: queue.Retry, Result: queue.Result{Status: 500}}
			case "4":
				o = queue.Outcome{Action: queue.Bury, Result: queue.Result{Error: "timeout"}}
			case "5":
				continue // in flight
			case "gone":
				o = queue.Outcome{Action: queue.Deliver}
			default:
				o = queue.Outcome{Action: queue.PutBack}
			}
			finish(t, q, l, o)
		}
		for _, c := range []struct {
			what   string
			filter queue.Filter
			want   []string
		}{
			{"all", queue.Filter{}, []string{"1", "2", "3", "4", "5", "6"}},
			{"newest first", queue.Filter{NewestFirst: true}, []string{"6", "5", "4", "3", "2", "1"}},
			{"waiting", queue.Filter{State: queue.Waiting}, []string{"2", "3", "6"}},
			{"in flight", queue.Filter{State: queue.InFlight}, []string{"5"}},
			{"dead", queue.Filter{State: queue.Dead}, []string{"1", "4"}},
			{"dead, newest first", queue.Filter{State: queue.Dead, NewestFirst: true}, []string{"4", "1"}},
			{"status", queue.Filter{Status: 410}, []string{"1"}},
			{"another state with that status", queue.Filter{Status: 410, State: queue.Waiting}, nil},
			{"no response", queue.Filter{Status: queue.NoResponse}, []string{"4"}},
			{"old", queue.Filter{MinAge: 5*time.Hour + 30*time.Minute}, []string{"1", "2"}},
			{"young", queue.Filter{MaxAge: 2*time.Hour + 30*time.Minute}, []string{"6"}},
			{"between", queue.Filter{MinAge: 2*time.Hour + 30*time.Minute, MaxAge: 4*time.Hour + 30*time.Minute}, []string{"4", "5"}},
		} {
			for _, limit := range []int{0, 1, 2} {
				c.filter.Limit = limit
				if got := list(t, q, c.filter); !slices.Equal(got, c.want) {
					t.Errorf("%s, %d a page: %q, want %q", c.what, limit, got, c.want)
				}
			}
		}
	},
	"a listed entry has everything but its request": func(t *testing.T, q Instance) {
		mustPut(t, q, newPut("k"))
		finish(t, q, take(t, q, "k")[0], queue.Outcome{Action: queue.Retry, Delay: time.Hour, Result: queue.Result{Status: 500, Error: "no"}})
		page, err := q.List(t.Context(), queue.Filter{Queue: name})
		if err != nil || len(page.Entries) != 1 || page.Next != "" {
			t.Fatalf("List = %+v, %v", page, err)
		}
		e := page.Entries[0]
		near(t, "DueIn", e.DueIn, time.Hour)
		if e.Queue != name || e.Request.Method != "" || e.BodySize != 9 || e.Attempts != 1 || e.Last.Status != 500 || e.Last.Error != "no" {
			t.Errorf("the entry is %+v", e)
		}
	},
	"invalid filters": func(t *testing.T, q Instance) {
		for _, f := range []queue.Filter{{}, {Queue: name, State: queue.Delivered}, {Queue: name, State: queue.Discarded}, {Queue: name, After: "!"}} {
			_, err := q.List(t.Context(), f)
			wantError(t, "List", err, queue.ErrInvalid)
		}
		if page, err := q.List(t.Context(), queue.Filter{Queue: "unknown"}); err != nil || len(page.Entries) != 0 || page.Next != "" {
			t.Errorf("List of an unknown queue = %+v, %v", page, err)
		}
	},
	"retry makes entries due and restarts their schedule": func(t *testing.T, q Instance) {
		mustPut(t, q, newPut("dead"))
		bury(t, q, "dead")
		put := newPut("later")
		put.Delay = 1000 * time.Hour
		mustPut(t, q, put)
		mustPut(t, q, newPut("in flight"))
		take(t, q, "in flight")
		mustPut(t, q, newPut("delivered"))
		deliver(t, q, "delivered")
		q.Advance(t, 30*time.Minute)
		n, err := q.Retry(t.Context(), name, []string{"dead", "later", "in flight", "delivered", "unknown"})
		if n != 2 || err != nil {
			t.Fatalf("Retry = %d, %v; want 2", n, err)
		}
		for _, l := range takeAll(t, q, 10) {
			e := l.Entry
			near(t, "RetryAge", e.RetryAge, 0)
			near(t, "Age", e.Age, 30*time.Minute)
			if e.Failures != 0 || (e.Key == "dead") != (e.Attempts == 1) {
				t.Errorf("the entry is %+v", e)
			}
			sameBody(t, l.Body, []byte("body of "+e.Key))
		}
		counts(t, q, 0, 3, 0, 1)
	},
	"discard removes entries that are dead or waiting": func(t *testing.T, q Instance) {
		for _, key := range []string{"dead", "in flight", "waiting"} {
			mustPut(t, q, newPut(key))
			switch key {
			case "dead":
				bury(t, q, key)
			case "in flight":
				take(t, q, key)
			}
		}
		n, err := q.Discard(t.Context(), name, []string{"dead", "in flight", "waiting", "unknown"})
		if n != 2 || err != nil {
			t.Fatalf("Discard = %d, %v; want 2", n, err)
		}
		counts(t, q, 0, 1, 0, 2)
		hasState(t, q, "dead", queue.Discarded)
		if n, err := q.Retry(t.Context(), name, []string{"dead", "waiting"}); n != 0 || err != nil {
			t.Errorf("Retry of discarded entries = %d, %v", n, err)
		}
	},
	"too many keys in one call": func(t *testing.T, q Instance) {
		for _, do := range []func() (int, error){
			func() (int, error) { return q.Retry(t.Context(), name, make([]string, queue.MaxKeys+1)) },
			func() (int, error) { return q.Discard(t.Context(), name, make([]string, queue.MaxKeys+1)) },
			func() (int, error) { return q.Forget(t.Context(), name, make([]string, queue.MaxKeys+1)) },
		} {
			_, err := do()
			wantError(t, "too many keys", err, queue.ErrInvalid)
		}
	},
	"a paused queue accepts entries and leases none": func(t *testing.T, q Instance) {
		mustPut(t, q, newPut("in flight"))
		l := take(t, q, "in flight")[0]
		if err := q.SetPaused(t.Context(), name, true); err != nil {
			t.Fatal(err)
		}
		mustPut(t, q, newPut("k"))
		take(t, q)
		if next := nextDue(t, q); next >= 0 {
			t.Errorf("next is %v", next)
		}
		finish(t, q, l, queue.Outcome{Action: queue.Deliver})
		if !counts(t, q, 1, 0, 0, 1).Paused {
			t.Error("Stats do not report that it is paused")
		}
		if err := q.SetPaused(t.Context(), name, false); err != nil {
			t.Fatal(err)
		}
		take(t, q, "k")
	},
	"a queue can be paused before it has an entry": func(t *testing.T, q Instance) {
		if err := q.SetPaused(t.Context(), "new", true); err != nil {
			t.Fatal(err)
		}
		if names, err := q.Names(t.Context()); err != nil || !slices.Equal(names, []string{"new"}) {
			t.Errorf("Names = %q, %v", names, err)
		}
		if err := q.SetPaused(t.Context(), "new", false); err != nil {
			t.Fatal(err)
		}
		if names, err := q.Names(t.Context()); err != nil || len(names) != 0 {
			t.Errorf("Names = %q, %v", names, err)
		}
	},
	"the names of all queues, and the age of the oldest entry": func(t *testing.T, q Instance) {
		for _, n := range []string{"b", "a", "c"} {
			put := newPut("k")
			put.Queue = n
			mustPut(t, q, put)
			q.Advance(t, 10*time.Minute)
		}
		if names, err := q.Names(t.Context()); err != nil || !slices.Equal(names, []string{"a", "b", "c"}) {
			t.Errorf("Names = %q, %v", names, err)
		}
		for n, want := range map[string]time.Duration{"b": 30 * time.Minute, "a": 20 * time.Minute, "unknown": 0} {
			s, err := q.Stats(t.Context(), n)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "OldestWaiting of "+n, s.OldestWaiting, want)
		}
		mustPut(t, q, newPut("old"))
		old := take(t, q, "old")[0]
		q.Advance(t, 30*time.Minute)
		mustPut(t, q, newPut("new"))
		finish(t, q, old, queue.Outcome{Action: queue.Bury})
		s, err := q.Stats(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "OldestWaiting without the dead", s.OldestWaiting, 0)
	},
	"unknown names and keys": func(t *testing.T, q Instance) {
		hasState(t, q, "unknown", 0)
		_, err := q.Body(t.Context(), name, "unknown")
		wantError(t, "Body", err, queue.ErrNotFound)
		counts(t, q, 0, 0, 0, 0)
		for _, do := range []func(queue.Queue) (int, error){
			func(q queue.Queue) (int, error) { return q.Retry(t.Context(), name, []string{"unknown"}) },
			func(q queue.Queue) (int, error) { return q.Discard(t.Context(), name, []string{"unknown"}) },
			func(q queue.Queue) (int, error) { return q.Forget(t.Context(), name, []string{"unknown"}) },
		} {
			if n, err := do(q); n != 0 || err != nil {
				t.Errorf("%d, %v; want none", n, err)
			}
		}
		if more, err := q.Expire(t.Context(), name, time.Hour); more || err != nil {
			t.Errorf("Expire = %v, %v", more, err)
		}
		take(t, q)
	},
	"a body that was changed is an error": func(t *testing.T, q Instance) {
		for _, size := range []int{100, 3 << 20} {
			put := newPut("")
			put.Body, put.BodySize = bytes.NewReader(bodyOf(size)), int64(size)
			key := mustPut(t, q, put)
			q.Corrupt(t, name, key)
			body, err := q.Body(t.Context(), name, key)
			if err == nil {
				var stream io.ReadCloser
				if stream, err = body.Open(t.Context()); err == nil {
					_, err = io.Copy(io.Discard, stream)
					_ = stream.Close()
				}
			}
			wantError(t, "reading a damaged body", err, queue.ErrDamaged)
			if n, err := q.Discard(t.Context(), name, []string{key}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
	},
	"an entry with a damaged small body is dead and does not block the others": func(t *testing.T, q Instance) {
		bad, good := mustPut(t, q, newPut("bad")), mustPut(t, q, newPut("good"))
		q.Corrupt(t, name, bad)
		deliver(t, q, good)
		if e, err := q.Get(t.Context(), name, bad); e.State != queue.Dead || e.Last.Error == "" {
			t.Errorf("Get = %+v, %v", e, err)
		}
		take(t, q)
	},
}

var crashes = map[string]func(*testing.T, Instance){
	"everything survives a crash": func(t *testing.T, q Instance) {
		put := newPut("big")
		put.Body, put.BodySize = bytes.NewReader(bodyOf(3<<20)), 3<<20
		mustPut(t, q, put)
		deliverLater := newPut("later")
		deliverLater.Delay = 24 * time.Hour
		mustPut(t, q, deliverLater)
		mustPut(t, q, newPut("dead"))
		mustPut(t, q, newPut("delivered"))
		mustPut(t, q, newPut("retried"))
		for _, l := range takeAll(t, q, 10) {
			switch l.Entry.Key {
			case "dead":
				finish(t, q, l, queue.Outcome{Action: queue.Bury})
			case "delivered":
				finish(t, q, l, queue.Outcome{Action: queue.Deliver})
			case "retried":
				finish(t, q, l, queue.Outcome{Action: queue.Retry, Result: queue.Result{Status: 500}})
			}
		}
		paused := queue.Put{Queue: "paused", Key: "k"}
		mustPut(t, q, paused)
		if err := q.SetPaused(t.Context(), "paused", true); err != nil {
			t.Fatal(err)
		}

		q = q.Reopen(t)
		q.Advance(t, lease+time.Minute) // big was in flight
		counts(t, q, 3, 0, 1, 1)
		exists(t, q, "delivered", queue.Delivered)
		exists(t, q, "dead", queue.Dead)
		exists(t, q, "big", queue.Waiting)
		for _, l := range takeAll(t, q, 10) {
			switch l.Entry.Key {
			case "big":
				sameBody(t, l.Body, bodyOf(3<<20))
			case "retried":
				sameRequest(t, l.Entry.Request, request())
				if l.Entry.Attempts != 1 || l.Entry.Last.Status != 500 {
					t.Errorf("the entry is %+v", l.Entry)
				}
			default:
				t.Errorf("%s is due", l.Entry.Key)
			}
		}
		counts(t, q, 1, 2, 1, 1)
		q.Advance(t, 24*time.Hour)
		if taken := takeAll(t, q, 10); len(taken) != 3 {
			t.Errorf("a day later, due entries are %v", keysOf(taken))
		}
		if s, err := q.Stats(t.Context(), "paused"); err != nil || !s.Paused || s.Waiting != 1 {
			t.Errorf("Stats = %+v, %v", s, err)
		}
	},
	"steps of the clock lose and delay nothing": func(t *testing.T, q Instance) {
		const step = 400 * 24 * time.Hour
		put := newPut("later")
		put.Delay = 30 * time.Minute
		mustPut(t, q, put)
		mustPut(t, q, newPut("delivered"))
		deliver(t, q, "delivered")
		q.StepClock(t, -step)
		take(t, q)
		exists(t, q, "delivered", queue.Delivered)
		q.Advance(t, 20*time.Minute)
		take(t, q)
		mustPut(t, q, newPut("now"))
		l := take(t, q, "now")[0]
		if l.Entry.Age < 0 || l.Entry.Age > time.Hour {
			t.Errorf("the age of a new entry is %v", l.Entry.Age)
		}
		finish(t, q, l, queue.Outcome{Action: queue.Deliver})
		q = q.Reopen(t)
		q.Advance(t, 20*time.Minute)
		exists(t, q, "delivered", queue.Delivered)
		e := hasState(t, q, "later", queue.Waiting)
		if e.DueIn > 0 {
			t.Errorf("an entry is due in %v, later than expected", e.DueIn)
		}
		deliver(t, q, "later")
		q.StepClock(t, step)
		mustPut(t, q, newPut("after"))
		if got := takeAll(t, q, 10); !slices.Contains(keysOf(got), "after") {
			t.Errorf("leased %v", keysOf(got))
		}
	},
	"a closed queue rejects calls": func(t *testing.T, q Instance) {
		mustPut(t, q, newPut("k"))
		l := take(t, q, "k")[0]
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		for what, do := range map[string]func() error{
			"Put":    func() error { _, err := q.Put(t.Context(), newPut("l")); return err },
			"Lease":  func() error { _, _, err := q.Lease(t.Context(), name, 1, lease); return err },
			"Finish": func() error { return q.Finish(t.Context(), l, queue.Outcome{Action: queue.Deliver}) },
			"Stats":  func() error { _, err := q.Stats(t.Context(), name); return err },
			"Names":  func() error { _, err := q.Names(t.Context()); return err },
			"Get":    func() error { _, err := q.Get(t.Context(), name, "k"); return err },
		} {
			wantError(t, what, do(), queue.ErrClosed)
		}
	},
}
