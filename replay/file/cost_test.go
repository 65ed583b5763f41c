//go:build linux

package file

import (
	"maps"
	"path/filepath"
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
