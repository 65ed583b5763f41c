//go:build unix

package file

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/boltfile"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/fulldisk"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// victimPath is the environment variable with the file of a victim: a copy of
// the test binary that will be killed.
const victimPath = "REPLAY_FILE_VICTIM"

func TestMain(m *testing.M) {
	if path := os.Getenv(victimPath); path != "" {
		commitForever(path)
	}
	os.Exit(m.Run())
}

// work is the sequence of deliveries of one goroutine of a victim.
type work struct {
	Process replay.Owner `json:"process"`
	Worker  byte         `json:"worker"`
}

// keys returns the keys of its nth delivery, which is signed under two secrets
// and has an unsigned ID.
func (w work) keys(n uint32) replay.Keys {
	key := func(kind byte) replay.Key {
		seed := append(w.Process[:], w.Worker, kind)
		return replay.NewKey("crash", seed, replay.KindContent, binary.BigEndian.AppendUint32(nil, n))
	}
	return replay.Keys{Blocking: []replay.Key{key(0), key(1)}, Notes: []replay.Key{key(2), key(3)}}
}

// progress is printed for each delivery when it is committed.
type progress struct {
	Work      work   `json:"work"`
	Committed uint32 `json:"committed"`
}

// commitForever handles new deliveries from several goroutines.
func commitForever(path string) {
	store, err := Open(Options{Path: path})
	if err != nil {
		panic(err)
	}
	process := replay.NewOwner()
	var out sync.Mutex
	encoder := json.NewEncoder(os.Stdout)
	var all sync.WaitGroup
	for worker := range byte(8) {
		all.Go(func() {
			w := work{process, worker}
			for n := uint32(1); ; n++ {
				owner := replay.NewOwner()
				if _, err := store.Claim(context.Background(), w.keys(n), owner, time.Minute); err != nil {
					panic(err)
				}
				if err := store.Commit(context.Background(), w.keys(n), owner, time.Hour, 200); err != nil {
					panic(err)
				}
				out.Lock()
				_ = encoder.Encode(progress{w, n})
				out.Unlock()
			}
		})
	}
	all.Wait()
}

func TestACommitIsCompleteAfterAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replay.db")
	r := rand.New(rand.NewPCG(1, 2))
	committed := map[work]uint32{}
	for range 5 {
		commitAndKill(t, path, 100+r.IntN(500), committed)
		store := mustOpen(t, Options{Path: path})
		for w, last := range committed {
			for n := uint32(1); n <= last; n++ {
				if got := stateOf(t, store, w.keys(n)); got != replay.Handled {
					t.Fatalf("committed delivery %d of %d is %v after a kill", n, last, got)
				}
			}
			stateOf(t, store, w.keys(last+1)) // can have been in progress
			if got := stateOf(t, store, w.keys(last+2)); got != replay.Free {
				t.Fatalf("a delivery that was never claimed is %v", got)
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// stateOf returns the state of all keys of a delivery.
func stateOf(t *testing.T, store *Store, keys replay.Keys) replay.State {
	t.Helper()
	states, err := store.Lookup(t.Context(), keys.All())
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range states {
		if state != states[0] {
			t.Fatalf("partial commit: the keys of a delivery are %v", states)
		}
	}
	return states[0]
}

// commitAndKill starts a process that commits deliveries, kills it after the
// given number of commits, and records what it has committed.
func commitAndKill(t *testing.T, path string, after int, committed map[work]uint32) {
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
	count := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var p progress
		if json.Unmarshal(lines.Bytes(), &p) != nil {
			break // the last line is incomplete
		}
		committed[p.Work] = p.Committed
		if count++; count == after {
			if err := victim.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = victim.Wait()
	if count < after {
		t.Fatalf("the process ended after %d of %d deliveries", count, after)
	}
}

func TestAFullDiskRejectsDeliveriesUntilSpaceIsFreed(t *testing.T) {
	fulldisk.Run(t, rejectsWhileFull)
}

func rejectsWhileFull(t *testing.T, fill, free func()) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var logged logBook
		path := filepath.Join(t.TempDir(), "replay.db")
		store := mustOpen(t, Options{Path: path})
		store.SetLogger(slog.New(slog.NewTextHandler(&logged, nil)))
		first := handle(t, store, 1)
		fill()

		keys := replay.Keys{Blocking: []replay.Key{{2}}}
		owner := replay.NewOwner()
		if _, err := store.Claim(t.Context(), keys, owner, time.Minute); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			err := store.Commit(t.Context(), keys, owner, time.Hour, 200)
			wantError(t, err, ErrUnwritable, "free up space")
		}
		if v, err := store.ledger.Claim(keys, replay.NewOwner(), time.Minute); v != replay.InProgress || err != nil {
			t.Errorf("after a failed commit: %v, %v; want the claim to remain", v, err)
		}
		_, err := store.Claim(t.Context(), replay.Keys{Blocking: []replay.Key{{3}}}, replay.NewOwner(), time.Minute)
		wantError(t, err, ErrUnwritable, "free up space")

		free()
		time.Sleep(2 * boltfile.ProbeEvery)
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

// A page that is unreadable, because the disk fails or the file was truncated,
// must not crash the server.
func TestAFileDamagedWhileInUseIsAnError(t *testing.T) {
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
