package caddymodule

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// passLife is how long a one-time redelivery pass is valid.
const passLife = time.Hour

// Sighting is what one endpoint's store knows of a delivery ID, under one of
// the endpoint's secrets.
type Sighting struct {
	Provider string `json:"provider"`
	Endpoint string `json:"endpoint"`
	// Secret is the label or position of the secret.
	Secret string `json:"secret"`
	// State is free, claimed or handled.
	State string `json:"state"`
	// Forgotten: it was handled, and is not any more.
	Forgotten bool `json:"forgotten,omitempty"`
}

// named is a delivery ID under one of an endpoint's secrets.
type named struct {
	secret    signature.Identity
	key, pass replay.Key
}

// named derives the keys of an ID. Where the signature covers the ID, its key
// identifies the delivery; where not, it is the note of a delivery that was
// handled.
func (h *Handler) named(id string) []named {
	var all []named
	for _, secret := range h.app.secretsOf(h) {
		all = append(all, named{secret, h.idKey(replay.KindID, secret, id), h.idKey(replay.KindPass, secret, id)})
	}
	return all
}

func (h *Handler) idKey(kind replay.Kind, secret signature.Identity, id string) replay.Key {
	return replay.NewKey(h.Namespace, secret.Fingerprint[:], kind, []byte(id))
}

// seen looks an ID up.
func (h *Handler) seen(ctx context.Context, id string) ([]Sighting, error) {
	names := h.named(id)
	keys := make([]replay.Key, len(names))
	for i, n := range names {
		keys[i] = n.key
	}
	states, err := h.store.Lookup(ctx, keys)
	if err != nil {
		return nil, err
	}
	sightings := make([]Sighting, len(names))
	for i, n := range names {
		sightings[i] = Sighting{Provider: h.facts().Name, Endpoint: h.endpointName(), Secret: n.secret.Label, State: states[i].String()}
	}
	return sightings, nil
}

// forget makes a handled ID acceptable again. Where the content of the delivery
// is what was handled, it is unknown until the delivery comes again: so the ID
// gets a one-time redelivery pass.
//
// The pass comes first: after a failure in between the ID is still handled, and
// forgetting it again completes the work.
func (h *Handler) forget(ctx context.Context, id string) ([]Sighting, error) {
	sightings, err := h.seen(ctx, id)
	if err != nil {
		return nil, err
	}
	for i, n := range h.named(id) {
		if i >= len(sightings) || sightings[i].State != replay.Handled.String() {
			continue
		}
		if facts := h.facts(); !facts.Traits.IDSigned || facts.AlsoContent {
			if err := h.grant(ctx, n.pass); err != nil {
				return nil, fmt.Errorf("granting a redelivery pass: %w", err)
			}
		}
		count, err := h.store.Forget(ctx, []replay.Key{n.key})
		if err != nil {
			return nil, err
		}
		sightings[i].Forgotten, sightings[i].State = count > 0, replay.Free.String()
	}
	return sightings, nil
}

// grant puts a pass into the store, in place of an older one.
func (h *Handler) grant(ctx context.Context, pass replay.Key) error {
	if _, err := h.store.Forget(ctx, []replay.Key{pass}); err != nil {
		return err
	}
	keys, owner := replay.Keys{Blocking: []replay.Key{pass}}, replay.NewOwner()
	verdict, err := h.store.Claim(ctx, keys, owner, time.Minute)
	if err != nil || verdict != replay.Ours { // granted concurrently
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

// mayHavePass reports whether a delivery that is not new may be let through by a
// pass: its content was handled, and its ID, if it was, has been forgotten. A
// signed ID has no note that tells.
func (d *delivery) mayHavePass(verdict replay.Verdict) bool {
	return verdict == replay.Replayed || (verdict == replay.Duplicate && d.verified.AlsoContent && d.verified.ID != "")
}

// claimWithPass is called when a delivery may have a pass. If its ID has one,
// the content is forgotten and the delivery claimed; otherwise the verdict
// stays. Of several copies one uses the pass; the others wait until it has, and find
// the delivery in progress or handled.
func (h *Handler) claimWithPass(ctx context.Context, c *claim, without replay.Verdict) (replay.Verdict, error) {
	passes, use := h.passKeys(c.d.verified)
	states, err := h.store.Lookup(ctx, slices.Concat(passes, use.Blocking))
	if err != nil {
		return 0, err
	}
	if !slices.Contains(states[:len(passes)], replay.Handled) && !slices.Contains(states[len(passes):], replay.Claimed) {
		return without, nil
	}
	verdict, err := h.store.Claim(ctx, use, c.owner, c.lease)
	if err != nil {
		return 0, err
	}
	if verdict != replay.Ours {
		if _, err := h.store.Wait(ctx, use); err != nil {
			return 0, err
		}
		return h.store.Claim(ctx, c.keys, c.owner, c.lease)
	}
	verdict, err = h.usePass(ctx, c, passes)
	if releaseErr := h.store.Release(ctx, use, c.owner, 0); releaseErr != nil {
		h.refusals.warn("releasing a redelivery pass failed; copies of this delivery wait until its lease expires", zap.Error(releaseErr))
	}
	return verdict, err
}

// usePass forgets the content, claims the delivery and takes the pass away, also
// if another copy has claimed it in between: that one has used the pass. A crash
// in between leaves a pass that is still valid, or a delivery that is accepted:
// it can be handled twice, but is not lost.
func (h *Handler) usePass(ctx context.Context, c *claim, passes []replay.Key) (replay.Verdict, error) {
	states, err := h.store.Lookup(ctx, passes)
	if err != nil {
		return 0, err
	}
	if slices.Contains(states, replay.Handled) {
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
