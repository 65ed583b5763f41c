//go:build unix

package file

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// victimPath tells a copy of the test binary that it is to be killed.
const victimPath = "REPLAY_FILE_VICTIM"

func TestMain(m *testing.M) {
	if path := os.Getenv(victimPath); path != "" {
		commitForever(path)
	}
	os.Exit(m.Run())
}

// commitForever handles new deliveries from several goroutines and prints the
// key of each one as soon as it is committed.
func commitForever(path string) {
	store, err := Open(Options{Path: path})
	if err != nil {
		panic(err)
	}
	var out sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				owner := replay.NewOwner()
				keys := replay.Keys{Blocking: []replay.Key{replay.Key(replay.NewOwner())}}
				if _, err := store.Claim(context.Background(), keys, owner, time.Minute); err != nil {
					panic(err)
				}
				if err := store.Commit(context.Background(), keys, owner, time.Hour, 200); err != nil {
					panic(err)
				}
				out.Lock()
				_, _ = os.Stdout.WriteString(keys.Blocking[0].String() + "\n")
				out.Unlock()
			}
		})
	}
	all.Wait()
}

func TestNothingAcknowledgedIsLostByKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replay.db")
	r := rand.New(rand.NewPCG(1, 2))
	var acknowledged []replay.Key
	for range 5 {
		acknowledged = append(acknowledged, commitAndKill(t, path, 200+r.IntN(1000))...)
		store := mustOpen(t, Options{Path: path})
		states, err := store.Lookup(t.Context(), acknowledged)
		if err != nil {
			t.Fatal(err)
		}
		for i, state := range states {
			if state != replay.Handled {
				t.Fatalf("delivery %d of %d is %v after a kill", i, len(acknowledged), state)
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// commitAndKill lets another process commit, kills it after so many
// acknowledgements, and returns the keys that it acknowledged.
func commitAndKill(t *testing.T, path string, after int) (acknowledged []replay.Key) {
	t.Helper()
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), victimPath+"="+path)
	victim.Stderr = os.Stderr
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		key, err := base64.RawURLEncoding.DecodeString(lines.Text())
		if err != nil || len(key) != replay.KeySize {
			break // the last line was cut off
		}
		acknowledged = append(acknowledged, replay.Key(key))
		if len(acknowledged) == after {
			if err := victim.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = victim.Wait()
	if len(acknowledged) < after {
		t.Fatalf("the process ended after %d of %d deliveries", len(acknowledged), after)
	}
	return acknowledged
}

func TestAFullDiskRefusesDeliveriesUntilThereIsRoom(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := func(size uint64) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: before.Max}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { limit(before.Cur) })

	synctest.Test(t, func(t *testing.T) {
		var logged logBook
		path := filepath.Join(t.TempDir(), "replay.db")
		store := mustOpen(t, Options{Path: path})
		store.SetLogger(slog.New(slog.NewTextHandler(&logged, nil)))
		first := handle(t, store, 1)
		limit(0)

		keys := replay.Keys{Blocking: []replay.Key{{2}}}
		owner := replay.NewOwner()
		if _, err := store.Claim(t.Context(), keys, owner, time.Minute); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			err := store.Commit(t.Context(), keys, owner, time.Hour, 200)
			wantError(t, err, ErrUnwritable, "free some space")
		}
		if v, err := store.ledger.Claim(keys, replay.NewOwner(), time.Minute); v != replay.InProgress || err != nil {
			t.Errorf("after a failed commit: %v, %v; want the claim to stay", v, err)
		}
		_, err := store.Claim(t.Context(), replay.Keys{Blocking: []replay.Key{{3}}}, replay.NewOwner(), time.Minute)
		wantError(t, err, ErrUnwritable, "free some space")

		limit(before.Cur)
		time.Sleep(2 * probeEvery)
		synctest.Wait()
		if err := store.Commit(t.Context(), keys, owner, time.Hour, 200); err != nil {
			t.Errorf("Commit once there is room: %v", err)
		}
		handle(t, store, 3)
		if got := strings.Join(logged.lines, ""); strings.Count(got, "\n") != 2 ||
			!strings.Contains(got, "cannot be written") || !strings.Contains(got, "can be written again") {
			t.Errorf("log is %q, want the loss and the recovery once each", got)
		}

		after := mustOpen(t, Options{Path: crash(t, path)})
		for _, k := range []replay.Key{first.Blocking[0], {2}, {3}} {
			if states, _ := after.Lookup(t.Context(), []replay.Key{k}); states[0] != replay.Handled {
				t.Errorf("key %s is %v after a restart, want handled", k, states[0])
			}
		}
	})
}

type logBook struct{ lines []string }

func (b *logBook) Write(p []byte) (int, error) {
	b.lines = append(b.lines, string(p))
	return len(p), nil
}

// A page that cannot be read, because the disk fails or somebody cut the file,
// must not take the whole server down.
func TestAFileThatBreaksWhileInUseIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replay.db")
	store := mustOpen(t, Options{Path: path})
	handle(t, store, 1)
	if err := os.Truncate(path, int64(2*os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	keys := replay.Keys{Blocking: []replay.Key{{2}}}
	owner := replay.NewOwner()
	if _, err := store.Claim(t.Context(), keys, owner, time.Minute); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := store.Commit(t.Context(), keys, owner, time.Hour, 200); !errors.Is(err, ErrUnwritable) {
			t.Fatalf("Commit = %v, want ErrUnwritable", err)
		}
	}
	if _, err := store.Claim(t.Context(), replay.Keys{Blocking: []replay.Key{{3}}}, owner, time.Minute); !errors.Is(err, ErrUnwritable) {
		t.Errorf("Claim = %v, want ErrUnwritable", err)
	}
}
