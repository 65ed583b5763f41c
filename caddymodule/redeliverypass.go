package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// passLife is how long a one-time redelivery pass is valid.
const passLife = time.Hour

// storePass stores a one-time redelivery pass and replaces an older one.
func (h *Handler) storePass(ctx context.Context, pass replay.Key) error {
	if _, err := h.store.Forget(ctx, []replay.Key{pass}); err != nil {
		return err
	}
	keys, owner := replay.Keys{Blocking: []replay.Key{pass}}, replay.NewOwner()
	verdict, err := h.store.Claim(ctx, keys, owner, time.Minute)
	if err != nil || verdict != replay.Ours { // stored concurrently
		return err
	}
	return h.store.Commit(ctx, keys, owner, passLife, 0)
}

// passKeys are the passes of a delivery's ID, under every secret, and the keys
// that are claimed while they are used.
func (h *Handler) passKeys(v *signature.Delivery) (passes []replay.Key, use replay.Keys) {
	for _, m := range v.Digests() {
		passes = append(passes, h.idKey(replay.KindPass, m.Secret, v.ID))
		use.Blocking = append(use.Blocking, h.idKey(replay.KindPassUse, m.Secret, v.ID))
	}
	return passes, use
}

// mayHavePass reports whether a delivery that is not new can have a pass: its
// content was handled, and its ID has been forgotten. A signed ID has no note.
func (d *delivery) mayHavePass(verdict replay.Verdict) bool {
	return verdict == replay.Replayed || (verdict == replay.Duplicate && d.verified.AlsoContent && d.verified.ID != "")
}

// errPassInUse means that another copy is using a pass and has not finished.
var errPassInUse = &refusal{outcome: InProgress, reason: "another copy is using the one-time redelivery pass of this delivery", status: http.StatusServiceUnavailable}

// claimWithPass is called if a delivery may have a pass. If its ID has one, the
// content is forgotten and the delivery claimed; otherwise the verdict stays. Of
// several copies one uses the pass; the others wait for it, and find the delivery in
// progress or handled. If that one fails, the next copy uses the pass: none is
// answered as a replay while the pass is valid.
func (h *Handler) claimWithPass(ctx context.Context, c *claim, verdict replay.Verdict) (replay.Verdict, error) {
	passes, use := h.passKeys(c.d.verified)
	for c.d.mayHavePass(verdict) {
		states, err := h.store.Lookup(ctx, slices.Concat(passes, use.Blocking))
		if errors.Is(err, errors.ErrUnsupported) {
			return verdict, nil // such a store has no passes
		}
		if err != nil {
			return 0, err
		}
		if !slices.Contains(states[:len(passes)], replay.Handled) && !slices.Contains(states[len(passes):], replay.Claimed) {
			// Since the verdict, another copy can have used a pass, and the app
			// can still fail on it.
			return h.store.Claim(ctx, c.keys, c.owner, c.lease)
		}
		free, err := h.store.Claim(ctx, use, c.owner, c.lease)
		if err != nil {
			return 0, err
		}
		if free == replay.Ours {
			return h.claimOnPass(ctx, c, passes, use)
		}
		if verdict, err = h.claimAfterPass(ctx, c, use); err != nil {
			return 0, err
		}
	}
	return verdict, nil
}

// claimOnPass uses the pass.
func (h *Handler) claimOnPass(ctx context.Context, c *claim, passes []replay.Key, use replay.Keys) (replay.Verdict, error) {
	verdict, err := h.usePass(ctx, c, passes)
	if releaseErr := h.store.Release(ctx, use, c.owner, 0); releaseErr != nil {
		h.log.warn("releasing a redelivery pass failed; copies of this delivery wait until its lease expires", zap.Error(releaseErr))
	}
	return verdict, err
}

// claimAfterPass waits for the copy that uses the pass, and tries to claim the
// delivery.
func (h *Handler) claimAfterPass(ctx context.Context, c *claim, use replay.Keys) (replay.Verdict, error) {
	resolution, err := h.store.Wait(ctx, use)
	if err == nil && (resolution.State == replay.Claimed || ctx.Err() != nil) {
		err = errPassInUse
	}
	if err != nil {
		return 0, err
	}
	return h.store.Claim(ctx, c.keys, c.owner, c.lease)
}

// usePass forgets the content, claims the delivery and removes the pass, also if
// another copy has claimed it in between and has used the pass. Handlers that remember
// deliveries forget it first: a queue that still had it would accept it without
// delivering it. A crash in between leaves a valid pass or an accepted delivery: it can
// be handled twice, but is not lost.
func (h *Handler) usePass(ctx context.Context, c *claim, passes []replay.Key) (replay.Verdict, error) {
	states, err := h.store.Lookup(ctx, passes)
	if err != nil {
		return 0, err
	}
	if slices.Contains(states, replay.Handled) {
		for _, key := range c.keys.Blocking {
			if err := h.app.forget(ctx, key.String()); err != nil {
				return 0, err
			}
		}
		if _, err := h.store.Forget(ctx, c.keys.Blocking); err != nil {
			return 0, err
		}
	}
	verdict, err := h.store.Claim(ctx, c.keys, c.owner, c.lease)
	if err != nil {
		return 0, err
	}
	_, err = h.store.Forget(ctx, passes)
	return verdict, err
}
