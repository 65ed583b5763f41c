package body

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

// BenchmarkBody measures a body from start to end: read, read for the
// signature, read by a transport, and released.
func BenchmarkBody(b *testing.B) {
	for _, bench := range []struct {
		size     int64
		inMemory int64
	}{{1 << 10, 1 << 20}, {64 << 10, 1 << 20}, {1 << 20, 1 << 20}, {8 << 20, 1 << 20}} {
		for _, length := range []string{"declared", "unknown"} {
			b.Run(fmt.Sprintf("%dKiB/%s", bench.size>>10, length), func(b *testing.B) {
				declared := int64(-1)
				if length == "declared" {
					declared = bench.size
				}
				limits := Limits{MaxSize: bench.size, InMemory: bench.inMemory, Dir: b.TempDir()}
				budget := NewBudget(plenty, plenty)
				source := bytes.NewReader(make([]byte, bench.size))
				transport := make([]byte, 32<<10)
				b.SetBytes(bench.size)
				b.ReportAllocs()
				for b.Loop() {
					_, _ = source.Seek(0, io.SeekStart)
					liveOnce(b, source, declared, limits, budget, transport)
				}
			})
		}
	}
}

func liveOnce(tb testing.TB, source io.Reader, declared int64, limits Limits, budget *Budget, transport []byte) {
	body, err := Read(source, declared, limits, budget)
	if err != nil {
		tb.Fatal(err)
	}
	defer body.Release()
	if _, err := body.WriteTo(io.Discard); err != nil {
		tb.Fatal(err)
	}
	r := body.Open()
	defer r.Close()
	for err == nil {
		_, err = r.Read(transport)
	}
	if err != io.EOF {
		tb.Fatal(err)
	}
}

func BenchmarkReadOnly(b *testing.B) {
	for _, size := range []int64{1 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			limits := Limits{MaxSize: size, InMemory: size}
			budget := NewBudget(plenty, plenty)
			source := bytes.NewReader(make([]byte, size))
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = source.Seek(0, io.SeekStart)
				body, err := Read(source, size, limits, budget)
				if err != nil {
					b.Fatal(err)
				}
				body.Release()
			}
		})
	}
}
