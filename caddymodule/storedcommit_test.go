package caddymodule

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestStoredDeliveriesAreCommittedTogether stores deliveries one after the other
// and counts the times at which they are committed.
func TestStoredDeliveriesAreCommittedTogether(t *testing.T) {
	tests := []struct {
		name string
		// every is the time between two deliveries.
		every       time.Duration
		deliveries  int
		wantMoments int
	}{
		{name: "a single delivery is committed immediately", deliveries: 1, wantMoments: 1},
		{name: "deliveries within the interval are committed at its end", every: time.Millisecond, deliveries: 20, wantMoments: 2},
		{name: "deliveries at a low rate are committed immediately", every: storedCommitEvery, deliveries: 5, wantMoments: 5},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := new(Handler)
				var mu sync.Mutex
				moments := make(map[time.Time]bool)
				var commits sync.WaitGroup
				for range test.deliveries {
					came := time.Now()
					commits.Go(func() {
						h.awaitStoredCommit()
						if waited := time.Since(came); waited > storedCommitEvery {
							t.Errorf("a delivery waited %v", waited)
						}
						mu.Lock()
						defer mu.Unlock()
						moments[time.Now()] = true
					})
					synctest.Wait()
					time.Sleep(test.every)
				}
				commits.Wait()
				if len(moments) != test.wantMoments {
					t.Errorf("committed at %d times, want %d", len(moments), test.wantMoments)
				}
			})
		})
	}
}

// TestClockSetBackDoesNotDelayCommits sets the last commit an hour ahead.
func TestClockSetBackDoesNotDelayCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(Handler)
		h.lastStored.Store(time.Now().Add(time.Hour).UnixNano())
		began := time.Now()
		h.awaitStoredCommit()
		if waited := time.Since(began); waited > storedCommitEvery {
			t.Errorf("the commit waited %v", waited)
		}
	})
}
