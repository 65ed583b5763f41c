package redisclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// health tracks whether Redis is available and logs each change once,
// regardless of how many calls fail.
type health struct {
	logger    atomic.Pointer[slog.Logger]
	impact    string // what happens while redis is unavailable, for the log
	recovered func() // called after each recovery; set before the first call

	lost  atomic.Bool
	mu    sync.Mutex
	cause error     // the latest failure
	at    time.Time // when it occurred
}

// settled is how long calls must succeed before Redis counts as available. If
// it works intermittently, the loss is logged once.
const settled = time.Second

// observe records the result of a call.
func (h *health) observe(err error) {
	if err == nil && !h.lost.Load() {
		return // nearly every call
	}
	if err != nil && !unavailable(err) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.cause, h.at = err, time.Now()
		if !h.lost.Swap(true) {
			h.log(slog.LevelError, "redis is unavailable;  "+h.impact, slog.Any("error", err))
		}
		return
	}
	if !h.lost.Load() || time.Since(h.at) < settled {
		return
	}
	h.lost.Store(false)
	h.log(slog.LevelInfo, "redis is available again")
	if h.recovered != nil {
		h.recovered()
	}
}

// unavailable reports whether err is a failure of Redis, rather than a canceled
// call or a server that is only out of memory.
func unavailable(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, errNotConnected) {
		return false
	}
	return !Full(err)
}

// Full reports whether a server rejected a write because it has reached
// maxmemory.
func Full(err error) bool { return Replied(err, "OOM") }

// reconnecting logs why all connections are closed, unless Redis is already
// logged as unavailable.
func (h *health) reconnecting(cause error) {
	if !h.lost.Load() {
		h.log(slog.LevelWarn, "redis rejects writes because of its current role; reconnecting", slog.Any("error", cause))
	}
}

var errNotConnected = errors.New("not connected")

// notConnected returns the error for calls before the first connection.
func (h *health) notConnected() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cause == nil {
		return errNotConnected
	}
	return fmt.Errorf("%w: %w", errNotConnected, h.cause)
}

func (h *health) log(level slog.Level, message string, attrs ...slog.Attr) {
	if l := h.logger.Load(); l != nil {
		l.LogAttrs(context.Background(), level, message, attrs...)
	}
}
