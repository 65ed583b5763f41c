package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
	queuefile "github.com/verify-webhook/caddy-verify-webhook/queue/file"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	replayfile "github.com/verify-webhook/caddy-verify-webhook/replay/file"
)

// victimVariable makes this test program use a file for a while, and print what
// it begins and what has ended.
const victimVariable = "TORN_VICTIM"

func TestMain(m *testing.M) {
	folder := os.Getenv("TORN_FOLDER")
	switch os.Getenv(victimVariable) {
	case "replay":
		commitDeliveries(filepath.Join(folder, "replays.db"))
	case "queue":
		queueDeliveries(filepath.Join(folder, "queue.db"))
	default:
		os.Exit(m.Run())
	}
}

// deliveriesOfVictim is how many deliveries a victim handles.
const deliveriesOfVictim = 60

// say prints a line with one system call, so that it is where it belongs in the
// trace.
func say(format string, values ...any) { _, _ = fmt.Fprintf(os.Stdout, format+"\n", values...) }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func tornKeys(n int) replay.Keys {
	key := func(kind string) replay.Key {
		return replay.NewKey("torn", []byte("secret"), replay.KindContent, fmt.Appendf(nil, "%s %d", kind, n))
	}
	return replay.Keys{Blocking: []replay.Key{key("a"), key("b")}, Notes: []replay.Key{key("note")}}
}

func commitDeliveries(path string) {
	store := must(replayfile.Open(replayfile.Options{Path: path}))
	for n := range deliveriesOfVictim {
		say("begin %d", n)
		owner := replay.NewOwner()
		must(store.Claim(context.Background(), tornKeys(n), owner, time.Minute))
		window := time.Duration(1+n%3) * 24 * time.Hour
		must(0, store.Commit(context.Background(), tornKeys(n), owner, window, 200))
		say("end %d", n)
		if n%20 == 19 { // another process goes on
			must(0, store.Close())
			store = must(replayfile.Open(replayfile.Options{Path: path}))
		}
	}
	must(0, store.Close())
}

// tornBody is the body of an entry: every tenth is a file of its own.
func tornBody(key string, n int) []byte {
	size := 50 + n*37%3000
	if n%10 == 0 {
		size = 70_000
	}
	return bytes.Repeat([]byte(key), size/len(key)+1)
}

func queueDeliveries(path string) {
	store := must(queuefile.Open(queuefile.Options{Path: path, MinFree: -1}))
	for n := range deliveriesOfVictim {
		key := fmt.Sprintf("key-%d", n)
		body := tornBody(key, n)
		say("begin %s waiting", key)
		must(store.Put(context.Background(), queue.Put{Queue: "q", Key: key, Body: bytes.NewReader(body), BodySize: int64(len(body)), Remember: time.Hour}))
		say("end %s waiting", key)
		if n%2 == 0 {
			continue
		}
		leases, _, err := store.Lease(context.Background(), "q", 1, time.Minute)
		must(0, err)
		for _, l := range leases {
			state, outcome := "delivered", queue.Outcome{Action: queue.Deliver}
			switch n / 2 % 4 {
			case 0:
				state, outcome = "retried", queue.Outcome{Action: queue.Retry, Delay: time.Hour}
			case 1:
				state, outcome = "dead", queue.Outcome{Action: queue.Bury}
			}
			say("begin %s %s", l.Entry.Key, state)
			must(0, store.Finish(context.Background(), l, outcome))
			say("end %s %s", l.Entry.Key, state)
		}
	}
	must(0, store.Close())
}

// TestAPowerCutAtAnyPointLosesNothingDurable records what bbolt and the queue
// write and sync, and makes of every point what a power cut there could leave:
// everything that was synced, and of the rest any part, torn by sectors. Each of
// these must open, and hold all that was acknowledged.
func TestAPowerCutAtAnyPointLosesNothingDurable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		victim string
		check  func(t *testing.T, folder string, said []string)
	}{
		{"replay", checkReplays},
		{"queue", checkQueue},
	} {
		t.Run(test.victim, func(t *testing.T) {
			folder := t.TempDir()
			steps := traced(t, test.victim, folder)
			random := rand.New(rand.NewPCG(1, 2)) // the same in every run
			d := newDisk()
			var lines []string
			states, syncs := 0, 0
			for i, s := range steps {
				d.do(s)
				switch s.kind {
				case said:
					lines = append(lines, strings.Fields(string(s.data))...)
					continue // nothing else has changed
				case synced:
					syncs++
				}
				for range times(1, 10) {
					states++
					cut := scratch(t)
					d.cut(t, random, folder, cut)
					test.check(t, cut, lines)
					if err := os.RemoveAll(cut); err != nil {
						t.Fatal(err)
					}
					if t.Failed() {
						t.Fatalf("this is after step %d of %d", i, len(steps))
					}
				}
			}
			t.Logf("%d states of the disk, at %d points and %d syncs", states, len(steps), syncs)
			if syncs < deliveriesOfVictim {
				t.Errorf("only %d syncs for %d deliveries: the trace is not whole", syncs, deliveriesOfVictim)
			}
		})
	}
}

// scratch returns a folder in memory if there is one, since each state is
// opened, and synced, once.
func scratch(t *testing.T) string {
	t.Helper()
	for _, parent := range []string{"/dev/shm", t.TempDir()} {
		if folder, err := os.MkdirTemp(parent, "torn-*"); err == nil { //nolint:usetesting // t.TempDir is on the disk
			t.Cleanup(func() { _ = os.RemoveAll(folder) })
			return folder
		}
	}
	t.Fatal("there is no folder for the states")
	return ""
}

