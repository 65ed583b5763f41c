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

// health knows whether Redis serves, and logs when that changes: once each,
// however many calls fail meanwhile.
type health struct {
	logger   atomic.Pointer[slog.Logger]
	impact   string // what its loss means, for the log
	regained func() // called after each recovery; set before the first call

	lost  atomic.Bool
	mu    sync.Mutex
	cause error     // the latest failure
	at    time.Time // and when it was
}

// settled is how long no call must have failed before Redis counts as
// regained: one that serves now and then is logged as lost once.
const settled = time.Second

// observe notes the outcome of a call.
func (h *health) observe(err error) {
	if err == nil && !h.lost.Load() {
		return // the way of nearly every call
	}
	if err != nil && !unavailable(err) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.cause, h.at = err, time.Now()
		if !h.lost.Swap(true) {
			h.log(slog.LevelError, "redis is lost; "+h.impact, slog.Any("error", err))
		}
		return
	}
	if !h.lost.Load() || time.Since(h.at) < settled {
		return
	}
	h.lost.Store(false)
	h.log(slog.LevelInfo, "redis is back")
	if h.regained != nil {
		h.regained()
	}
}

// unavailable tells a failure of Redis from a caller that has gone away and
// from a server that is merely full.
func unavailable(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, errNotConnected) {
		return false
	}
	return !Full(err)
}

// Full reports whether a server refused a write because it has reached
// maxmemory.
func Full(err error) bool { return Replied(err, "OOM") }

// reconnecting logs why all connections are closed, unless redis counts as lost
// anyway.
func (h *health) reconnecting(cause error) {
	if !h.lost.Load() {
		h.log(slog.LevelWarn, "redis refuses writes in the role that it has now; reconnecting", slog.Any("error", cause))
	}
}

var errNotConnected = errors.New("not connected")

// notConnected is the error of a call before the first connection.
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
