package storetest

import (
	"runtime/debug"
	"sync"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// Allocations returns the number of allocations for the claim of a delivery
// with a blocking key and a note, and for a single commit of it. It counts
// everything in the process, so no other test can run at the same time.
func Allocations(t *testing.T, store replay.Store) (claim, commit float64) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which empties pools
	next := 0
	delivery := func() replay.Keys {
		next++
		return replay.Keys{Blocking: []replay.Key{key(replay.KindContent, next)}, Notes: []replay.Key{key(replay.KindID, next)}}
	}
	owner := replay.NewOwner()
	ctx := t.Context()
	take := func(keys replay.Keys) {
		if v, err := store.Claim(ctx, keys, owner, lease); err != nil || v != replay.Ours {
			t.Errorf("Claim = %v, %v", v, err)
		}
	}
	end := func(keys replay.Keys) {
		if err := store.Commit(ctx, keys, owner, window, 200); err != nil {
			t.Errorf("Commit: %v", err)
		}
	}
	for range 100 { // so that growing buffers have reached their size
		var all sync.WaitGroup
		for range 200 {
			keys := delivery()
			all.Go(func() {
				take(keys)
				end(keys)
			})
		}
		all.Wait()
	}

	const runs = 100
	deliveries := make([]replay.Keys, 0, runs+1)
	for range runs + 1 {
		deliveries = append(deliveries, delivery())
	}
	measure := func(do func(replay.Keys)) float64 {
		i := -1
		return testing.AllocsPerRun(runs, func() {
			i++
			do(deliveries[i])
		})
	}
	return measure(take), measure(end)
}