// checkReplays opens the replay file that is left. said are the words that the
// victim has printed.
func checkReplays(t *testing.T, folder string, said []string) {
	t.Helper()
	path := filepath.Join(folder, "replays.db")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && len(said) == 0 {
		return // it was not created yet
	}
	store, err := replayfile.Open(replayfile.Options{Path: path})
	if err != nil {
		t.Errorf("opening it: %v", err)
		return
	}
	defer store.Close()
	begun, ended := 0, 0
	for i := 0; i < len(said); i += 2 {
		if said[i] == "begin" {
			begun++
		} else {
			ended++
		}
	}
	for n := range begun + 1 {
		states, err := store.Lookup(t.Context(), tornKeys(n).All())
		if err != nil {
			t.Errorf("looking up delivery %d: %v", n, err)
			continue
		}
		for _, state := range states {
			switch {
			case state != states[0]:
				t.Errorf("delivery %d is half committed: %v", n, states)
			case n < ended && state != replay.Handled:
				t.Errorf("delivery %d was committed, and is %v", n, state)
			case n >= begun && state != replay.Free:
				t.Errorf("delivery %d was not begun, and is %v", n, state)
			}
		}
	}
	owner := replay.NewOwner()
	next := tornKeys(deliveriesOfVictim)
	if verdict, err := store.Claim(t.Context(), next, owner, time.Minute); verdict != replay.Ours || err != nil {
		t.Errorf("claiming: %v, %v", verdict, err)
	}
	if err := store.Commit(t.Context(), next, owner, time.Hour, 200); err != nil {
		t.Errorf("committing: %v", err)
	}
}

// checkQueue opens the queue file that is left.
func checkQueue(t *testing.T, folder string, said []string) {
	t.Helper()
	path := filepath.Join(folder, "queue.db")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && len(said) == 0 {
		return
	}
	store, err := queuefile.Open(queuefile.Options{Path: path, MinFree: -1})
	if err != nil {
		t.Errorf("opening it: %v", err)
		return
	}
	defer store.Close()
	// What each entry may be: as it was last acknowledged, or as it was begun to
	// be made.
	may := map[string][]string{}
	var keys []string
	for i := 0; i < len(said); i += 3 {
		key, state := said[i+1], said[i+2]
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
			may[key] = []string{"none"}
		}
		if said[i] == "end" {
			may[key] = nil
		}
		may[key] = append(may[key], state)
	}
	for n, key := range keys {
		state := tornState(t, store, key, n)
		if !slices.Contains(may[key], state) {
			t.Errorf("%s is %s, want one of %v", key, state, may[key])
		}
	}
	if _, err := store.Put(t.Context(), queue.Put{Queue: "q", Key: "another", Body: strings.NewReader("body"), BodySize: 4, Remember: time.Hour}); err != nil {
		t.Errorf("putting another: %v", err)
	}
}

// tornState returns the state of the nth entry and checks its body.
func tornState(t *testing.T, store *queuefile.Store, key string, n int) string {
	t.Helper()
	e, err := store.Get(t.Context(), "q", key)
	if errors.Is(err, queue.ErrNotFound) {
		return "none"
	}
	if err != nil {
		return err.Error()
	}
	if e.State == queue.Delivered {
		return "delivered"
	}
	body, err := store.Body(t.Context(), "q", key)
	if err != nil {
		return "without its body: " + err.Error()
	}
	stream, err := body.Open(t.Context())
	if err != nil {
		return "without its body: " + err.Error()
	}
	defer stream.Close()
	if got, err := io.ReadAll(stream); err != nil || !bytes.Equal(got, tornBody(key, n)) {
		return fmt.Sprintf("with another body: %v", err)
	}
	if e.State == queue.Waiting && e.Attempts == 1 {
		return "retried"
	}
	return e.State.String()
}

// TestADamagedFileIsAnErrorAndNeverASilentLoss overwrites each page of a replay
// file with zeros, and cuts the file there: what opens holds all that was
// committed, and everything else says what to do.
func TestADamagedFileIsAnErrorAndNeverASilentLoss(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	steps := traced(t, "replay", folder)
	var words []string
	for _, s := range steps {
		if s.kind == said {
			words = append(words, strings.Fields(string(s.data))...)
		}
	}
	whole, err := os.ReadFile(filepath.Join(folder, "replays.db"))
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	opened, refused := 0, 0
	for at := 0; at < len(whole); at += page {
		contents := [][]byte{whole[:at], whole[:at+page/2]}
		// The first two pages are bbolt's roots, written in turn. Without the newer
		// one it takes the older one, as after a power cut in the middle of a write.
		if at >= 2*page {
			zeroed := bytes.Clone(whole)
			clear(zeroed[at : at+page])
			contents = append(contents, zeroed)
		}
		for _, content := range contents {
			cut := scratch(t)
			path := filepath.Join(cut, "replays.db")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			store, err := replayfile.Open(replayfile.Options{Path: path})
			if err != nil {
				refused++
				if text := err.Error(); !strings.Contains(text, "damaged") || !strings.Contains(text, "move the file away") || !strings.Contains(text, path) {
					t.Errorf("the error does not say what to do: %v", err)
				}
				if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, content) {
					t.Errorf("page %d: the damaged file is not left as it was: %v", at/page, err)
				}
				continue
			}
			if err := store.Close(); err != nil {
				t.Errorf("page %d: closing: %v", at/page, err)
			}
			opened++
			checkReplays(t, cut, words)
		}
	}
	t.Logf("%d damaged files: %d were refused, %d had lost nothing", opened+refused, refused, opened)
	if refused == 0 {
		t.Error("no damaged file was refused")
	}
}
