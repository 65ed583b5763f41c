package redis

import (
	"bytes"
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient/redistest"
	"github.com/verify-webhook/caddy-verify-webhook/queue"
)

// BenchmarkPut measures accepted entries of 1 KiB with appendfsync always.
func BenchmarkPut(b *testing.B) {
	server := redistest.Start(b, "--appendonly", "yes", "--appendfsync", "always")
	body := bytes.Repeat([]byte("x"), 1<<10)
	for name, c := range map[string]int{"c=1": 1, "c=32": 32, "c=256": 256} {
		b.Run(name, func(b *testing.B) {
			store := mustOpen(b, Options{URL: server.URL(), Timeout: redistest.Patience})
			b.SetParallelism(max(1, c/runtime.GOMAXPROCS(0)))
			do := func() {
				_, err := store.Put(context.Background(), queue.Put{Queue: "bench", Body: bytes.NewReader(body), BodySize: int64(len(body)), Remember: time.Hour})
				if err != nil {
					b.Error(err)
				}
			}
			if c == 1 {
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
		})
	}
}
