//go:build linux

package store

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/redisserver"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/syscalls"
)

// TestSystemCallsOfADelivery counts the system calls of a delivery from the
// sender to the app and back, all in one process here. Sender and app write
// once each; Caddy writes to the app twice (headers and body) and to the sender
// once. The stores add their calls to the disk or to Redis.
func TestSystemCallsOfADelivery(t *testing.T) {
	const file, redis, password = "replays.db", "redis", "secret"
	for name, test := range map[string]struct {
		store string
		do    func(s *site)
		want  syscalls.Counts
	}{
		"memory":            {"memory", accepted, syscalls.Counts{"write socket": 5}},
		"file":              {file, accepted, syscalls.Counts{"write socket": 5, "fdatasync " + file: 2}},
		"redis":             {redis, accepted, syscalls.Counts{"write socket": 7}},
		"duplicate, memory": {"memory", duplicate, syscalls.Counts{"write socket": 2}},
		"duplicate, file":   {file, duplicate, syscalls.Counts{"write socket": 2}},
		"duplicate, redis":  {redis, duplicate, syscalls.Counts{"write socket": 3}},
		"app fails, file":   {file, failedByApp, syscalls.Counts{"write socket": 5}},
		"app fails, redis":  {redis, failedByApp, syscalls.Counts{"write socket": 7}},
	} {
		t.Run(name, func(t *testing.T) {
			got := leastOf(t, test.want, func(begin, end func()) {
				store := test.store
				switch store {
				case file:
					store = "file " + filepath.Join(t.TempDir(), file)
				case redis:
					store = "redis redis://:" + password + "@" + redisserver.Start(t, password)
				}
				s := start(t, store)
				s.once("first", 1) // connects, and loads scripts
				failedByApp(s)
				s.response.Store(nil)
				begin()
				test.do(s)
				end()
			})
			for call := range test.want {
				if got[call] != test.want[call] {
					t.Errorf("%q was called %d times, want %d", call, got[call], test.want[call])
				}
			}
			if syncs := got["fdatasync "+file] + got["fsync "+file]; syncs != test.want["fdatasync "+file] {
				t.Errorf("the file was synced %d times, want %d", syncs, test.want["fdatasync "+file])
			}
			if pages := got["pwrite64 "+file]; pages > 5 {
				t.Errorf("%d pages were written, want at most 5", pages)
			}
		})
	}
}

// leastOf counts up to three times, until the counts are as wanted: on a busy
// machine, a write in the background can fall between begin and end.
func leastOf(t *testing.T, want syscalls.Counts, do func(begin, end func())) syscalls.Counts {
	t.Helper()
	got := syscalls.Of(t, do)
	for range 2 {
		if got["write socket"] <= want["write socket"] {
			break
		}
		t.Logf("counted %v", got)
		got = syscalls.Of(t, do)
	}
	return got
}

func accepted(s *site) { s.once("second", 1) }

func duplicate(s *site) { s.once("first", 0) }

func failedByApp(s *site) {
	s.response.Store(new(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })))
	if status := s.send("second"); status != http.StatusInternalServerError {
		s.t.Errorf("status %d, want the app's 500", status)
	}
}
