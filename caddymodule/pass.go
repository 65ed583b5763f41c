package caddymodule

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// pardonFor is how long a delivery that was forgotten on purpose has to come
// again.
const pardonFor = time.Hour

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
	secret      signature.Identity
	key, pardon replay.Key
}

// named derives the keys of an ID.
func (h *Handler) named(id string) []named {
	var all []named
	for _, secret := range h.app.secretsOf(h) {
		derive := func(kind replay.Kind) replay.Key {
			return replay.NewKey(h.Namespace, secret.Fingerprint[:], kind, []byte(id))
		}
		all = append(all, named{secret, derive(replay.KindID), derive(replay.KindPardon)})
	}
	return all
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
		sightings[i] = Sighting{Provider: h.facts.Name, Endpoint: h.endpointName(), Secret: n.secret.Label, State: states[i].String()}
	}
	return sightings, nil
}

// forget makes a handled ID acceptable again. Where the signature does not
// cover the ID, the delivery's digest is a key as well, and nobody knows which
// it is until the delivery comes again: so the ID gets a pass for then.
//
// The pass comes first: a failure in between leaves the ID handled, so that
// forgetting it again mends it.
func (h *Handler) forget(ctx context.Context, id string) ([]Sighting, error) {
	sightings, err := h.seen(ctx, id)
	if err != nil {
		return nil, err
	}
	for i, n := range h.named(id) {
		if i >= len(sightings) || sightings[i].State != replay.Handled.String() {
			continue
		}
		if !h.facts.Traits.IDSigned {
			if err := h.grant(ctx, n.pardon); err != nil {
				return nil, fmt.Errorf("granting a pass: %w", err)
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
func (h *Handler) grant(ctx context.Context, pardon replay.Key) error {
	if _, err := h.store.Forget(ctx, []replay.Key{pardon}); err != nil {
		return err
	}
	keys, owner := replay.Keys{IDs: []replay.Key{pardon}}, replay.NewOwner()
	verdict, err := h.store.Claim(ctx, keys, owner, time.Minute)
	if err != nil || verdict != replay.Ours { // somebody else is granting it
		return err
	}
	return h.store.Commit(ctx, keys, owner, pardonFor, 0)
}

// claimPardoned is called when a delivery's digest is handled but not its ID.
// If the ID has a pass, it is used up: the digest is forgotten, and the
// delivery is claimed after all. Of several copies one uses it, and holds the
// ID meanwhile, so that the others wait for it as for any first copy.
func (h *Handler) claimPardoned(ctx context.Context, c *claim) (replay.Verdict, error) {
	var pardons []replay.Key
	for _, m := range c.d.verified.Matches {
		pardons = append(pardons, replay.NewKey(h.Namespace, m.Secret.Fingerprint[:], replay.KindPardon, []byte(c.d.verified.ID)))
	}
	ids := replay.Keys{IDs: c.keys.IDs}
	states, err := h.store.Lookup(ctx, slices.Concat(pardons, ids.IDs))
	if err != nil {
		return 0, err
	}
	if verdict := replay.Judge(states[len(pardons):], nil); verdict != replay.Ours {
		return verdict, nil // a copy uses the pass, or has done so
	}
	if !slices.Contains(states[:len(pardons)], replay.Handled) {
		return replay.Replayed, nil
	}
	verdict, err := h.store.Claim(ctx, ids, c.owner, c.lease)
	if err != nil || verdict != replay.Ours {
		return verdict, err
	}
	verdict, err = h.usePass(ctx, c, pardons)
	if err != nil || verdict != replay.Ours {
		later := c.withoutRequest()
		h.later(func() { later.free(0) })
	}
	return verdict, err
}

// usePass uses up a pass that a copy may have used before, and claims the
// delivery.
func (h *Handler) usePass(ctx context.Context, c *claim, pardons []replay.Key) (replay.Verdict, error) {
	used, err := h.store.Forget(ctx, pardons)
	if err != nil {
		return 0, err
	}
	if used > 0 {
		if _, err := h.store.Forget(ctx, c.keys.Digests); err != nil {
			// The pass is as good as before, if the store can say so.
			for _, pardon := range pardons {
				_ = h.grant(ctx, pardon)
			}
			return 0, err
		}
	}
	return h.store.Claim(ctx, c.keys, c.owner, c.lease)
}
