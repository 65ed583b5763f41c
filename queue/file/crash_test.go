package file

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
)

// victimPath is the environment variable that makes the test program put and
// deliver entries until it is killed.
const victimPath = "QUEUE_FILE_VICTIM"

func TestMain(m *testing.M) {
	if path := os.Getenv(victimPath); path != "" {
		workForever(path)
	}
	os.Exit(m.Run())
}

// progress is printed for each entry when a call for it has returned.
type progress struct {
	Key string `json:"key"`
	// State is waiting, delivered, dead, or retried.
	State string `json:"state"`
}

// bodyFor returns the body of an entry: one in eight is large.
func bodyFor(key string) []byte {
	size := 100
	if key[len(key)-1]%8 == 0 {
		size = maxInline + 1000
	}
	return bytes.Repeat([]byte(key), size/len(key)+1)
}

// workForever puts entries from several goroutines and ends them in every way.
func workForever(path string) {
	store, err := Open(Options{Path: path, MinFree: -1})
	if err != nil {
		panic(err)
	}
	var out sync.Mutex
	encoder := json.NewEncoder(os.Stdout)
	say := func(key, state string, err error) {
		if err != nil {
			panic(err)
		}
		out.Lock()
		defer out.Unlock()
		if err := encoder.Encode(progress{key, state}); err != nil {
			panic(err)
		}
	}
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for {
				key := queue.NewKey()
				body := bodyFor(key)
				_, err := store.Put(context.Background(), queue.Put{Queue: "q", Key: key, Body: bytes.NewReader(body), BodySize: int64(len(body)), Remember: time.Hour})
				say(key, "waiting", err)
			}
		})
	}
	for range 3 {
		all.Go(func() {
			for {
				leases, _, err := store.Lease(context.Background(), "q", 1, time.Minute)
				if err != nil {
					panic(err)
				}
				for _, l := range leases {
					key := l.Entry.Key
					switch key[0] % 4 {
					case 0:
						say(key, "retried", store.Finish(context.Background(), l, queue.Outcome{Action: queue.Retry, Delay: time.Hour}))
					case 1:
						say(key, "dead", store.Finish(context.Background(), l, queue.Outcome{Action: queue.Bury}))
					default:
						say(key, "delivered", store.Finish(context.Background(), l, queue.Outcome{Action: queue.Deliver}))
					}
				}
			}
		})
	}
	all.Wait()
}

func TestNothingIsLostWhenTheProcessIsKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	r := rand.New(rand.NewPCG(1, 2))
	known := map[string]string{}
	for range 6 {
		workAndKill(t, path, 200+r.IntN(600), known)
		store := mustOpen(t, Options{Path: path, MinFree: -1})
		store.bodies.running.Wait() // until the files of the killed process are removed
		for key, state := range known {
			checkSurvivor(t, store, key, state)
		}
		checkConsistent(t, store)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d entries acknowledged in 6 processes that were killed, 0 lost", len(known))
}

// checkSurvivor checks an entry that a killed process has reported. The process
// may have done more that it could not report.
func checkSurvivor(t *testing.T, store *Store, key, state string) {
	t.Helper()
	e, err := store.Get(t.Context(), "q", key)
	if err != nil {
		t.Fatalf("%s, which was %s, is lost: %v", key, state, err)
	}
	switch {
	case state == "waiting":
	case state == "retried" && e.State == queue.Waiting && e.Attempts == 1:
	case state == e.State.String():
	default:
		t.Fatalf("%s, which was %s, is %v with %d attempts", key, state, e.State, e.Attempts)
	}
	if e.State == queue.Delivered {
		return
	}
	body, err := store.Body(t.Context(), "q", key)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := body.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if got, err := io.ReadAll(stream); err != nil || !bytes.Equal(got, bodyFor(key)) {
		t.Fatalf("the body of %s differs from the stored one: %v", key, err)
	}
}

