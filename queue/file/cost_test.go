package file

import (
	"bytes"
	"context"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
)

// transactions returns the number of write transactions. Each syncs the file
// twice.
func transactions(t *testing.T, s *Store) (n int) {
	t.Helper()
	if err := s.file.View(func(tx *bolt.Tx) error {
		n = tx.ID()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func costPut(t *testing.T, s *Store) {
	t.Helper()
	_, err := s.Put(context.Background(), queue.Put{
		Queue: "orders", Request: benchRequest(), Body: bytes.NewReader(benchBody), BodySize: int64(len(benchBody)), Remember: time.Hour,
	})
	if err != nil {
		t.Error(err)
	}
}

func costLease(t *testing.T, s *Store, n int) []queue.Lease {
	t.Helper()
	leases, _, err := s.Lease(context.Background(), "orders", n, time.Minute)
	if err != nil || len(leases) != n {
		t.Fatalf("leased %d of %d: %v", len(leases), n, err)
	}
	return leases
}

func costFinish(t *testing.T, s *Store, l queue.Lease) {
	t.Helper()
	if err := s.Finish(context.Background(), l, queue.Outcome{Action: queue.Deliver}); err != nil {
		t.Error(err)
	}
}

// TestTransactionsPerDelivery counts durable transactions.
func TestTransactionsPerDelivery(t *testing.T) {
	tests := []struct {
		name string
		// begin prepares, do starts concurrent calls.
		begin, do func(t *testing.T, s *Store, start func(call func()))
		want      int
	}{
		{
			name: "a single put",
			do: func(t *testing.T, s *Store, start func(func())) {
				start(func() { costPut(t, s) })
			},
			want: 1,
		},
		{
			name: "256 concurrent puts",
			do: func(t *testing.T, s *Store, start func(func())) {
				for range 256 {
					start(func() { costPut(t, s) })
				}
			},
			want: 1,
		},
		{
			name: "leases",
			begin: func(t *testing.T, s *Store, _ func(func())) {
				for range 8 {
					costPut(t, s)
				}
			},
			do: func(t *testing.T, s *Store, _ func(func())) { costLease(t, s, 8) },
		},
		{
			name: "the records of eight deliveries",
			begin: func(t *testing.T, s *Store, _ func(func())) {
				for range 8 {
					costPut(t, s)
				}
			},
			do: func(t *testing.T, s *Store, start func(func())) {
				for _, l := range costLease(t, s, 8) {
					start(func() { costFinish(t, s, l) })
				}
			},
			want: 1,
		},
		{
			name:  "the record of a delivery and the next put",
			begin: func(t *testing.T, s *Store, _ func(func())) { costPut(t, s) },
			do: func(t *testing.T, s *Store, start func(func())) {
				l := costLease(t, s, 1)[0]
				start(func() { costFinish(t, s, l) })
				start(func() { costPut(t, s) })
			},
			want: 1,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := mustOpen(t, Options{Path: filepath.Join(t.TempDir(), "queue.db"), MinFree: -1})
				if test.begin != nil {
					test.begin(t, s, nil)
				}
				// The calls gather while another transaction is in progress.
				under, release := make(chan struct{}), make(chan struct{})
				var calls sync.WaitGroup
				calls.Go(func() {
					_ = s.file.Write(context.Background(), func(*bolt.Tx) (refused, err error) {
						close(under)
						<-release
						return nil, nil
					}, nil)
				})
				<-under
				before := transactions(t, s) + 1
				test.do(t, s, func(call func()) { calls.Go(call) })
				synctest.Wait()
				close(release)
				calls.Wait()
				if got := transactions(t, s) - before; got != test.want {
					t.Errorf("%d transactions, want %d", got, test.want)
				}
			})
		})
	}
}
