package file

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay/storetest"
)

func TestStoreConforms(t *testing.T) {
	storetest.Run(t, storetest.Subject{
		Bubble: true,
		Open: func(t *testing.T, limit int64) storetest.Instance {
			return instance(t, Options{Path: filepath.Join(t.TempDir(), "replay.db"), MaxEntries: limit}, new(atomic.Int64))
		},
	})
}

// instance opens a store whose wall clock is off by step.
func instance(t *testing.T, o Options, step *atomic.Int64) storetest.Instance {
	o.wall = func() time.Time { return time.Now().Add(time.Duration(step.Load())) }
	store := mustOpen(t, o)
	return storetest.Instance{
		Store:         store,
		SetLimit:      store.SetMaxEntries,
		Advance:       func(_ *testing.T, d time.Duration) { time.Sleep(d) },
		StepWallClock: func(d time.Duration) { step.Add(int64(d)) },
		Reopen: func(t *testing.T) storetest.Instance {
			return instance(t, Options{Path: crash(t, o.Path), MaxEntries: o.MaxEntries}, step)
		},
	}
}

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	store, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
	return store
}

// crash returns a copy of the file in its current state, as after the process
// was killed.
func crash(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	after := filepath.Join(t.TempDir(), "after.db")
	if err := os.WriteFile(after, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return after
}

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, mustOpen(b, Options{Path: filepath.Join(b.TempDir(), "replay.db"), MaxEntries: 1 << 40}))
}
