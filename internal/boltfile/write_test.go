package boltfile

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"
)

// written records the transactions in which changes were made.
type written struct {
	mu  sync.Mutex
	ids []int
}

func (w *written) change(tx *bolt.Tx) (refused, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids = append(w.ids, tx.ID())
	return nil, nil
}

// transactions returns the number of changes in each transaction.
func (w *written) transactions() (sizes []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, id := range w.ids {
		if i == 0 || id != w.ids[i-1] {
			sizes = append(sizes, 0)
		}
		sizes[len(sizes)-1]++
	}
	return sizes
}

func TestPatientWritesShareTransactions(t *testing.T) {
	tests := []struct {
		name            string
		patient, urgent int
		close           bool
		waits           time.Duration // until all are durable
	}{
		{name: "a single write waits for others and is then written", patient: 1, waits: patience},
		{name: "several writes share a transaction", patient: maxPatient - 1, waits: patience},
		{name: "the maximum number of waiting writes is written immediately", patient: maxPatient},
		{name: "an urgent write shares its transaction with them", patient: 3, urgent: 1},
		{name: "closing the file writes them", patient: 3, close: true},
		{name: "an urgent write does not wait", urgent: 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, err := OpenWriter(Options{Path: filepath.Join(t.TempDir(), "test.db"), LockTimeout: time.Second, Kind: "test file", Format: "test"})
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				var got written
				var writes sync.WaitGroup
				write := func(n int, write func(context.Context, Change, func(error)) error) {
					for range n {
						writes.Go(func() {
							if err := write(t.Context(), got.change, nil); err != nil {
								t.Error(err)
							}
						})
					}
					synctest.Wait()
				}
				write(test.patient, w.WritePatiently)
				write(test.urgent, w.Write)
				if test.close {
					if err := w.Close(); err != nil {
						t.Error(err)
					}
				}
				writes.Wait()
				if waited := time.Since(began); waited != test.waits {
					t.Errorf("the writes took %v, want %v", waited, test.waits)
				}
				if sizes := got.transactions(); len(sizes) != 1 || sizes[0] != test.patient+test.urgent {
					t.Errorf("changes per transaction: %v, want %d in one", sizes, test.patient+test.urgent)
				}
				if !test.close {
					if err := w.Close(); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// TestReadsContinueWhilePagesAreUnmapped reads more often than pages are
// unmapped.
func TestReadsContinueWhilePagesAreUnmapped(t *testing.T) {
	w, err := OpenWriter(Options{Path: filepath.Join(t.TempDir(), "test.db"), LockTimeout: time.Second, Kind: "test file", Format: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	name, value := []byte("bucket"), make([]byte, 64<<10)
	var work sync.WaitGroup
	work.Go(func() { // meanwhile the file grows and is mapped again
		for i := range byte(100) {
			err := w.Write(t.Context(), func(tx *bolt.Tx) (refused, err error) {
				bucket, err := tx.CreateBucketIfNotExists(name)
				if err != nil {
					return nil, err
				}
				return nil, bucket.Put([]byte{i}, value)
			}, nil)
			if err != nil {
				t.Error(err)
			}
		}
	})
	for range 4 {
		work.Go(func() {
			for range unmapEvery {
				err := w.View(func(tx *bolt.Tx) error {
					if bucket := tx.Bucket(name); bucket != nil {
						return bucket.ForEach(func(_, got []byte) error {
							if len(got) != len(value) || got[0] != 0 || got[len(got)-1] != 0 {
								t.Error("a value differs from what was written")
							}
							return nil
						})
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
}
