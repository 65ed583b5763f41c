package file

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// costKeys are the keys of a delivery with an unsigned ID.
func costKeys(n uint16) replay.Keys {
	key := func(kind byte) replay.Key { return replay.Key{byte(n), byte(n >> 8), kind} }
	return replay.Keys{Blocking: []replay.Key{key(1)}, Notes: []replay.Key{key(2)}}
}

func costClaim(t *testing.T, store *Store, n uint16) (replay.Keys, replay.Owner) {
	t.Helper()
	keys, owner := costKeys(n), replay.NewOwner()
	if v, err := store.Claim(context.Background(), keys, owner, time.Minute); v != replay.Ours || err != nil {
		t.Fatalf("Claim = %v, %v", v, err)
	}
	return keys, owner
}

func costCommit(t *testing.T, store *Store, n uint16) {
	t.Helper()
	keys, owner := costClaim(t, store, n)
	if err := store.Commit(context.Background(), keys, owner, time.Hour, 200); err != nil {
		t.Errorf("Commit: %v", err)
	}
}

// commitTogether commits n deliveries in one group, which gathers while the
// writer is busy.
func commitTogether(t *testing.T, store *Store, first, n uint16) {
	t.Helper()
	var group []*request
	for i := range n {
		r := newRequest()
		r.keys, r.owner = costClaim(t, store, first+i)
		r.window, r.status = time.Hour, 200
		if _, err := store.ledger.Pin(r.keys, r.owner); err != nil {
			t.Fatalf("Pin: %v", err)
		}
		group = append(group, r)
	}
	store.mu.Lock()
	store.pending = slices.Clone(group)
	store.signal()
	store.mu.Unlock()
	for _, r := range group {
		if err := r.wait(context.Background()); err != nil {
			t.Errorf("Commit: %v", err)
		}
	}
}
