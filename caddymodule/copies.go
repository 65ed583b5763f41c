package caddymodule

import (
	"context"
	"net/http"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// answerCopy answers a delivery that is not the first of its kind.
func (h *Handler) answerCopy(d *delivery, verdict replay.Verdict) error {
	switch verdict {
	case replay.Duplicate:
		return h.answerStatus(d, Duplicate, handledBefore, h.Replay.OnDuplicate)
	case replay.Replayed:
		return h.answerReplayed(d)
	default:
		return h.waitForFirst(d)
	}
}

// waitForFirst waits, for a bounded time, for the answer to the copy that is
// being handled, and gives the same.
func (h *Handler) waitForFirst(d *delivery) error {
	busy := &refusal{outcome: InProgress, reason: beingHandled, status: http.StatusServiceUnavailable}
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return h.refuse(d, busy)
	}
	ctx, cancel := context.WithTimeout(d.r.Context(), time.Duration(h.Replay.Wait))
	defer cancel()
	resolution, err := h.store.Wait(ctx, d.keys)
	if err != nil && ctx.Err() == nil {
		return h.refuse(d, &refusal{outcome: StoreUnavailable, reason: "the replay store failed; the provider is asked to try again", err: err})
	}
	switch {
	case err != nil || resolution.State == replay.Claimed:
		return h.refuse(d, busy)
	case resolution.State == replay.Handled:
		return h.mirrorHandled(d, resolution.Status)
	default:
		return h.mirrorFailure(d, resolution.Status)
	}
}

// mirrorHandled gives a copy the first one's success, unless it turns out to
// be a replay under another ID.
func (h *Handler) mirrorHandled(d *delivery, status int) error {
	ctx, cancel := context.WithTimeout(d.r.Context(), storeTimeout)
	defer cancel()
	states, err := h.store.Lookup(ctx, d.keys.All())
	if blocking := len(d.keys.Blocking); err == nil && replay.Judge(states[:blocking], states[blocking:]) == replay.Replayed {
		return h.answerReplayed(d)
	}
	if status == 0 {
		status = h.Replay.OnDuplicate
	}
	return h.answerStatus(d, InProgress, "the same delivery was being handled; it has succeeded", status)
}

// mirrorFailure gives a copy the first one's failure: the provider tries
// again.
func (h *Handler) mirrorFailure(d *delivery, status int) error {
	if status < 400 {
		status = http.StatusServiceUnavailable
	}
	return h.refuse(d, &refusal{outcome: InProgress, reason: "the same delivery was being handled; the app has failed on it", status: status})
}

func (h *Handler) answerReplayed(d *delivery) error {
	if h.Replay.OnReplay < 400 {
		return h.answerStatus(d, Replayed, replayedReason, h.Replay.OnReplay)
	}
	return h.refuse(d, &refusal{outcome: Replayed, reason: replayedReason, status: h.Replay.OnReplay})
}

// answerStatus ends a delivery with an empty response. A handler in front that
// replaces the response gets the request.
func (h *Handler) answerStatus(d *delivery, o Outcome, reason string, status int) error {
	if status >= 400 {
		return h.refuse(d, &refusal{outcome: o, reason: reason, status: status})
	}
	d.response = status
	d.end(o, reason)
	h.log.answered(d)
	h.withhold(d)
	d.nameOutcome()
	if status != http.StatusNoContent && status != http.StatusNotModified {
		d.w.Header().Set("Content-Length", "0")
	}
	d.w.WriteHeader(status)
	return nil
}