// checkConsistent checks that the counts are correct and no body file is
// unreferenced.
func checkConsistent(t *testing.T, store *Store) {
	t.Helper()
	var waiting, dead, large int64
	filter := queue.Filter{Queue: "q", Limit: 1000}
	for {
		page, err := store.List(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			if e.BodySize > maxInline {
				large++
			}
			if e.State == queue.Dead {
				dead++
			} else {
				waiting++
			}
		}
		if filter.After = page.Next; page.Next == "" {
			break
		}
	}
	s, err := store.Stats(t.Context(), "q")
	if err != nil || s.Waiting != waiting || s.Dead != dead || s.InFlight != 0 {
		t.Errorf("Stats = %+v, %v; there are %d waiting and %d dead", s, err, waiting, dead)
	}
	files, err := os.ReadDir(store.bodies.dir)
	if err != nil || int64(len(files)) != large {
		t.Errorf("there are %d body files for %d large bodies, %v", len(files), large, err)
	}
}

// workAndKill starts another process, kills it after the given number of
// reports, and records the reports.
func workAndKill(t *testing.T, path string, after int, known map[string]string) {
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
		if p.State != "waiting" || known[p.Key] == "" { // two goroutines can report in the other order
			known[p.Key] = p.State
		}
		if count++; count == after {
			if err := victim.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = victim.Wait()
	if count < after {
		t.Fatalf("the process ended after %d of %d lines", count, after)
	}
}

func large(key string) queue.Put {
	body := bytes.Repeat([]byte("large "), 100_000)
	return queue.Put{Queue: "q", Key: key, Body: bytes.NewReader(body), BodySize: int64(len(body)), Remember: time.Hour}
}

func small(key string) queue.Put {
	return queue.Put{Queue: "q", Key: key, Body: strings.NewReader("body"), BodySize: 4, Remember: time.Hour}
}

func put(t *testing.T, s *Store, p queue.Put) {
	t.Helper()
	if _, err := s.Put(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

func bodyFiles(t *testing.T, path string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(path+".bodies", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestQueueFilesArePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "queue.db")
	store := mustOpen(t, Options{Path: path, MinFree: -1})
	put(t, store, large("k"))
	modes := map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700, path + ".bodies": 0o700, bodyFiles(t, path)[0]: 0o600}
	for path, want := range modes {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", filepath.Base(path), got, want)
		}
	}
}

func TestUnreferencedBodyFilesAreRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	store := mustOpen(t, Options{Path: path, MinFree: -1})
	put(t, store, large("k"))
	put(t, store, large("k")) // stores no second file
	if _, err := store.Put(t.Context(), queue.Put{Queue: "q", Key: "l", Body: strings.NewReader("short"), BodySize: maxInline + 1}); !errors.Is(err, queue.ErrInvalid) {
		t.Fatal(err)
	}
	if files := bodyFiles(t, path); len(files) != 1 {
		t.Fatalf("files: %v, want one", files)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"0123456789abcdef-1", "torn", "x"} { // files that a crash leaves behind
		if err := os.WriteFile(filepath.Join(path+".bodies", name), []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store = mustOpen(t, Options{Path: path, MinFree: -1})
	store.bodies.running.Wait()
	if files := bodyFiles(t, path); len(files) != 1 {
		t.Fatalf("files: %v, want one", files)
	}
	if n, err := store.Discard(t.Context(), "q", []string{"k"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if files := bodyFiles(t, path); len(files) != 0 {
		t.Fatalf("files: %v, want none", files)
	}
}

func TestABodyFileThatIsTornOrMissingIsAnError(t *testing.T) {
	for what, damage := range map[string]func(string) error{
		"missing": os.Remove,
		"torn":    func(path string) error { return os.Truncate(path, 1000) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"longer":  func(path string) error { return os.Truncate(path, 10_000_000) },
	} {
		path := filepath.Join(t.TempDir(), "queue.db")
		store := mustOpen(t, Options{Path: path, MinFree: -1})
		put(t, store, large("k"))
		put(t, store, small("other"))
		if err := damage(bodyFiles(t, path)[0]); err != nil {
			t.Fatal(err)
		}
		leases, _, err := store.Lease(t.Context(), "q", 10, time.Minute)
		if err != nil || len(leases) != 2 {
			t.Fatalf("%s: Lease = %d, %v", what, len(leases), err)
		}
		stream, err := leases[0].Body.Open(t.Context())
		if err == nil {
			_, err = io.Copy(io.Discard, stream)
			_ = stream.Close()
		}
		if !errors.Is(err, queue.ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", what, err)
		}
	}
}

func TestTooLittleDiskSpaceIsFull(t *testing.T) {
	store := mustOpen(t, Options{Path: filepath.Join(t.TempDir(), "queue.db"), MinFree: 1 << 62})
	_, err := store.Put(t.Context(), small("k"))
	if full, ok := errors.AsType[*queue.FullError](err); !ok || full.What != queue.FullDisk || full.Limit != 1<<62 {
		t.Fatalf("Put = %v, want one that says disk", err)
	}
	store.SetMinFree(-1)
	put(t, store, small("k"))
}

func TestAFileDamagedWhileInUseIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	store := mustOpen(t, Options{Path: path, MinFree: -1})
	for n := range 200 {
		put(t, store, small(fmt.Sprint(n)))
	}
	if err := os.Truncate(path, int64(2*os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := store.Put(t.Context(), small("k")); !errors.Is(err, queue.ErrUnavailable) {
			t.Fatalf("Put = %v, want ErrUnavailable", err)
		}
	}
	if _, _, err := store.Lease(t.Context(), "q", 1, time.Minute); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Lease = %v, want ErrUnavailable", err)
	}
}

func TestTheErrorForALockedFileSaysWhatToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	mustOpen(t, Options{Path: path})
	_, err := Open(Options{Path: path, LockTimeout: 10 * time.Millisecond})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "caddy reload") || !strings.Contains(err.Error(), path) {
		t.Errorf("Open = %v", err)
	}
}

func TestAFileThatIsNotAQueueIsNotReplaced(t *testing.T) {
	for what, content := range map[string]string{"empty": "", "text": strings.Repeat("text", 10_000)} {
		path := filepath.Join(t.TempDir(), "queue.db")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{Path: path}); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: Open = %v, want ErrDamaged", what, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("%s: the file was changed", what)
		}
	}
}

