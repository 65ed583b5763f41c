package body

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

const plenty = 1 << 40

// pattern returns n bytes that depend on their position and the seed.
func pattern(n int, seed uint64) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(p)
	return p
}

func mustBeFree(t *testing.T, budget *Budget) {
	t.Helper()
	if memory, disk := budget.InUse(); memory != 0 || disk != 0 {
		t.Fatalf("%d bytes of memory and %d of disk are still in use", memory, disk)
	}
}

// mustEqual reads the body in all ways and compares it.
func mustEqual(t *testing.T, b *Body, want []byte) {
	t.Helper()
	if b.Size() != int64(len(want)) {
		t.Fatalf("size is %d, want %d", b.Size(), len(want))
	}
	if got := b.Bytes(); (got == nil) != b.Spooled() {
		t.Fatalf("Bytes is nil: %t, spooled: %t", got == nil, b.Spooled())
	} else if got != nil && !bytes.Equal(got, want) {
		t.Fatal("Bytes differs from the source")
	}
	for range 2 {
		var out bytes.Buffer
		n, err := b.WriteTo(&out)
		if err != nil || n != int64(len(want)) || !bytes.Equal(out.Bytes(), want) {
			t.Fatalf("WriteTo wrote %d bytes, error %v, equal: %t", n, err, bytes.Equal(out.Bytes(), want))
		}
	}
	whole, half := b.Open(), b.Open()
	defer whole.Close()
	defer half.Close()
	if len(want) > 2*minBuffer {
		if got, err := io.ReadAll(whole); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("ReadAll: error %v, equal: %t", err, bytes.Equal(got, want))
		}
	} else if err := iotest.TestReader(whole, want); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, len(want)/2)
	if _, err := io.ReadFull(half, head); err != nil {
		t.Fatal(err)
	}
	var tail bytes.Buffer
	if _, err := half.(io.WriterTo).WriteTo(&tail); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(append(head, tail.Bytes()...), want) {
		t.Fatal("Read, then WriteTo, differs from the source")
	}
	if n, err := half.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("at the end Read returned %d, %v", n, err)
	}
}

func TestBodyEqualsItsSource(t *testing.T) {
	const inMemory = 80 << 10
	readers := map[string]func(io.Reader) io.Reader{
		"plain":         func(r io.Reader) io.Reader { return r },
		"byte by byte":  iotest.OneByteReader,
		"half":          iotest.HalfReader,
		"data with EOF": iotest.DataErrReader,
	}
	sizes := []int{
		0, 1, minBuffer - 1, minBuffer, minBuffer + 1, spoolStep - 1, spoolStep, spoolStep + 1, spoolBuffer - 1, spoolBuffer, spoolBuffer + 1,
		inMemory - 1, inMemory, inMemory + 1, 150_000,
	}
	for name, wrap := range readers {
		for _, size := range sizes {
			for _, declared := range []int64{-1, 0, int64(size) / 2, int64(size), int64(size) * 2} {
				t.Run(fmt.Sprintf("%s/%d declared %d", name, size, declared), func(t *testing.T) {
					budget := NewBudget(plenty, plenty)
					want := pattern(size, uint64(size))
					limits := Limits{MaxSize: 1 << 20, InMemory: inMemory, Dir: t.TempDir()}
					b, err := Read(wrap(bytes.NewReader(want)), declared, limits, budget)
					if err != nil {
						t.Fatal(err)
					}
					if b.Spooled() != (size > inMemory) && declared <= inMemory {
						t.Errorf("spooled: %t", b.Spooled())
					}
					mustEqual(t, b, want)
					b.Release()
					mustBeFree(t, budget)
				})
			}
		}
	}
}

func TestBodyAboveThePooledSizesIsInMemory(t *testing.T) {
	want := pattern(3<<19, 5)
	for _, declared := range []int64{-1, int64(len(want))} {
		budget := NewBudget(plenty, 0)
		b, err := Read(bytes.NewReader(want), declared, Limits{MaxSize: math.MaxInt64, InMemory: math.MaxInt64}, budget)
		if err != nil {
			t.Fatal(err)
		}
		mustEqual(t, b, want)
		b.Release()
		mustBeFree(t, budget)
	}
}

