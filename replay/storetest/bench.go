package storetest

import (
	"sync/atomic"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// Bench measures the cost of a delivery with a blocking key and a note: claimed
// and committed, one at a time and concurrently, and rejected as a duplicate.
// The store must have room for all of them.
func Bench(b *testing.B, store replay.Store) {
	var last atomic.Int64
	handle := func(b *testing.B) {
		n := int(last.Add(1))
		keys := replay.Keys{Blocking: []replay.Key{key(replay.KindContent, n)}, Notes: []replay.Key{key(replay.KindID, n)}}
		owner := replay.NewOwner()
		verdict, err := store.Claim(b.Context(), keys, owner, lease)
		if err != nil || verdict != replay.Ours {
			b.Errorf("Claim = %v, %v", verdict, err)
			return
		}
		if err := store.Commit(b.Context(), keys, owner, window, 200); err != nil {
			b.Errorf("Commit: %v", err)
		}
	}
	handle(b) // its copies are the duplicates below
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			handle(b)
		}
	})
	b.Run("at once", func(b *testing.B) {
		b.SetParallelism(atOnce)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				handle(b)
			}
		})
	})
	b.Run("duplicate", func(b *testing.B) {
		keys := replay.Keys{Blocking: []replay.Key{key(replay.KindContent, 1)}, Notes: []replay.Key{key(replay.KindID, 1)}}
		for b.Loop() {
			if verdict, err := store.Claim(b.Context(), keys, replay.NewOwner(), lease); err != nil || verdict != replay.Duplicate {
				b.Fatalf("Claim = %v, %v", verdict, err)
			}
		}
	})
}

// atOnce is the number of goroutines per core.
const atOnce = 128
