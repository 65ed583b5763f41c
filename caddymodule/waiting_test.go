package caddymodule

import (
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a test waits for what happens in any case.
const patience = 20 * time.Second

// await waits for it.
func await(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("waited in vain for ", what)
	}
}

// meeting holds everybody up until all are there.
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
	case <-time.After(patience): // the test fails on what follows
	}
}
