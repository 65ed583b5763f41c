package listen

import (
	"context"
	"io"
	"sync"
	"time"
)

// watchdog calls late if no byte has arrived for too long.
type watchdog struct {
	mu     sync.Mutex
	within time.Duration
	timer  *time.Timer
}

func newWatchdog(within time.Duration, late func()) *watchdog {
	return &watchdog{within: within, timer: time.AfterFunc(within, late)}
}

func (w *watchdog) heard() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Reset(w.within)
}

func (w *watchdog) change(within time.Duration) {
	w.mu.Lock()
	w.within = within
	w.mu.Unlock()
	w.heard()
}

func (w *watchdog) stop() { w.timer.Stop() }

// heardReader resets the watchdog for each byte that arrives: a large delivery on a
// slow connection takes longer than the allowed silence.
type heardReader struct {
	io.Reader
	watch *watchdog
}

// Read implements io.Reader.
func (r *heardReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.watch.heard()
	}
	return n, err
}

// watchClock calls slept when the wall clock has jumped ahead of the timers, which
// stop while the machine sleeps.
func watchClock(ctx context.Context, slept func()) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	last := time.Now().Round(0) // without the monotonic clock
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now().Round(0)
		if now.Sub(last) > jump {
			slept()
			return
		}
		last = now
	}
}