func TestBodyOfDeclaredLengthUsesOnlyItsSize(t *testing.T) {
	for size, want := range map[int64]int64{
		0: 0, 1: 4 << 10, 4 << 10: 4 << 10, 5000: 8 << 10, 8 << 10: 8 << 10, 64 << 10: 64 << 10,
		100_000: 128 << 10, 1 << 20: 1 << 20, 1<<20 + 1: 1<<20 + 64<<10,
	} {
		budget := NewBudget(plenty, 0)
		b, err := Read(bytes.NewReader(make([]byte, size)), size, Limits{MaxSize: plenty, InMemory: plenty}, budget)
		if err != nil {
			t.Fatal(err)
		}
		if memory, _ := budget.InUse(); memory != want {
			t.Errorf("%d bytes use %d, want %d", size, memory, want)
		}
		b.Release()
	}
}

// watched calls look before every Read.
type watched struct {
	io.Reader
	look func(room int)
}

func (w watched) Read(p []byte) (int, error) {
	w.look(len(p))
	return w.Reader.Read(p)
}

func TestBuffersAreLimitedByTheReceivedBytes(t *testing.T) {
	const size = 4 << 20
	for _, test := range []struct {
		declared, factor, inMemory int64
	}{
		{size, growDeclared, plenty},
		{size, growDeclared, 1 << 20},
		{-1, growUnknown, plenty},
		{-1, growUnknown, 1 << 20},
		{math.MaxInt64 - 1, growDeclared, plenty},
	} {
		budget := NewBudget(plenty, plenty)
		var arrived int64
		source := watched{iotest.HalfReader(bytes.NewReader(make([]byte, size))), func(int) {
			memory, disk := budget.InUse()
			if memory > max(minBuffer, test.factor*arrived) || disk > arrived+spoolStep {
				t.Fatalf("%+v: after %d bytes, %d of memory and %d of disk are in use", test, arrived, memory, disk)
			}
		}}
		counted := io.TeeReader(source, counter{&arrived})
		b, err := Read(counted, test.declared, Limits{MaxSize: math.MaxInt64, InMemory: test.inMemory, Dir: t.TempDir()}, budget)
		if err != nil {
			t.Fatal(err)
		}
		b.Release()
		mustBeFree(t, budget)
	}
}

type counter struct{ n *int64 }

func (c counter) Write(p []byte) (int, error) {
	*c.n += int64(len(p))
	return len(p), nil
}

func TestALargeBodyReleasesItsBufferWhenItMovesToTheFile(t *testing.T) {
	budget := NewBudget(plenty, plenty)
	var last int64
	source := watched{bytes.NewReader(make([]byte, 3<<20)), func(int) { last, _ = budget.InUse() }}
	b, err := Read(source, -1, Limits{MaxSize: 4 << 20, InMemory: 1 << 20, Dir: t.TempDir()}, budget)
	if err != nil {
		t.Fatal(err)
	}
	if memory, disk := budget.InUse(); last != spoolBuffer || memory != 0 || disk != 3<<20 {
		t.Errorf("%d bytes in use at the end of copying, after it %d and %d on disk", last, memory, disk)
	}
	b.Release()
	mustBeFree(t, budget)
}

func TestBodyLongerThanMaxSizeIsRejected(t *testing.T) {
	for _, maxSize := range []int64{math.MinInt64, 0, 1, 4095, 4096, 4097, 100_000, 1 << 20} {
		for _, inMemory := range []int64{0, plenty} {
			budget := NewBudget(plenty, plenty)
			limits := Limits{MaxSize: maxSize, InMemory: inMemory, Dir: t.TempDir()}
			allowed := max(maxSize, 0)

			for _, declared := range []int64{-1, 0, allowed} {
				source := strings.NewReader(strings.Repeat("x", int(allowed)+100))
				if _, err := Read(source, declared, limits, budget); !errors.Is(err, ErrTooLarge) {
					t.Fatalf("one byte above %d, declared %d: %v", maxSize, declared, err)
				}
				if read := allowed + 100 - int64(source.Len()); read > allowed+1 {
					t.Errorf("limit %d, declared %d: %d bytes were read", maxSize, declared, read)
				}
				mustBeFree(t, budget)

				b, err := Read(strings.NewReader(strings.Repeat("x", int(allowed))), declared, limits, budget)
				if err != nil {
					t.Fatalf("exactly %d bytes, declared %d: %v", maxSize, declared, err)
				}
				b.Release()
			}

			untouched := iotest.ErrReader(errors.New("reader was read"))
			if _, err := Read(untouched, allowed+1, limits, budget); err != ErrTooLarge {
				t.Errorf("a declared length above %d: %v", maxSize, err)
			}
			mustBeFree(t, budget)
		}
	}
}

