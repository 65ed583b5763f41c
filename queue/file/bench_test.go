package file

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
	"github.com/verify-webhook/caddy-verify-webhook/queue/internal/record"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	replayfile "github.com/verify-webhook/caddy-verify-webhook/replay/file"
)

var benchBody = bytes.Repeat([]byte("x"), 1<<10)

func benchRequest() queue.Request {
	return queue.Request{
		Method: http.MethodPost, OriginalURI: "/webhooks/shopify", URI: "/webhooks/shopify", Proto: "HTTP/1.1",
		Host: "hooks.example.com", RemoteAddr: "192.0.2.1:4711", TLS: true,
		Header: http.Header{
			"Content-Type": {"application/json"}, "User-Agent": {"Shopify-Captain-Hook"}, "X-Shopify-Topic": {"orders/create"},
			"X-Shopify-Webhook-Id": {"b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"}, "Webhook-Verified-Provider": {"shopify"},
		},
	}
}

func benchPut(b *testing.B, s *Store) {
	_, err := s.Put(context.Background(), queue.Put{
		Queue: "orders", Request: benchRequest(), Body: bytes.NewReader(benchBody), BodySize: int64(len(benchBody)), Remember: time.Hour,
	})
	if err != nil {
		b.Error(err)
	}
}

// concurrently runs do from the given number of goroutines, b.N times in total.
func concurrently(b *testing.B, goroutines int, do func()) {
	b.Helper()
	b.SetParallelism(max(1, goroutines/runtime.GOMAXPROCS(0)))
	if goroutines == 1 {
		for b.Loop() {
			do()
		}
		return
	}
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			do()
		}
	})
}

// BenchmarkPut measures accepted entries of 1 KiB, compared with commits of a
// replay file, on which responses to providers depend without a queue.
func BenchmarkPut(b *testing.B) {
	for _, c := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("queue/c=%d", c), func(b *testing.B) {
			s := mustOpen(b, Options{Path: filepath.Join(b.TempDir(), "queue.db"), MinFree: -1})
			concurrently(b, c, func() { benchPut(b, s) })
		})
		b.Run(fmt.Sprintf("replay/c=%d", c), func(b *testing.B) {
			s, err := replayfile.Open(replayfile.Options{Path: filepath.Join(b.TempDir(), "replay.db")})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			concurrently(b, c, func() {
				owner := replay.NewOwner()
				keys := replay.Keys{Blocking: []replay.Key{replay.Key(owner)}}
				_, claimErr := s.Claim(context.Background(), keys, owner, time.Minute)
				if err := s.Commit(context.Background(), keys, owner, time.Hour, 200); err != nil || claimErr != nil {
					b.Error(err, claimErr)
				}
			})
		})
	}
}

// fill stores entries in a few transactions.
func fill(b *testing.B, s *Store, n int) {
	b.Helper()
	r := benchRequest()
	request, err := record.Encode(&r)
	if err != nil {
		b.Fatal(err)
	}
	for done := 0; done < n; {
		part := min(n-done, 1000)
		if err := s.update(context.Background(), "orders", func(q *shelf) (refused, err error) {
			for range part {
				m := meta{
					state: queue.Waiting, key: queue.NewKey(), put: s.now(), due: s.now(), since: s.now(), remember: 3_600_000,
					bodySize: int64(len(benchBody)), size: int64(len(request) + len(benchBody)), sum: record.Sum(benchBody),
				}
				if err := q.add(&m, request, benchBody); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}, nil); err != nil {
			b.Fatal(err)
		}
		done += part
	}
}

// BenchmarkWaiting measures the cost of a call with few and with many waiting
// entries: a single call, and one of many concurrent calls.
func BenchmarkWaiting(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		path := filepath.Join(b.TempDir(), "queue.db")
		s := mustOpen(b, Options{Path: path, MinFree: -1})
		fill(b, s, n)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("open/n=%d", n), func(b *testing.B) {
			for b.Loop() {
				s = mustOpen(b, Options{Path: path, MinFree: -1})
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
		s = mustOpen(b, Options{Path: path, MinFree: -1})
		for _, c := range []int{1, 64} {
			b.Run(fmt.Sprintf("put/n=%d/c=%d", n, c), func(b *testing.B) {
				concurrently(b, c, func() { benchPut(b, s) })
			})
			b.Run(fmt.Sprintf("take/n=%d/c=%d", n, c), func(b *testing.B) {
				concurrently(b, c, func() {
					leases, _, err := s.Lease(context.Background(), "orders", 1, time.Hour)
					if err != nil || len(leases) != 1 {
						b.Error(len(leases), err)
						return
					}
					if err := s.Finish(context.Background(), leases[0], queue.Outcome{Action: queue.Deliver}); err != nil {
						b.Error(err)
					}
					benchPut(b, s) // so that the number of waiting entries stays the same
				})
			})
		}
		b.Run(fmt.Sprintf("memory/n=%d", n), func(b *testing.B) { report(b, s, path) })
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		_ = os.Remove(path)
	}
}

// report prints the memory and disk usage of the queue.
func report(b *testing.B, s *Store, path string) {
	b.Helper()
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(memory.HeapAlloc>>20), "heap-MB")
	b.ReportMetric(float64(info.Size()>>20), "file-MB")
	status, _ := os.ReadFile("/proc/self/status") // Linux
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && strings.HasPrefix(line, "Rss") {
			kilobytes, _ := strconv.Atoi(fields[1])
			b.ReportMetric(float64(kilobytes>>10), strings.TrimSuffix(fields[0], ":")+"-MB")
		}
	}
	b.ReportMetric(0, "ns/op")
}
