package caddymodule

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// claim reserves one delivery while the app works on it. It is renewed for as
// long as that takes, and ends once: with commit or release.
type claim struct {
	h     *Handler
	d     *delivery
	keys  replay.Keys
	owner replay.Owner
	lease time.Duration
	// The two calls to the store that every claim makes.
	claiming, ending lazyDeadline
	// What copies that wait compare: see claimedRequests.
	request uint64
	failure atomic.Int32 // the app's status, if it did not succeed

	mu       sync.Mutex
	ended    bool
	released bool        // ended without a commit
	retry    *time.Timer // after a failed renewal

	// Guarded by renewals.mu.
	waits        bool // in the list of renewals
	due          time.Time
	older, newer *claim
}

// claim tries to claim a delivery. The claim is nil unless the verdict is Ours.
// It is also nil if the store failed and on_store_error is allow, and if the
// delivery has no keys.
func (h *Handler) claim(d *delivery) (*claim, replay.Verdict, error) {
	c := &d.claim
	c.h, c.d, c.keys, c.owner, c.lease = h, d, d.keys, replay.NewOwner(), time.Duration(h.Replay.Lease)
	if len(c.keys.Blocking) == 0 {
		return nil, replay.Ours, nil // a copy cannot be recognized
	}
	c.claiming.begin(context.Background(), storeTimeout)
	defer c.claiming.cancel()
	verdict, err := h.store.Claim(&c.claiming, c.keys, c.owner, c.lease)
	if err == nil && d.mayHavePass(verdict) {
		verdict, err = h.claimWithPass(&c.claiming, c, verdict)
	}
	if errors.Is(err, errPassInUse) {
		return nil, 0, err
	}
	if err != nil && h.Replay.OnStoreError == "allow" {
		h.log.fail("the replay store failed; on_store_error allow lets the delivery through", zap.Error(err))
		return nil, replay.Ours, nil
	}
	if err != nil {
		if !errors.Is(err, replay.ErrFull) {
			// The store may have claimed it before it failed. If it cannot be
			// released, its lease expires.
			c.inBackground(func(c *claim) { c.free(0) })
		}
		return nil, 0, &refusal{outcome: StoreUnavailable, reason: "the replay store failed; the provider is asked to try again", err: err}
	}
	if verdict != replay.Ours {
		d.observed.step(stepCopy)
		return nil, verdict, nil
	}
	d.observed.step(stepClaimed)
	if d.traced() {
		d.traceEvent("webhook claimed")
	}
	h.renewals.add(c, c.lease/3)
	c.request = d.fingerprint()
	claimed.add(c)
	return c, verdict, nil
}

// renew extends the lease while the app works. After a failed renewal there is
// time for two more attempts before the lease expires.
func (c *claim) renew() {
	ctx, cancel := context.WithTimeout(context.Background(), min(storeTimeout, c.lease/6))
	err := c.h.store.Renew(ctx, c.keys, c.owner, c.lease)
	if errors.Is(err, replay.ErrNotOwner) && !c.hasEnded() {
		err = c.claimAgain(ctx)
		if c.wasReleased() { // meanwhile: the new claim would never be released
			c.free(0)
		}
	}
	cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended:
	case errors.Is(err, replay.ErrNotOwner):
		c.h.log.warn("lease expired while the app was processing, and the delivery came again: it may be handled twice", zap.Duration("lease", c.lease))
	case err != nil:
		c.h.log.warn("renewing a claim failed; retrying", zap.Error(err))
		c.retry = time.AfterFunc(c.lease/12, c.renew)
	default:
		c.h.renewals.add(c, c.lease/3)
	}
}

// claimAgain claims the keys of a claim whose lease has expired. It returns
// ErrNotOwner if another delivery has claimed them or was handled meanwhile.
func (c *claim) claimAgain(ctx context.Context) error {
	verdict, err := c.h.store.Claim(ctx, c.keys, c.owner, c.lease)
	if err == nil && verdict != replay.Ours {
		return replay.ErrNotOwner
	}
	return err
}

func (c *claim) hasEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

func (c *claim) wasReleased() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.released
}

// stop ends the renewal. It returns false if the claim has ended already.
func (c *claim) stop() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.ended = true
	claimed.remove(c)
	c.h.renewals.remove(c)
	if c.retry != nil {
		c.retry.Stop()
	}
	return true
}

// end commits the claim if the app's status counts as handled, and releases it
// otherwise. It returns after the store has done so, because the response must
// not be sent before. A nil claim has nothing to end.
func (c *claim) end(status int) {
	if c == nil || !c.stop() {
		return
	}
	if !c.h.handled(status) {
		c.release(status)
		return
	}
	if c.d.app.verified.stored.Load() {
		c.d.observed.step("stored by the queue")
		c.commitStored(status)
		return
	}
	err := c.commit(&c.ending, status)
	if c.d.traced() {
		c.d.traceEvent("webhook claim committed", attribute.Int("webhook.app_status", status), attribute.Bool("webhook.remembered", err == nil))
	}
	if err == nil {
		c.d.observed.step(stepCommitted)
	}
	if err == nil || c.lost(err) {
		return
	}
	// The app has succeeded, so its response is sent. The claim blocks copies
	// until its lease expires; meanwhile the commit is retried.
	c.h.log.fail("remembering a handled delivery failed; retrying until its lease expires", zap.Error(err), zap.Duration("lease", c.lease))
	if !c.inBackground(func(c *claim) { c.retryCommit(status) }) {
		c.h.log.fail("too many handled deliveries wait to be remembered: the provider's retry of this one would reach the app again")
	}
}

