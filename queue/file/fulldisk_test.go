//go:build unix

package file

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/fulldisk"
	"github.com/verify-webhook/caddy-verify-webhook/queue"
)

func TestAFullDiskRejectsEntriesAndLosesNone(t *testing.T) {
	fulldisk.Run(t, rejectsWhileFull)
}

func rejectsWhileFull(t *testing.T, fill, free func()) {
	t.Helper()
	var log bytes.Buffer
	path := filepath.Join(t.TempDir(), "queue.db")
	store := mustOpen(t, Options{Path: path, MinFree: -1})
	store.SetLogger(slog.New(slog.NewTextHandler(&log, nil)))
	put(t, store, small("first"))
	leases, _, err := store.Lease(t.Context(), "q", 1, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	fill()
	for _, p := range []queue.Put{small("a"), large("b"), small("a")} {
		if _, err := store.Put(t.Context(), p); !errors.Is(err, queue.ErrFull) {
			t.Errorf("Put = %v, want ErrFull", err)
		}
	}
	if err := store.Finish(t.Context(), leases[0], queue.Outcome{Action: queue.Deliver}); !errors.Is(err, queue.ErrFull) {
		t.Errorf("Finish = %v, want ErrFull", err)
	}
	if leases, _, err := store.Lease(t.Context(), "q", 1, time.Minute); err == nil {
		t.Errorf("Lease = %d entries, whose delivery could not be recorded", len(leases))
	}
	free()
	if err := store.Finish(t.Context(), leases[0], queue.Outcome{Action: queue.Deliver}); err != nil {
		t.Errorf("Finish once there is room: %v", err)
	}
	put(t, store, small("a"))
	put(t, store, large("b"))
	if files := bodyFiles(t, path); len(files) != 1 {
		t.Errorf("files: %v, want one", files)
	}
	if text := log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "cannot be written") || !strings.Contains(text, "can be written again") {
		t.Errorf("log is %q, want the loss and the recovery once each", text)
	}

	after := mustOpen(t, Options{Path: crash(t, path), MinFree: -1})
	for key, want := range map[string]queue.State{"first": queue.Delivered, "a": queue.Waiting, "b": queue.Waiting} {
		if e, err := after.Get(t.Context(), "q", key); err != nil || e.State != want {
			t.Errorf("%s is %v, %v after a restart, want %v", key, e.State, err, want)
		}
	}
}