// A file that was once large still opens fast and accepts entries, even after a
// crash, when it does not contain the list of its free pages.
func TestFileThatWasLargeOpensFast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	store := mustOpen(t, Options{Path: path, MinFree: -1})
	body := make([]byte, maxInline)
	for n := range 400 {
		p := small(fmt.Sprint(n))
		p.Body, p.BodySize = bytes.NewReader(body), int64(len(body))
		put(t, store, p)
	}
	for range 4 {
		leases, _, err := store.Lease(t.Context(), "q", 100, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range leases {
			if err := store.Finish(t.Context(), l, queue.Outcome{Action: queue.Deliver}); err != nil {
				t.Fatal(err)
			}
		}
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, small("k"))
	crashed := mustOpen(t, Options{Path: crash(t, path), MinFree: -1})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = mustOpen(t, Options{Path: path, MinFree: -1})
	for _, s := range []*Store{crashed, store} {
		if e, err := s.Get(t.Context(), "q", "k"); err != nil || e.State != queue.Waiting {
			t.Fatalf("Get = %v, %v", e.State, err)
		}
		for n := range 100 {
			p := small(fmt.Sprint("again", n))
			p.Body, p.BodySize = bytes.NewReader(body), int64(len(body))
			put(t, s, p)
		}
	}
	if after, err := os.Stat(path); err != nil || after.Size() != before.Size() {
		t.Errorf("the file grew from %d to %d bytes although it had free pages", before.Size(), after.Size())
	}
}
