package caddymodule

import (
	"sync/atomic"
	"testing"
	"time"
)

// waitLimit is how long a test waits for an event that must happen.
const waitLimit = 20 * time.Second

// await waits for an event, and fails the test after waitLimit.
func await(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(waitLimit):
		t.Fatal("timed out waiting for ", what)
	}
}

// barrier blocks n goroutines until all of them have called wait.
type barrier struct {
	missing atomic.Int64
	full    chan struct{}
}

func newBarrier(n int) *barrier {
	m := &barrier{full: make(chan struct{})}
	m.missing.Store(int64(n))
	return m
}

func (m *barrier) wait() {
	if m.missing.Add(-1) == 0 {
		close(m.full)
	}
	select {
	case <-m.full:
	case <-time.After(waitLimit): // the test then fails later
	}
}
