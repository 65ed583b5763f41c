//go:build linux

package file

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/syscalls"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// TestSystemCallsOfACommit counts the system calls on the disk: bbolt syncs
// once before and once after it writes the meta page that makes a transaction
// valid.
func TestSystemCallsOfACommit(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(t *testing.T, store *Store)
		want syscalls.Counts
	}{
		"a claim and its release": {
			do: func(t *testing.T, store *Store) {
				keys, owner := costClaim(t, store, 2000)
				if err := store.Release(t.Context(), keys, owner, 500); err != nil {
					t.Error(err)
				}
			},
			want: syscalls.Counts{},
		},
		"a single claim and commit": {
			do:   func(t *testing.T, store *Store) { costCommit(t, store, 2000) },
			want: syscalls.Counts{"fdatasync replay.db": 2, "pwrite64 replay.db": 5},
		},
		"256 commits together": {
			do:   func(t *testing.T, store *Store) { commitTogether(t, store, 2000, 256) },
			want: syscalls.Counts{"fdatasync replay.db": 2, "pwrite64 replay.db": 8},
		},
		"a duplicate": {
			do: func(t *testing.T, store *Store) {
				v, err := store.Claim(t.Context(), costKeys(0), replay.NewOwner(), time.Minute)
				if v != replay.Duplicate || err != nil {
					t.Errorf("Claim = %v, %v", v, err)
				}
			},
			want: syscalls.Counts{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := syscalls.Of(t, func(begin, end func()) {
				store := mustOpen(t, Options{Path: filepath.Join(t.TempDir(), "replay.db")})
				costCommit(t, store, 0)
				commitTogether(t, store, 1, maxGroup) // so that the file has the pages of a file in use
				begin()
				test.do(t, store)
				end()
			})
			if !maps.Equal(got, test.want) {
				t.Errorf("system calls: %v, want %v", got, test.want)
			}
		})
	}
}

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