type statusError struct{ status int }

func (statusError) Error() string { return "some status" }

func TestErrorOfTheReaderIsReturnedAndNothingIsInUse(t *testing.T) {
	for _, sent := range []int{0, 1, minBuffer, 100_000, 2 << 20} {
		for _, declared := range []int64{-1, 4 << 20} {
			for _, cause := range []error{&http.MaxBytesError{Limit: 7}, os.ErrDeadlineExceeded, statusError{413}, io.ErrUnexpectedEOF} {
				budget := NewBudget(plenty, plenty)
				source := io.MultiReader(bytes.NewReader(make([]byte, sent)), iotest.ErrReader(cause))
				_, err := Read(source, declared, Limits{MaxSize: 8 << 20, InMemory: 1 << 20, Dir: t.TempDir()}, budget)
				if !errors.Is(err, cause) || errors.Is(err, ErrBudget) || errors.Is(err, ErrTooLarge) {
					t.Errorf("%v was returned as %v", cause, err)
				}
				mustBeFree(t, budget)
			}
		}
	}
	_, err := Read(iotest.ErrReader(&http.MaxBytesError{Limit: 7}), -1, Limits{MaxSize: 9}, NewBudget(0, 0))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); !ok || tooLarge.Limit != 7 {
		t.Errorf("*http.MaxBytesError is not wrapped: %v", err)
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestFaultyReadersAreErrors(t *testing.T) {
	for name, read := range map[string]readFunc{
		"more than asked for": func(p []byte) (int, error) { return len(p) + 1, nil },
		"a negative count":    func([]byte) (int, error) { return -1, nil },
		"no data repeatedly":  func([]byte) (int, error) { return 0, nil },
	} {
		budget := NewBudget(plenty, plenty)
		if _, err := Read(read, -1, Limits{MaxSize: 1 << 20, InMemory: 1 << 20}, budget); err == nil {
			t.Errorf("%s is accepted", name)
		}
		mustBeFree(t, budget)
	}
}

func TestPanicOfTheReaderReleasesEverything(t *testing.T) {
	budget := NewBudget(plenty, plenty)
	source := io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), readFunc(func([]byte) (int, error) { panic(http.ErrAbortHandler) }))
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("the panic was changed")
			}
		}()
		_, _ = Read(source, -1, Limits{MaxSize: 2 << 20, Dir: t.TempDir()}, budget)
	}()
	mustBeFree(t, budget)
}

func TestBodiesAreOnDiskIfTheMemoryBudgetIsExhausted(t *testing.T) {
	for _, memory := range []int64{-1, 0, minBuffer - 1, minBuffer, 50_000, 100_000} {
		for _, declared := range []int64{-1, 200_000} {
			budget := NewBudget(memory, plenty)
			want := pattern(200_000, 3)
			b, err := Read(bytes.NewReader(want), declared, Limits{MaxSize: plenty, InMemory: plenty, Dir: t.TempDir()}, budget)
			if err != nil {
				t.Fatal(err)
			}
			if !b.Spooled() {
				t.Errorf("with %d bytes of memory the body is in memory", memory)
			}
			mustEqual(t, b, want)
			if used, _ := budget.InUse(); used != 0 {
				t.Errorf("a body on disk uses %d bytes of memory", used)
			}
			b.Release()
			mustBeFree(t, budget)
		}
	}
}

func TestSmallBodyOnDiskIsChargedAWholeStep(t *testing.T) {
	budget := NewBudget(0, plenty)
	b := mustRead(t, []byte("x"), Limits{MaxSize: 1}, budget)
	defer b.Release()
	if _, disk := budget.InUse(); disk != spoolStep {
		t.Errorf("%d bytes are charged: so many small bodies would open too many files", disk)
	}
}

