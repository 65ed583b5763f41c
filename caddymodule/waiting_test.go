package caddymodule

import (
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a test waits for an event that must happen.
const patience = 20 * time.Second

// await waits for an event, and fails the test after patience.
func await(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("timed out waiting for ", what)
	}
}

// meeting blocks n goroutines until all of them have called meet.
type meeting struct {
	missing atomic.Int64
	full    chan struct{}
}

func newMeeting(n int) *meeting {
	m := &meeting{full: make(chan struct{})}
	m.missing.Store(int64(n))
	return m
}

func (m *meeting) meet() {
	if m.missing.Add(-1) == 0 {
		close(m.full)
	}
	select {
	case <-m.full:
	case <-time.After(patience): // the test then fails later
	}
}
