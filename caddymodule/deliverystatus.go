package caddymodule

import (
	"context"
	"fmt"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// DeliveryStatus is the state of a delivery ID in one endpoint's store, under one of
// the endpoint's secrets.
type DeliveryStatus struct {
	Provider string `json:"provider"`
	Endpoint string `json:"endpoint"`
	// Secret is the label or position of the secret.
	Secret string `json:"secret"`
	// State is free, claimed or handled.
	State string `json:"state"`
	// Forgotten: it was handled and has been forgotten.
	Forgotten bool `json:"forgotten,omitempty"`
}

// named is a delivery ID under one of an endpoint's secrets.
type named struct {
	secret    signature.Identity
	key, pass replay.Key
}

// named derives the keys of an ID. If the signature covers the ID, its key
// identifies the delivery; otherwise it is the note of a handled delivery.
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

// seen looks up an ID.
func (h *Handler) seen(ctx context.Context, id string) ([]DeliveryStatus, error) {
	names := h.named(id)
	keys := make([]replay.Key, len(names))
	for i, n := range names {
		keys[i] = n.key
	}
	states, err := h.store.Lookup(ctx, keys)
	if err != nil {
		return nil, err
	}
	statuses := make([]DeliveryStatus, len(names))
	for i, n := range names {
		statuses[i] = DeliveryStatus{Provider: h.info().Name, Endpoint: h.endpointName(), Secret: n.secret.Label, State: states[i].String()}
	}
	return statuses, nil
}

// forget lets a handled ID in again. If the signature does not cover the ID, the
// content is what was handled, and it is unknown until the redelivery: the ID gets a
// one-time redelivery pass.
//
// The pass is stored first: after a failure in between the ID is still handled, and
// a second forget completes the work.
func (h *Handler) forget(ctx context.Context, id string) ([]DeliveryStatus, error) {
	statuses, err := h.seen(ctx, id)
	if err != nil {
		return nil, err
	}
	for i, n := range h.named(id) {
		if i >= len(statuses) || statuses[i].State != replay.Handled.String() {
			continue
		}
		if info := h.info(); !info.Coverage.IDSigned || info.AlsoContent {
			if err := h.storePass(ctx, n.pass); err != nil {
				return nil, fmt.Errorf("storing a redelivery pass: %w", err)
			}
		}
		if err := h.app.forget(ctx, n.key.String()); err != nil {
			return nil, err
		}
		count, err := h.store.Forget(ctx, []replay.Key{n.key})
		if err != nil {
			return nil, err
		}
		statuses[i].Forgotten, statuses[i].State = count > 0, replay.Free.String()
	}
	return statuses, nil
}