func TestEmptyBodyUsesNoBudget(t *testing.T) {
	for _, declared := range []int64{-1, 0, 1} {
		budget := NewBudget(plenty, plenty)
		b, err := Read(http.NoBody, declared, Limits{MaxSize: plenty, InMemory: plenty}, budget)
		if err != nil {
			t.Fatal(err)
		}
		mustBeFree(t, budget)
		mustEqual(t, b, nil)
		b.Release()
		mustBeFree(t, budget)
	}
}

func TestABodyIsInMemoryIfTheBudgetIsFreedInTime(t *testing.T) {
	budget := NewBudget(0, plenty)
	want := pattern(100_000, 1)
	source := watched{bytes.NewReader(want), func(int) { budget.Resize(plenty, plenty) }}
	b, err := Read(source, int64(len(want)), Limits{MaxSize: plenty, InMemory: plenty, Dir: t.TempDir()}, budget)
	if err != nil {
		t.Fatal(err)
	}
	if b.Spooled() {
		t.Error("the body is on disk, although memory was freed before it was needed")
	}
	mustEqual(t, b, want)
	b.Release()
	mustBeFree(t, budget)
}

func TestBodiesAreRejectedIfBothBudgetsAreExhausted(t *testing.T) {
	for _, disk := range []int64{-1, 0, spoolStep - 1, spoolStep} {
		budget := NewBudget(0, disk)
		_, err := Read(bytes.NewReader(make([]byte, 100_000)), -1, Limits{MaxSize: plenty, InMemory: plenty, Dir: t.TempDir()}, budget)
		if !errors.Is(err, ErrBudget) {
			t.Errorf("with %d bytes of disk: %v", disk, err)
		}
		mustBeFree(t, budget)
	}
	b, err := Read(http.NoBody, 0, Limits{}, NewBudget(0, 0))
	if err != nil {
		t.Fatalf("an empty body needs no budget: %v", err)
	}
	b.Release()
}

func TestAFailingDiskIsErrBudget(t *testing.T) {
	budget := NewBudget(plenty, plenty)
	limits := Limits{MaxSize: plenty, Dir: filepath.Join(t.TempDir(), "missing")}
	_, err := Read(strings.NewReader("x"), 1, limits, budget)
	if !errors.Is(err, ErrBudget) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	mustBeFree(t, budget)
}

func TestResizeAppliesFromTheNextBody(t *testing.T) {
	budget := NewBudget(minBuffer, 0)
	limits := Limits{MaxSize: plenty, InMemory: plenty, Dir: t.TempDir()}
	read := func() (*Body, error) { return Read(strings.NewReader("x"), 1, limits, budget) }

	first, err := read()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(); !errors.Is(err, ErrBudget) {
		t.Fatalf("a second body was accepted: %v", err)
	}
	budget.Resize(2*minBuffer, 0)
	second, err := read()
	if err != nil {
		t.Fatalf("after freeing memory: %v", err)
	}
	budget.Resize(0, 0)
	mustEqual(t, first, []byte("x"))
	first.Release()
	if _, err := read(); !errors.Is(err, ErrBudget) {
		t.Fatalf("a body was accepted without a budget: %v", err)
	}
	second.Release()
	mustBeFree(t, budget)
}

func TestTemporaryFileHasNoName(t *testing.T) {
	dir := t.TempDir()
	b, err := Read(strings.NewReader("payload"), 7, Limits{MaxSize: 7, Dir: dir}, NewBudget(plenty, plenty))
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && !isEmpty(t, dir) {
		t.Error("the file has a name in its directory")
	}
	b.Release()
	if !isEmpty(t, dir) {
		t.Error("the file still exists")
	}
}

func TestAFileThatCannotBeUnlinkedIsPrivateAndRemovedOnClose(t *testing.T) {
	dir := t.TempDir()
	s, err := newSpool(dir, func(string) error { return errors.New("in use") })
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v", info.Mode())
	}
	s.close()
	if !isEmpty(t, dir) {
		t.Error("the file still exists")
	}
}

func isEmpty(t *testing.T, dir string) bool {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries) == 0
}

