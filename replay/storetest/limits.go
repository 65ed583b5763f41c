package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// limits tests that memory is limited, and that a full store never forgets
// handled deliveries early.
var limits = map[string]func(*testing.T, Subject){
	"a full store rejects deliveries and forgets nothing": bounded(func(t *testing.T, open func(limit int64) Instance) {
		store := open(100)
		for n := 1; n <= 50; n++ {
			arrival(t, store, n, n).handle()
		}
		full(t, store, 51)
		for n := 1; n <= 50; n++ {
			arrival(t, store, n, n).claim(replay.Duplicate)
			arrival(t, store, n, n+1000).claim(replay.Replayed)
		}
	}),

	"claims count toward the limit": bounded(func(t *testing.T, open func(limit int64) Instance) {
		store := open(3)
		first := arrival(t, store, 1, 1)
		first.claim(replay.Ours)
		full(t, store, 2)
		arrival(t, store, 2, 0).claim(replay.Ours)
		first.release(500)
		arrival(t, store, 3, 3).claim(replay.Ours)
	}),

	"a rejected claim in a full store claims nothing": bounded(func(t *testing.T, open func(limit int64) Instance) {
		store := open(3)
		arrival(t, store, 1, 1).handle()
		full(t, store, 2)
		arrival(t, store, 2, 2).states(replay.Free, replay.Free)
		arrival(t, store, 2, 0).handle()
	}),

	"a full store still ends claims": bounded(func(t *testing.T, open func(limit int64) Instance) {
		store := open(4)
		committed, released := arrival(t, store, 1, 1), arrival(t, store, 2, 2)
		committed.claim(replay.Ours)
		released.claim(replay.Ours)
		full(t, store, 3)
		if err := store.Renew(t.Context(), committed.keys, committed.owner, lease); err != nil {
			t.Errorf("Renew: %v", err)
		}
		committed.commit(200)
		released.release(500)
		arrival(t, store, 3, 3).handle()
		full(t, store, 4)
	}),

	"windows, leases and forgetting free room": bounded(func(t *testing.T, open func(limit int64) Instance) {
		store := open(100)
		for n := 1; n <= 50; n++ {
			arrival(t, store, n, n).handle()
		}
		store.Advance(t, window+window/8)
		for n := 51; n <= 100; n++ {
			arrival(t, store, n, n).claim(replay.Ours)
		}
		full(t, store, 101)
		store.Advance(t, lease+time.Minute)
		for n := 101; n <= 150; n++ {
			arrival(t, store, n, n).handle()
		}
		full(t, store, 151)
		if _, err := store.Forget(t.Context(), arrival(t, store, 101, 101).keys.All()); err != nil {
			t.Fatalf("Forget: %v", err)
		}
		arrival(t, store, 151, 151).handle()
	}),

	"the limit can change": bounded(func(t *testing.T, open func(limit int64) Instance) {
		store := open(2)
		arrival(t, store, 1, 1).handle()
		full(t, store, 2)
		store.SetLimit(4)
		arrival(t, store, 2, 2).handle()
		store.SetLimit(2)
		full(t, store, 3)
		arrival(t, store, 1, 1).claim(replay.Duplicate)
		arrival(t, store, 2, 2).claim(replay.Duplicate)
		if got := store.Stats().Capacity; got != 2 {
			t.Errorf("Capacity = %d, want 2", got)
		}
	}),

	"notes count toward the limit from the claim": bounded(func(t *testing.T, open func(limit int64) Instance) {
		store := open(4)
		arrival(t, store, 1, 1).noted(2, 2, 1).claim(replay.Ours)
		full(t, store, 2)
		arrival(t, store, 2, 0).claim(replay.Ours)
		refusedForRoom(arrival(t, store, 3, 0))
	}),

	"a handled note needs no room": bounded(func(t *testing.T, open func(limit int64) Instance) {
		store := open(3)
		arrival(t, store, 1, 1).handle()
		arrival(t, store, 2, 1).handle()
		refusedForRoom(arrival(t, store, 3, 1))
	}),

	"the end of a claim frees the room of its notes": bounded(func(t *testing.T, open func(limit int64) Instance) {
		for name, end := range map[string]func(store Instance, d delivery){
			"release":                      func(_ Instance, d delivery) { d.release(500) },
			"lapse":                        func(store Instance, _ delivery) { store.Advance(t, lease+time.Minute) },
			"repeated claim without notes": func(_ Instance, d delivery) { d.keys.Notes = nil; d.claim(replay.Ours); d.release(500) },
		} {
			store := open(2)
			for n := range 3 {
				d := arrival(t, store, n+1, n+1)
				d.claim(replay.Ours)
				d.claim(replay.Ours)
				refusedForRoom(arrival(t, store, 9, 0))
				end(store, d)
			}
			t.Log(name)
			arrival(t, store, 9, 9).handle()
			refusedForRoom(arrival(t, store, 10, 0))
		}
	}),

	"a note that two deliveries share counts once": bounded(func(t *testing.T, open func(limit int64) Instance) {
		store := open(4)
		first, second := arrival(t, store, 1, 1), arrival(t, store, 2, 1)
		first.claim(replay.Ours)
		second.claim(replay.Ours)
		first.commit(200)
		second.commit(200)
		arrival(t, store, 3, 1).handle()
		refusedForRoom(arrival(t, store, 4, 1))
		if got, want := store.Stats(), (replay.Stats{Remembered: 4, Capacity: 4}); got != want {
			t.Errorf("Stats = %+v, want %+v", got, want)
		}
	}),

	"a commit always has room and never exceeds the limit": bounded(func(t *testing.T, open func(limit int64) Instance) {
		store := open(4)
		arrival(t, store, 1, 1).handle()
		d := arrival(t, store, 2, 1)
		d.claim(replay.Ours) // the note is handled, so no room is reserved for it
		if _, err := store.Forget(t.Context(), d.keys.Notes); err != nil {
			t.Fatalf("Forget: %v", err)
		}
		arrival(t, store, 3, 3).handle()
		d.commit(200)
		d.states(replay.Handled, replay.Free)
		if got, want := store.Stats(), (replay.Stats{Remembered: 4, Capacity: 4}); got != want {
			t.Errorf("Stats = %+v, want %+v", got, want)
		}
	}),

	"an owner keeps its claim in a store whose limit was lowered": bounded(func(t *testing.T, open func(limit int64) Instance) {
		store := open(4)
		d := arrival(t, store, 1, 1)
		d.claim(replay.Ours)
		store.SetLimit(1)
		d.claim(replay.Ours)
		d.commit(200)
		d.states(replay.Handled, replay.Handled)
		refusedForRoom(arrival(t, store, 2, 0))
	}),

	"stats count claimed and handled keys": bounded(func(t *testing.T, open func(limit int64) Instance) {
		store := open(1000)
		arrival(t, store, 1, 1).handle()
		arrival(t, store, 2, 2).claim(replay.Ours)
		arrival(t, store, 1, 1).claim(replay.Duplicate)
		if got, want := store.Stats(), (replay.Stats{Remembered: 2, Claimed: 1, Capacity: 1000}); got != want {
			t.Errorf("Stats = %+v, want %+v", got, want)
		}
	}),
}

// bounded returns a test that is reduced to a check of Capacity for a store
// without a limit.
func bounded(test func(*testing.T, func(limit int64) Instance)) func(*testing.T, Subject) {
	return func(t *testing.T, s Subject) {
		if s.Unbounded {
			if got := s.Open(t, 0).Stats().Capacity; got != 0 {
				t.Errorf("Capacity = %d, want 0: no limit", got)
			}
			return
		}
		test(t, func(limit int64) Instance { return s.Open(t, limit) })
	}
}

// full checks that the nth delivery is rejected because the store is full.
func full(t *testing.T, store Store, n int) {
	t.Helper()
	refusedForRoom(arrival(t, store, n, n))
}

func refusedForRoom(d delivery) {
	d.t.Helper()
	if _, err := d.store.Claim(d.t.Context(), d.keys, d.owner, lease); !errors.Is(err, replay.ErrFull) {
		d.t.Errorf("Claim in a full store: %v, want ErrFull", err)
	}
}
