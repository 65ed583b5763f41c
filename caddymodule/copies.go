package caddymodule

import (
	"context"
	"net/http"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// answerCopy responds to a copy of a delivery.
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

// waitForFirst waits, for a limited time, for the response to the copy that is being
// handled, and returns the same one. If the app refused that copy and this one is
// another request, the response is 503, so that the provider retries.
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
	first := claimed.find(d.keys)
	resolution, err := h.store.Wait(ctx, d.keys)
	if err != nil && ctx.Err() == nil {
		return h.refuse(d, &refusal{outcome: StoreUnavailable, reason: "the replay store failed; the provider gets 503 and retries", err: err})
	}
	switch {
	case err != nil || resolution.State == replay.Claimed:
		return h.refuse(d, busy)
	case resolution.State == replay.Handled:
		return h.mirrorHandled(d, resolution.Status)
	default:
		return h.mirrorFailure(d, first, resolution.Status)
	}
}

// mirrorHandled returns the first one's success to a copy, unless the copy is a
// replay under another ID.
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
	return h.answerStatus(d, InProgress, "the same delivery was being handled and succeeded", status)
}

// mirrorFailure returns the first one's failure to a copy, so that the provider
// retries.
func (h *Handler) mirrorFailure(d *delivery, first *claim, status int) error {
	if status < 400 || status < 500 && !first.refused(d.fingerprint(), status) {
		status = http.StatusServiceUnavailable
	}
	return h.refuse(d, &refusal{outcome: InProgress, reason: "the same delivery was being handled and the app failed", status: status})
}

func (h *Handler) answerReplayed(d *delivery) error {
	if h.Replay.OnReplay < 400 {
		return h.answerStatus(d, Replayed, replayedReason, h.Replay.OnReplay)
	}
	return h.refuse(d, &refusal{outcome: Replayed, reason: replayedReason, status: h.Replay.OnReplay})
}

// answerStatus ends a delivery with an empty response. The request is for handlers
// in front that replace the response.
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
