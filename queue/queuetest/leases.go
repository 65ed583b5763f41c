package queuetest

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
)

func takeAll(t *testing.T, q queue.Queue, n int) []queue.Lease {
	t.Helper()
	taken, _, err := q.Lease(t.Context(), name, n, lease)
	if err != nil {
		t.Fatal(err)
	}
	return taken
}

func nextDue(t *testing.T, q queue.Queue) time.Duration {
	t.Helper()
	taken, next, err := q.Lease(t.Context(), name, 0, lease)
	if err != nil || len(taken) != 0 {
		t.Fatalf("Lease of none = %v, %v", keysOf(taken), err)
	}
	return next
}

var leases = map[string]func(*testing.T, Instance){
	"entries are leased in the order in which they are due": func(t *testing.T, q Instance) {
		for _, c := range []struct {
			key   string
			delay time.Duration
		}{{"c", 20 * time.Minute}, {"a", 0}, {"d", time.Hour}, {"b", 10 * time.Minute}} {
			put := newPut(c.key)
			put.Delay = c.delay
			mustPut(t, q, put)
		}
		take(t, q, "a")
		take(t, q)
		q.Advance(t, 30*time.Minute)
		take(t, q, "b", "c")
		q.Advance(t, 40*time.Minute)
		taken := takeAll(t, q, 10) // the lease of a has expired too
		if got := fmt.Sprint(keysOf(taken)); got != "[a d]" {
			t.Errorf("took %v", got)
		}
	},
	"at most n entries are leased": func(t *testing.T, q Instance) {
		for n := range 5 {
			mustPut(t, q, newPut(strconv.Itoa(n)))
		}
		seen := map[string]bool{}
		for _, want := range []int{2, 2, 1, 0} {
			taken := takeAll(t, q, 2)
			if len(taken) != want {
				t.Fatalf("leased %d, want %d", len(taken), want)
			}
			for _, l := range taken {
				seen[l.Entry.Key] = true
			}
		}
		if len(seen) != 5 {
			t.Errorf("leased %v", seen)
		}
	},
	"lease says when the next entry is due": func(t *testing.T, q Instance) {
		if next := nextDue(t, q); next >= 0 {
			t.Errorf("with an unknown queue: %v", next)
		}
		put := newPut("later")
		put.Delay = 3 * time.Hour
		mustPut(t, q, put)
		near(t, "next", nextDue(t, q), 3*time.Hour)
		mustPut(t, q, newPut("now"))
		if next := nextDue(t, q); next != 0 {
			t.Errorf("with one due: %v", next)
		}
		l := take(t, q, "now")[0]
		near(t, "next while one is in flight", nextDue(t, q), lease)
		finish(t, q, l, queue.Outcome{Action: queue.Deliver})
		near(t, "next", nextDue(t, q), 3*time.Hour)
		q.Advance(t, 4*time.Hour)
		deliver(t, q, "later")
		if next := nextDue(t, q); next >= 0 {
			t.Errorf("with an empty queue: %v", next)
		}
	},
	"each entry is leased by one of many callers": func(t *testing.T, q Instance) {
		for n := range 40 {
			mustPut(t, q, newPut(strconv.Itoa(n)))
		}
		var mu sync.Mutex
		got := map[string]int{}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				for {
					taken, _, err := q.Lease(t.Context(), name, 3, lease)
					if err != nil {
						t.Error(err)
						return
					}
					if len(taken) == 0 {
						return
					}
					for _, l := range taken {
						mu.Lock()
						got[l.Entry.Key]++
						mu.Unlock()
						if err := q.Finish(t.Context(), l, queue.Outcome{Action: queue.Deliver}); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		all.Wait()
		for key, n := range got {
			if n != 1 {
				t.Errorf("entry %s was leased %d times", key, n)
			}
		}
		if len(got) != 40 {
			t.Errorf("%d of 40 entries were leased", len(got))
		}
		counts(t, q, 0, 0, 0, 40)
	},
	"an entry can be leased again when its lease expires": func(t *testing.T, q Instance) {
		mustPut(t, q, newPut("k"))
		old := take(t, q, "k")[0]
		counts(t, q, 0, 1, 0, 0)
		q.Advance(t, lease-time.Minute)
		take(t, q)
		q.Advance(t, 2*time.Minute)
		counts(t, q, 1, 0, 0, 0)
		renewed := take(t, q, "k")[0]
		if renewed.Entry.Attempts != 0 || renewed.Token == old.Token {
			t.Errorf("the entry is %+v", renewed.Entry)
		}
		for _, action := range []queue.Action{queue.Deliver, queue.Retry, queue.Bury, queue.Discard, queue.PutBack} {
			wantError(t, "Finish by the former holder", q.Finish(t.Context(), old, queue.Outcome{Action: action}), queue.ErrNotLeased)
		}
		wantError(t, "Renew by the former holder", q.Renew(t.Context(), old, lease), queue.ErrNotLeased)
		hasState(t, q, "k", queue.InFlight)
		finish(t, q, renewed, queue.Outcome{Action: queue.Deliver})
		finish(t, q, old, queue.Outcome{Action: queue.Deliver}) // it is delivered
	},
	"an expired lease can be finished if the entry was not leased again": func(t *testing.T, q Instance) {
		for _, action := range []queue.Action{queue.PutBack, queue.Retry, queue.Deliver} {
			if action == queue.PutBack {
				mustPut(t, q, newPut("k"))
			}
			l := take(t, q, "k")[0]
			q.Advance(t, lease+time.Minute)
			finish(t, q, l, queue.Outcome{Action: action})
		}
		hasState(t, q, "k", queue.Delivered)
	},
	"a renewed lease remains valid": func(t *testing.T, q Instance) {
		mustPut(t, q, newPut("k"))
		l := take(t, q, "k")[0]
		for range 3 {
			q.Advance(t, lease-time.Minute)
			if err := q.Renew(t.Context(), l, lease); err != nil {
				t.Fatal(err)
			}
		}
		if err := q.Renew(t.Context(), l, time.Second); err != nil { // never shortens
			t.Fatal(err)
		}
		q.Advance(t, lease-time.Minute)
		take(t, q)
		q.Advance(t, 2*time.Minute)
		if err := q.Renew(t.Context(), l, lease); err != nil { // the entry was not leased again
			t.Fatal(err)
		}
		take(t, q)
		finish(t, q, l, queue.Outcome{Action: queue.Deliver})
		wantError(t, "Renew of a finished lease", q.Renew(t.Context(), l, lease), queue.ErrNotLeased)
	},
}

var ends = map[string]func(*testing.T, Instance){
	"after a failed attempt the entry waits until it is due again": func(t *testing.T, q Instance) {
		mustPut(t, q, newPut("k"))
		at := time.UnixMilli(1_790_000_000_000)
		finish(t, q, take(t, q, "k")[0], queue.Outcome{
			Action: queue.Retry, Delay: 30 * time.Minute, Result: queue.Result{Status: 503, Error: "app is \xffdown", At: at},
		})
		e := hasState(t, q, "k", queue.Waiting)
		near(t, "DueIn", e.DueIn, 30*time.Minute)
		if e.Attempts != 1 || e.Failures != 1 || e.Last.Status != 503 || e.Last.Error != "app is down" || !e.Last.At.Equal(at) {
			t.Errorf("the entry is %+v", e)
		}
		take(t, q)
		q.Advance(t, 31*time.Minute)
		l := take(t, q, "k")[0]
		sameRequest(t, l.Entry.Request, request())
		sameBody(t, l.Body, []byte("body of k"))
		if l.Entry.Attempts != 1 || l.Entry.Last.Status != 503 {
			t.Errorf("the entry is %+v", l.Entry)
		}
	},
	"attempts and failures are counted": func(t *testing.T, q Instance) {
		mustPut(t, q, newPut("k"))
		for _, step := range []struct {
			outcome            queue.Outcome
			attempts, failures int
			status             int
		}{
			{queue.Outcome{Action: queue.Retry, Result: queue.Result{Status: 500}}, 1, 1, 500},
			{queue.Outcome{Action: queue.Retry, Uncounted: true, Result: queue.Result{Error: "connection refused"}}, 1, 1, 0},
			{queue.Outcome{Action: queue.PutBack, Result: queue.Result{Status: 500}}, 1, 1, 0},
			{queue.Outcome{Action: queue.Retry, Result: queue.Result{Status: 502}}, 2, 2, 502},
			{queue.Outcome{Action: queue.Bury, Result: queue.Result{Status: 410}}, 3, 3, 410},
		} {
			finish(t, q, take(t, q, "k")[0], step.outcome)
			e, err := q.Get(t.Context(), name, "k")
			if err != nil || e.Attempts != step.attempts || e.Failures != step.failures || e.Last.Status != step.status {
				t.Fatalf("after %+v: %+v, %v", step.outcome, e, err)
			}
		}
	},
	"a dead entry keeps its request and body and is not leased": func(t *testing.T, q Instance) {
		mustPut(t, q, newPut("k"))
		bury(t, q, "k")
		e := hasState(t, q, "k", queue.Dead)
		sameRequest(t, e.Request, request())
		b, err := q.Body(t.Context(), name, "k")
		if err != nil {
			t.Fatal(err)
		}
		sameBody(t, b, []byte("body of k"))
		q.Advance(t, 100*24*time.Hour)
		take(t, q)
		counts(t, q, 0, 0, 1, 0)
	},
	"an entry that is put back is due at once": func(t *testing.T, q Instance) {
		mustPut(t, q, newPut("k"))
		l := take(t, q, "k")[0]
		finish(t, q, l, queue.Outcome{Action: queue.PutBack})
		wantError(t, "second Finish", q.Finish(t.Context(), l, queue.Outcome{Action: queue.PutBack}), queue.ErrNotLeased)
		take(t, q, "k")
	},
	"finishing twice": func(t *testing.T, q Instance) {
		for _, c := range []struct {
			first, again queue.Action
			want         error
		}{
			{queue.Deliver, queue.Deliver, nil},
			{queue.Discard, queue.Discard, nil},
			{queue.Deliver, queue.Discard, queue.ErrNotLeased},
			{queue.Deliver, queue.Retry, queue.ErrNotLeased},
			{queue.Bury, queue.Deliver, queue.ErrNotLeased},
		} {
			key := mustPut(t, q, newPut(""))
			l := take(t, q, key)[0]
			finish(t, q, l, queue.Outcome{Action: c.first})
			wantError(t, fmt.Sprint(c), q.Finish(t.Context(), l, queue.Outcome{Action: c.again}), c.want)
		}
	},
	"a long error is truncated": func(t *testing.T, q Instance) {
		mustPut(t, q, newPut("k"))
		long := make([]byte, 10*queue.MaxErrorLength)
		for i := range long {
			long[i] = 'x'
		}
		finish(t, q, take(t, q, "k")[0], queue.Outcome{Action: queue.Retry, Result: queue.Result{Error: string(long)}})
		if e := hasState(t, q, "k", queue.Waiting); e.Last.Error != string(long[:queue.MaxErrorLength]) {
			t.Errorf("the error has %d bytes", len(e.Last.Error))
		}
	},
}
