package body

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// The two locations of a body.
var places = map[string]Limits{
	"memory": {MaxSize: 4 << 20, InMemory: 4 << 20},
	"file":   {MaxSize: 4 << 20},
}

func mustRead(t testing.TB, p []byte, limits Limits, budget *Budget) *Body {
	t.Helper()
	if limits.Dir == "" {
		limits.Dir = t.TempDir()
	}
	b, err := Read(bytes.NewReader(p), int64(len(p)), limits, budget)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func held(budget *Budget) bool {
	memory, disk := budget.InUse()
	return memory+disk > 0
}

func TestBodyIsReleasedWithTheLastReferenceInAnyOrder(t *testing.T) {
	for place, limits := range places {
		orders := [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
		for _, order := range orders {
			budget := NewBudget(plenty, plenty)
			b := mustRead(t, []byte("payload"), limits, budget)
			first, second := b.Open(), b.Open()
			holds := []func(){b.Release, func() { first.Close() }, func() { second.Close() }}
			for _, i := range order {
				if !held(budget) {
					t.Fatalf("%s, order %v: released too early", place, order)
				}
				holds[i]()
				holds[i]() // counts once
			}
			mustBeFree(t, budget)
		}
	}
}

func TestAnOpenReaderSurvivesRelease(t *testing.T) {
	for place, limits := range places {
		budget := NewBudget(plenty, plenty)
		want := pattern(200_000, 1)
		b := mustRead(t, want, limits, budget)
		r := b.Open()
		b.Release()
		mustRead(t, pattern(200_000, 2), limits, budget).Release() // would reuse the buffer
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: error %v, equal: %t", place, err, bytes.Equal(got, want))
		}
		r.Close()
		mustBeFree(t, budget)
	}
}

func TestUseAfterReleaseReturnsAnErrorAndNoBytes(t *testing.T) {
	for place, limits := range places {
		for name, othersOpen := range map[string]bool{"last": false, "with another reader open": true} {
			t.Run(place+"/"+name, func(t *testing.T) {
				budget := NewBudget(plenty, plenty)
				b := mustRead(t, []byte("payload"), limits, budget)
				r := b.Open()
				if othersOpen {
					defer b.Open().Close()
				}
				r.Close()
				b.Release()

				p := []byte("untouched")
				if n, err := r.Read(p); n != 0 || !errors.Is(err, ErrClosed) || string(p) != "untouched" {
					t.Errorf("Read: %d, %v, %q", n, err, p)
				}
				late := b.Open()
				if n, err := late.Read(p); n != 0 || !errors.Is(err, ErrClosed) {
					t.Errorf("Read of a reader opened late: %d, %v", n, err)
				}
				late.Close()
				for what, w := range map[string]io.WriterTo{"reader": r.(io.WriterTo), "late reader": late.(io.WriterTo), "body": b} {
					var out bytes.Buffer
					if n, err := w.WriteTo(&out); n != 0 || out.Len() != 0 || !errors.Is(err, ErrClosed) {
						t.Errorf("WriteTo of the %s: %d, %v", what, n, err)
					}
				}
				if b.Bytes() != nil {
					t.Error("Bytes returns a buffer after Release")
				}
				if held(budget) != othersOpen {
					t.Error("a late reader changed the bytes in use")
				}
			})
		}
	}
}

func TestBytesCannotReachDataOfAnEarlierBody(t *testing.T) {
	budget := NewBudget(plenty, 0)
	b := mustRead(t, []byte("short"), places["memory"], budget)
	defer b.Release()
	if p := b.Bytes(); cap(p) != len(p) {
		t.Errorf("%d bytes of capacity beyond the %d of the body", cap(p)-len(p), len(p))
	}
}

type writeFunc func([]byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

func TestCloseDuringACallNeitherWaitsNorReleasesTheBuffer(t *testing.T) {
	for place, limits := range places {
		for _, of := range []string{"reader", "body"} {
			t.Run(place+"/"+of, func(t *testing.T) {
				budget := NewBudget(plenty, plenty)
				want := pattern(2*spoolBuffer, 1)
				b := mustRead(t, want, limits, budget)
				r := b.Open()
				var out bytes.Buffer
				w := writeFunc(func(p []byte) (int, error) {
					r.Close()
					b.Release()
					if !held(budget) {
						t.Error("released while it is being written")
					}
					mustRead(t, pattern(2*spoolBuffer, 2), limits, budget).Release() // would reuse the buffer
					return out.Write(p)
				})
				from := io.WriterTo(b)
				if of == "reader" {
					from = r.(io.WriterTo)
				}
				n, err := from.WriteTo(w)
				if err != nil && !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
				if err == nil && n != int64(len(want)) || !bytes.HasPrefix(want, out.Bytes()) || n != int64(out.Len()) {
					t.Errorf("%d bytes were written, error %v, equal to the body: %t", n, err, bytes.HasPrefix(want, out.Bytes()))
				}
				if place == "file" && out.Len() == len(want) {
					t.Error("the file was written to its end after Close")
				}
				mustBeFree(t, budget)
			})
		}
	}
}

func TestABodyWithoutReferencesCannotBeUsed(t *testing.T) {
	b := mustRead(t, []byte("payload"), places["memory"], NewBudget(plenty, 0))
	b.Release()
	if b.hold() {
		t.Error("a reference was added to a released buffer")
	}
}

func TestWriteToReportsWhatTheWriterDid(t *testing.T) {
	full := errors.New("full")
	for place, limits := range places {
		budget := NewBudget(plenty, plenty)
		b := mustRead(t, pattern(200_000, 1), limits, budget)
		n, err := b.WriteTo(writeFunc(func([]byte) (int, error) { return 3, full }))
		if n != 3 || !errors.Is(err, full) {
			t.Errorf("%s: failing writer: %d, %v", place, n, err)
		}
		n, err = b.WriteTo(writeFunc(func(p []byte) (int, error) { return len(p) - 1, nil }))
		if n == 0 || !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("%s: short write: %d, %v", place, n, err)
		}
		b.Release()
		mustBeFree(t, budget)
	}
}

// Many bodies of one size class are created and released, so that their buffers
// are reused immediately. One goroutine closes readers while another reads. No
// reader must ever see a byte of another body. The race detector checks the
// accesses.
func TestReadersThatRaceWithCloseSeeOnlyTheirOwnBody(t *testing.T) {
	const size = 20_000
	for place, limits := range places {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			limits.Dir = t.TempDir()
			budget := NewBudget(plenty, plenty)
			var workers sync.WaitGroup
			for worker := range 8 {
				workers.Go(func() {
					for round := range 50 {
						passBody(t, byte(worker*50+round), size, limits, budget)
					}
				})
			}
			workers.Wait()
			mustBeFree(t, budget)
		})
	}
}

