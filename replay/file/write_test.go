package file

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

func TestConcurrentCommitsShareATransaction(t *testing.T) {
	store := mustOpen(t, Options{Path: filepath.Join(t.TempDir(), "replay.db")})
	const deliveries = 500
	owner := replay.NewOwner()
	keys := make([]replay.Keys, deliveries)
	for n := range keys {
		keys[n].Blocking = []replay.Key{{byte(n), byte(n >> 8)}}
		if v, err := store.Claim(t.Context(), keys[n], owner, time.Minute); v != replay.Ours || err != nil {
			t.Fatalf("Claim = %v, %v", v, err)
		}
	}
	before := transactions(t, store)
	// Nothing can be written while this transaction is open, so all commits gather.
	blocker, err := store.db.Bolt().Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	requests := make([]*request, deliveries)
	submit := func(n int) {
		r := newRequest()
		r.keys, r.owner, r.window, r.status = keys[n], owner, time.Hour, 200
		if err := store.submit(r); err != nil {
			t.Fatal(err)
		}
		requests[n] = r
	}
	taken := func() bool {
		store.mu.Lock()
		defer store.mu.Unlock()
		return len(store.pending) == 0
	}
	submit(0)
	for !taken() {
		runtime.Gosched() // the writer takes the first commit and cannot write it
	}
	for n := range keys[1:] {
		submit(n + 1)
	}
	if err := blocker.Rollback(); err != nil {
		t.Fatal(err)
	}
	for n, r := range requests {
		if err := r.wait(t.Context()); err != nil {
			t.Errorf("commit %d: %v", n, err)
		}
	}
	if got := transactions(t, store) - before; got > 2 {
		t.Errorf("%d commits took %d transactions", deliveries, got)
	}
}

func transactions(t *testing.T, store *Store) int {
	t.Helper()
	tx, err := store.db.Bolt().Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	return tx.ID()
}

func TestACommitWhoseCallerHasLeftIsStillMade(t *testing.T) {
	store := mustOpen(t, Options{Path: filepath.Join(t.TempDir(), "replay.db")})
	keys := replay.Keys{Blocking: []replay.Key{{1}}}
	owner := replay.NewOwner()
	if _, err := store.Claim(t.Context(), keys, owner, time.Minute); err != nil {
		t.Fatal(err)
	}
	blocker, err := store.db.Bolt().Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Commit(ctx, keys, owner, time.Hour, 200); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit = %v, want context.Canceled", err)
	}
	if err := blocker.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := store.Commit(t.Context(), keys, owner, time.Hour, 200); err != nil {
		t.Errorf("retried commit: %v", err)
	}
	if states, _ := store.Lookup(t.Context(), keys.Blocking); states[0] != replay.Handled {
		t.Errorf("state = %v, want handled", states[0])
	}
}

func TestAClosedStoreRejectsCalls(t *testing.T) {
	store := mustOpen(t, Options{Path: filepath.Join(t.TempDir(), "replay.db")})
	keys := replay.Keys{Blocking: []replay.Key{{1}}}
	owner := replay.NewOwner()
	if _, err := store.Claim(t.Context(), keys, owner, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	_, claimed := store.Claim(t.Context(), replay.Keys{Blocking: []replay.Key{{2}}}, owner, time.Minute)
	_, forgot := store.Forget(t.Context(), keys.Blocking)
	for what, err := range map[string]error{
		"Claim":  claimed,
		"Commit": store.Commit(t.Context(), keys, owner, time.Hour, 200),
		"Forget": forgot,
		"Close":  store.Close(),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s = %v, want ErrClosed", what, err)
		}
	}
}

func TestSpaceIsReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "replay.db")
		store := mustOpen(t, Options{Path: path})
		var sizes []int64
		for day := range 5 {
			for n := range 500 {
				keys := replay.Keys{Blocking: []replay.Key{{byte(n), byte(n >> 8), byte(day)}}}
				owner := replay.NewOwner()
				if v, err := store.Claim(t.Context(), keys, owner, time.Minute); v != replay.Ours || err != nil {
					t.Fatalf("Claim = %v, %v", v, err)
				}
				if err := store.Commit(t.Context(), keys, owner, 6*time.Hour, 200); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Minute)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, info.Size())
		}
		if last := sizes[len(sizes)-1]; last > sizes[0] {
			t.Errorf("the file grew every day: %v", sizes)
		}
		time.Sleep(24 * time.Hour)
		if got := store.Stats().Remembered; got != 0 {
			t.Errorf("%d keys are still stored a day later", got)
		}
		synctest.Wait()
		if got := periods(t, store); got != 0 {
			t.Errorf("%d periods are still on disk a day later", got)
		}
	})
}

func periods(t *testing.T, store *Store) (n int) {
	t.Helper()
	tx, err := store.db.Bolt().Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	cursor := tx.Cursor()
	for name, _ := cursor.First(); name != nil; name, _ = cursor.Next() {
		if _, ok := parsePeriodName(name); ok {
			n++
		}
	}
	return n
}