// storedCommitEvery is the interval between commits of stored deliveries under
// load. They are committed together to share a write to the disk, because it
// competes with the writes that providers wait for.
const storedCommitEvery = 20 * time.Millisecond

// awaitStoredCommit waits until a stored delivery should be committed: not at all
// if none was committed recently, otherwise until the others are. Until then, a
// copy of it is in progress.
func (h *Handler) awaitStoredCommit() {
	now := time.Now().UnixNano()
	last := h.lastStored.Load()
	wait := time.Duration(last - now + int64(storedCommitEvery))
	if wait <= 0 && h.lastStored.CompareAndSwap(last, now) {
		return
	}
	time.Sleep(min(wait, storedCommitEvery)) // the clock may step
}

// commitStored commits in the background, because the delivery is already durable:
// if the process is killed before the commit, a retry is stored under the same key.
func (c *claim) commitStored(status int) {
	begun := c.inBackground(func(c *claim) {
		c.h.awaitStoredCommit()
		if err := c.commit(new(lazyDeadline), status); err != nil && !c.lost(err) {
			c.retryCommit(status)
		}
	})
	if begun {
		return
	}
	if err := c.commit(&c.ending, status); err != nil && !c.lost(err) {
		c.h.log.fail("remembering a stored delivery failed: its retry is stored under the same key", zap.Error(err))
	}
}

// fail releases the claim after an error, a panic or a missing response, whichever
// statuses count as handled. status is the status of the error, 0 if unknown.
func (c *claim) fail(status int) {
	if c != nil && c.stop() {
		c.release(status)
	}
}

// commit makes one attempt, in a context of its own. A claim whose lease has
// expired, or that a store has lost in a failover, is claimed again: unless
// another delivery has the keys, the app's success is remembered.
func (c *claim) commit(ctx *lazyDeadline, status int) error {
	ctx.begin(context.Background(), storeTimeout)
	defer ctx.cancel()
	window := time.Duration(c.h.Replay.Window)
	err := c.h.store.Commit(ctx, c.keys, c.owner, window, status)
	if !errors.Is(err, replay.ErrNotOwner) {
		return err
	}
	if err := c.claimAgain(ctx); err != nil {
		return err
	}
	return c.h.store.Commit(ctx, c.keys, c.owner, window, status)
}

// lost reports whether a commit came too late, so that a retry cannot help.
func (c *claim) lost(err error) bool {
	if !errors.Is(err, replay.ErrNotOwner) {
		return false
	}
	if m, ok := c.h.store.(interface{ claimLost() }); ok {
		m.claimLost()
	}
	c.h.log.warn("lease expired while the app was processing, and the delivery came again: it may be handled twice", zap.Duration("lease", c.lease))
	return true
}

// retryCommit retries a commit with growing pauses until the lease expires. The
// pauses are short compared to the lease, so that the last attempt is near its end.
func (c *claim) retryCommit(status int) {
	deadline, longest := time.Now().Add(c.lease), min(c.lease/10, 5*time.Second)
	for pause := min(100*time.Millisecond, longest); time.Now().Add(pause).Before(deadline); pause = min(2*pause, longest) {
		time.Sleep(pause)
		err := c.commit(new(lazyDeadline), status)
		if err == nil {
			c.h.log.warn("remembered a handled delivery after all")
			return
		}
		if c.lost(err) {
			return
		}
	}
	c.h.log.fail("a handled delivery could not be remembered: the provider's retry would reach the app again")
}

func (c *claim) release(status int) {
	c.mu.Lock()
	c.released = true
	c.mu.Unlock()
	c.failure.Store(int32(status))
	c.d.observed.step(stepReleased)
	if c.d.traced() {
		c.d.traceEvent("webhook claim released", attribute.Int("webhook.app_status", status))
	}
	c.free(status)
}

func (c *claim) free(status int) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if err := c.h.store.Release(ctx, c.keys, c.owner, status); err != nil {
		c.h.log.warn("releasing a claim failed; the provider's retry is refused until its lease expires", zap.Error(err), zap.Duration("lease", c.lease))
	}
}

// inBackground calls work with a copy of the claim that does not keep the request
// in memory. It returns immediately. If too much such work is running, it does
// nothing and returns false. The caller must be a user of the store.
func (c *claim) inBackground(work func(*claim)) bool {
	h := c.h
	select {
	case h.background <- struct{}{}:
	default:
		return false
	}
	h.shared.join() // never fails: the store is open while the caller uses it
	keys := replay.Keys{Blocking: slices.Clone(c.keys.Blocking), Notes: slices.Clone(c.keys.Notes)}
	detached := &claim{h: h, keys: keys, owner: c.owner, lease: c.lease}
	go func() {
		defer h.shared.done()
		defer func() { <-h.background }()
		work(detached)
	}()
	return true
}
