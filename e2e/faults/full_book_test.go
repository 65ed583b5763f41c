package faults

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// book is what the app has handled, of all parts: 16 bytes for each delivery,
// written before the app answers.
type book struct {
	file *os.File

	mu      sync.Mutex
	entries []entry // by number
}

// entry is one delivery in the book.
type entry struct {
	key   uint64 // a hash of its Webhook-Verified-Key
	times uint64 // how often the app has handled it
}

const entrySize = 16

func openBook(path string, deliveries int) (*book, error) {
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	b := &book{entries: make([]entry, deliveries)}
	for i := range min(deliveries, len(raw)/entrySize) {
		b.entries[i] = entry{binary.BigEndian.Uint64(raw[i*entrySize:]), binary.BigEndian.Uint64(raw[i*entrySize+8:])}
	}
	b.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	return b, err
}

// add notes that a delivery is handled. It returns an error if its key is not
// the one it had before.
func (b *book) add(number int, key string) error {
	if key == "" {
		return fmt.Errorf("delivery %d has no key", number)
	}
	sum := sha256.Sum256([]byte(key))
	raw := binary.BigEndian.Uint64(sum[:])
	b.mu.Lock()
	defer b.mu.Unlock()
	e := &b.entries[number]
	if e.times > 0 && e.key != raw {
		return fmt.Errorf("delivery %d has another key than before: %s", number, key)
	}
	e.key = raw
	e.times++
	row := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, e.key), e.times)
	_, err := b.file.WriteAt(row, int64(number)*entrySize)
	return err
}

// count returns how many of the first n deliveries the app has handled, how
// many more than once, and how many share a key with another one.
func (b *book) count(n int) (handled, twice, shared int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var keys []uint64
	for _, e := range b.entries[:n] {
		switch {
		case e.times > 1:
			twice++
			fallthrough
		case e.times == 1:
			handled++
			keys = append(keys, e.key)
		}
	}
	slices.Sort(keys)
	return handled, twice, len(keys) - len(slices.Compact(keys))
}

func (b *book) handled(number int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.entries[number].times > 0
}

// fullApp is the app behind both sites. One request in 50 fails in one of three
// ways, before it is handled.
type fullApp struct {
	*httptest.Server
	run *fullRun

	requests atomic.Int64
	wrong    atomic.Int64 // requests that should not have come
	first    atomic.Pointer[string]
}

func startFullApp(t *testing.T, run *fullRun) *fullApp {
	a := &fullApp{run: run}
	a.Server = httptest.NewUnstartedServer(a)
	a.Config.IdleTimeout = time.Second // so that idle connections do not count at the end
	a.Start()
	t.Cleanup(a.Close)
	return a
}

// inBody finds the number of a delivery.
var inBody = regexp.MustCompile(`soak-([0-9]+)`)

func (a *fullApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // Caddy was killed while sending: the app never had it whole
	}
	number, err := a.check(r, body)
	if err != nil {
		a.wrong.Add(1)
		text := err.Error()
		a.first.CompareAndSwap(nil, &text)
		w.WriteHeader(http.StatusOK)
		return
	}
	switch n := a.requests.Add(1); n % 150 {
	case 0:
		w.WriteHeader(http.StatusInternalServerError)
		return
	case 50:
		panic(http.ErrAbortHandler)
	case 100:
		time.Sleep(20 * time.Millisecond)
	}
	attempt, _ := strconv.Atoi(r.Header.Get(attemptHeader))
	if err := a.run.book.add(number, r.Header.Get("Webhook-Verified-Key")); err != nil {
		a.wrong.Add(1)
		text := err.Error()
		a.first.CompareAndSwap(nil, &text)
	}
	a.run.handledBy(number, handling{attempt: attempt, at: time.Now()})
	w.WriteHeader(http.StatusOK)
}

// check returns the number of a delivery that is as its provider sent it.
func (a *fullApp) check(r *http.Request, body []byte) (int, error) {
	found := inBody.FindSubmatch(body)
	if found == nil {
		return 0, fmt.Errorf("%s: this is not a delivery: %.100q", r.URL.Path, body)
	}
	number, err := strconv.Atoi(string(found[1]))
	if err != nil || number >= len(a.run.book.entries) {
		return 0, fmt.Errorf("%s: this delivery was never sent: %.100q", r.URL.Path, body)
	}
	sent := a.run.fullDelivery(number)
	if !bytes.Equal(body, sent.provider.Body(sent.id)) || r.URL.Path != sent.path() {
		return 0, fmt.Errorf("%s: these are other bytes than delivery %d has: %.100q", r.URL.Path, number, body)
	}
	return number, nil
}