// FuzzRead checks that for any chunks, limits and budget the body equals its
// source or there is an error with a reason, and that the whole budget is free
// afterwards.
func FuzzRead(f *testing.F) {
	f.Add(uint32(0), uint64(1), int64(-1), int64(100), int64(100), int64(100), int64(100))
	f.Add(uint32(5000), uint64(2), int64(5000), int64(1<<20), int64(4096), int64(1<<20), int64(1<<20))
	f.Add(uint32(200_000), uint64(3), int64(-1), int64(1<<20), int64(100_000), int64(1<<20), int64(1<<20))
	f.Add(uint32(200_000), uint64(4), int64(7), int64(1<<20), int64(1<<20), int64(70_000), int64(1<<20))
	f.Add(uint32(70_000), uint64(5), int64(90_000), int64(1<<20), int64(1<<20), int64(0), int64(65_536))
	f.Fuzz(func(t *testing.T, size uint32, seed uint64, declared, maxSize, inMemory, memory, disk int64) {
		want := pattern(int(size%(1<<19)), seed)
		budget := NewBudget(memory, disk)
		limits := Limits{MaxSize: maxSize, InMemory: inMemory, Dir: t.TempDir()}
		b, err := Read(chunked(want, seed), declared, limits, budget)
		switch {
		case err == nil:
			if int64(len(want)) > maxSize && len(want) > 0 {
				t.Fatalf("%d bytes were accepted with a limit of %d", len(want), maxSize)
			}
			if !b.Spooled() && int64(len(want)) > max(inMemory, 0) {
				t.Fatalf("%d bytes are in memory, want at most %d", len(want), inMemory)
			}
			mustEqual(t, b, want)
			b.Release()
		case errors.Is(err, ErrTooLarge):
			if int64(len(want)) <= maxSize && declared <= max(maxSize, 0) {
				t.Fatalf("%d bytes, declared %d, are rejected with a limit of %d", len(want), declared, maxSize)
			}
		case errors.Is(err, ErrBudget):
			if disk >= int64(len(want))+spoolStep {
				t.Fatalf("%d bytes were rejected with a disk budget of %d", len(want), disk)
			}
		default:
			t.Fatal(err)
		}
		mustBeFree(t, budget)
	})
}

// chunked returns a reader that returns p in pieces of any size, also empty
// ones, and sometimes EOF with the last piece.
func chunked(p []byte, seed uint64) io.Reader {
	rng := rand.New(rand.NewPCG(seed, 1))
	return readFunc(func(room []byte) (int, error) {
		n := copy(room[:rng.IntN(len(room)+1)], p)
		p = p[n:]
		if len(p) == 0 && rng.IntN(2) == 0 {
			return n, io.EOF
		}
		return n, nil
	})
}

// TestInvariant12SlowBodiesLeaveMemoryForCopies: senders of slow bodies can use all
// memory for buffers. Bodies that must be copied to be verified still can be.
func TestInvariant12SlowBodiesLeaveMemoryForCopies(t *testing.T) {
	const memory = 2 << 20
	budget := NewBudget(memory, plenty)
	limits := Limits{MaxSize: 1 << 20, InMemory: 1 << 20, Dir: t.TempDir()}
	var senders sync.WaitGroup
	release := make(chan struct{})
	waiting := make(chan struct{})
	// Buffers of 1 MiB, of 64 KiB and of 4 KiB, until none of each size is left.
	for sent, senderCount := range map[int]int{64<<10 + 1: 4, 4<<10 + 1: 40, 1: 600} {
		for range senderCount {
			senders.Go(func() {
				slow := io.MultiReader(strings.NewReader(strings.Repeat("x", sent)), pausing{waiting, release})
				b, err := Read(slow, 1<<20, limits, budget)
				if err == nil {
					b.Release()
				}
			})
			<-waiting
		}
	}
	b := mustRead(t, make([]byte, 1<<10), limits, budget)
	if err := b.Charge(memory / 4); err != nil {
		t.Errorf("no copy is possible: %v", err)
	}
	b.Release()
	close(release)
	senders.Wait()
	if memory, disk := budget.InUse(); memory != 0 || disk != 0 {
		t.Errorf("%d bytes of memory and %d of disk are in use", memory, disk)
	}
}

// pausing is a sender that reports that it pauses, and then ends.
type pausing struct{ waiting, release chan struct{} }

func (p pausing) Read([]byte) (int, error) {
	p.waiting <- struct{}{}
	<-p.release
	return 0, io.EOF
}
