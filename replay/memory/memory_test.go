package memory_test

import (
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay/memory"
	"github.com/verify-webhook/caddy-verify-webhook/replay/storetest"
)

func TestStoreConforms(t *testing.T) {
	storetest.Run(t, storetest.Subject{
		Bubble: true,
		Open: func(_ *testing.T, limit int64) storetest.Instance {
			store := memory.New(memory.Options{MaxEntries: limit})
			return storetest.Instance{
				Store:    store,
				SetLimit: store.SetMaxEntries,
				Advance:  func(_ *testing.T, d time.Duration) { time.Sleep(d) },
			}
		},
	})
}

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, memory.New(memory.Options{MaxEntries: 1 << 40}))
}
