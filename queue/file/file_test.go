package file

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
	"github.com/verify-webhook/caddy-verify-webhook/queue/queuetest"
)

func TestStoreConforms(t *testing.T) {
	queuetest.Run(t, queuetest.Subject{
		Bubble: true,
		Open: func(t *testing.T) queuetest.Instance {
			return instance(t, Options{Path: filepath.Join(t.TempDir(), "queue.db"), MinFree: -1}, new(atomic.Int64))
		},
	})
}

// instance opens a queue whose wall clock is off by step.
func instance(t *testing.T, o Options, step *atomic.Int64) queuetest.Instance {
	o.wall = func() time.Time { return time.Now().Add(time.Duration(step.Load())) }
	store := mustOpen(t, o)
	return queuetest.Instance{
		Queue:     store,
		Advance:   func(_ *testing.T, d time.Duration) { time.Sleep(d) },
		StepClock: func(_ *testing.T, d time.Duration) { step.Add(int64(d)) },
		Reopen: func(t *testing.T) queuetest.Instance {
			return instance(t, Options{Path: crash(t, o.Path), MinFree: o.MinFree}, step)
		},
		Corrupt: func(t *testing.T, name, key string) { corrupt(t, store, name, key) },
	}
}

// corrupt changes the last byte of a body.
func corrupt(t *testing.T, s *Store, name, key string) {
	t.Helper()
	var path string
	if err := s.file.Write(t.Context(), func(tx *bolt.Tx) (refused, err error) {
		q, err := readShelf(tx, name)
		if err != nil {
			return nil, err
		}
		sequence, _ := q.sequence(key)
		m, _, err := q.find(sequence)
		if err != nil || m.file != "" {
			path = s.bodies.path(m.file)
			return nil, err
		}
		value := append([]byte(nil), q.in(payload).Get(number(sequence))...)
		value[len(value)-1] ^= 1
		return nil, q.in(payload).Put(number(sequence), value)
	}, nil); err != nil {
		t.Fatal(err)
	}
	if path == "" {
		return
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-1] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	store, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil && !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
	return store
}

// crash returns a copy of the file and the bodies in their current state, as
// after the process was killed.
func crash(t *testing.T, path string) string {
	t.Helper()
	after := filepath.Join(t.TempDir(), "after.db")
	copyFile(t, path, after)
	if err := os.CopyFS(after+".bodies", os.DirFS(path+".bodies")); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	return after
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	source, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if _, err := io.Copy(target, source); err != nil {
		t.Fatal(err)
	}
}