// passBody reads one body whose bytes are all mark, and closes it while its
// readers read.
func passBody(t *testing.T, mark byte, size int, limits Limits, budget *Budget) {
	b, err := Read(bytes.NewReader(bytes.Repeat([]byte{mark}, size)), int64(size), limits, budget)
	if err != nil {
		t.Error(err)
		return
	}
	onlyMine := writeFunc(func(p []byte) (int, error) {
		if n := bytes.Count(p, []byte{mark}); n != len(p) {
			t.Errorf("%d bytes of another body", len(p)-n)
		}
		return len(p), nil
	})
	var users sync.WaitGroup
	for i := range 4 {
		r := b.Open()
		users.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = r.(io.WriterTo).WriteTo(onlyMine)
			} else {
				_, err = io.CopyBuffer(onlyMine, struct{ io.Reader }{r}, make([]byte, 1000))
			}
			if err != nil && !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		})
		users.Go(func() { r.Close() })
		users.Go(func() { r.Close() })
	}
	users.Go(func() { _, _ = b.WriteTo(onlyMine) })
	users.Go(func() { b.Open().Close() })
	users.Go(b.Release)
	users.Wait()
}

// If an upstream responds without reading the body, the transport's goroutine
// still uses the body when the handler releases it.
func TestTransportCanReadTheBodyAfterTheResponse(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	defer upstream.Close()
	for place, limits := range places {
		for name, handlerCloses := range map[string]bool{"handler closes": true, "transport closes": false} {
			t.Run(place+"/"+name, func(t *testing.T) {
				limits.Dir = t.TempDir()
				budget := NewBudget(plenty, plenty)
				transport := &http.Transport{}
				defer transport.CloseIdleConnections()
				var senders sync.WaitGroup
				for range 4 {
					senders.Go(func() {
						for round := range 10 {
							want := bytes.Repeat([]byte{byte(round)}, 1<<20)
							b, err := Read(bytes.NewReader(want), int64(len(want)), limits, budget)
							if err != nil {
								t.Error(err)
								return
							}
							sendBody(t, transport, upstream.URL, b, want, handlerCloses)
						}
					})
				}
				senders.Wait()
				mustBeFree(t, budget)
			})
		}
	}
}

// sendBody releases the body when it has the response, like the handler. Then
// it waits for the readers that it opened.
func sendBody(t *testing.T, transport http.RoundTripper, url string, b *Body, want []byte, handlerCloses bool) {
	var opened []*trackedReader
	open := func() (io.ReadCloser, error) {
		r := &trackedReader{ReadCloser: b.Open(), t: t, want: want, closed: make(chan struct{})}
		opened = append(opened, r)
		return r, nil
	}
	r, _ := open()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, r)
	if err != nil {
		t.Error(err)
		return
	}
	req.ContentLength = b.Size()
	req.GetBody = open
	// An error is permitted: the upstream closes the connection while the
	// transport writes.
	if res, err := transport.RoundTrip(req); err == nil {
		res.Body.Close()
	}

	b.Release()
	for _, r := range opened {
		if handlerCloses {
			r.Close()
		}
		<-r.closed
		r.waitForRead() // a call in progress has a reference until it ends
	}
}

// waitForRead returns when no call of Read is in progress.
func (r *trackedReader) waitForRead() {
	r.reading.Lock()
	defer r.reading.Unlock()
}

// trackedReader is a reader that checks the bytes that are read. After Close,
// holding the lock of reading means that no call of Read is in progress.
type trackedReader struct {
	io.ReadCloser
	t       *testing.T
	want    []byte
	reading sync.Mutex
	closing sync.Once
	closed  chan struct{}
}

func (r *trackedReader) Read(p []byte) (int, error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	n, err := r.ReadCloser.Read(p)
	if !bytes.HasPrefix(r.want, p[:n]) {
		r.t.Error("bytes of another body")
	}
	r.want = r.want[n:]
	return n, err
}

func (r *trackedReader) Close() error {
	err := r.ReadCloser.Close()
	r.closing.Do(func() { close(r.closed) })
	return err
}
