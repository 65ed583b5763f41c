package caddymodule

import (
	"cmp"
	"encoding/json"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Replay configures how handled deliveries are remembered.
type Replay struct {
	// Disable replay protection: every verified delivery is forwarded, copies
	// included. Of the other options only `handled` can be set then.
	// Default: false.
	Off bool `json:"off,omitempty"`

	// Whether two different deliveries can have the same content. With
	// `unique`, the same content is a copy, whatever its unsigned delivery ID.
	// With `repeats`, it is a copy only under the same delivery ID; if the
	// provider sends no ID, every delivery is forwarded. Cannot be set if the
	// provider signs the delivery ID. Default: the provider's.
	Content provider.Content `json:"content,omitempty"`

	// The replay store. Default: the store of the `verify_webhook` global
	// option.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=http.verify_webhook.stores inline_key=type"`

	// How long a handled delivery is remembered; at least twice the tolerance.
	// Default: how long the provider retries or lets users resend, mostly 7d.
	Window caddy.Duration `json:"window,omitempty"`

	// How long a delivery stays blocked after a crash. The lease is renewed
	// while the app works. Default: 1m.
	Lease caddy.Duration `json:"lease,omitempty"`

	// Which statuses of the app count as handled: status codes, or 2 for 2xx.
	// Default: 2.
	Handled []int `json:"handled,omitempty"`

	// The status for a delivery that was handled before. Some providers disable
	// a webhook that responds 4xx, so it should be 2xx. Default: 200.
	OnDuplicate int `json:"on_duplicate,omitempty"`

	// The status for content that was handled before and is sent again under
	// another, unsigned, delivery ID. Default: 200.
	OnReplay int `json:"on_replay,omitempty"`

	// What to do if the store fails: `reject` with 503, so that the provider
	// retries, or `allow`, which forwards duplicates. Default: `reject`.
	OnStoreError string `json:"on_store_error,omitempty"`

	// How long a copy waits for the response to the first one. Default: 10s.
	Wait caddy.Duration `json:"wait,omitempty"`

	// How many copies can wait at once. Further ones get 503 immediately.
	// Default: 256.
	MaxWaiting int `json:"max_waiting,omitempty"`
}

// repeats reports whether two different deliveries can have the same content.
func (r *Replay) repeats(v *signature.Delivery) bool {
	switch r.Content {
	case provider.ContentRepeats:
		return true
	case provider.ContentUnique:
		return false
	default:
		return v.Repeats
	}
}

// indistinguishable reports whether a delivery of the endpoint and its copy look
// the same as two different deliveries.
func (h *Handler) indistinguishable() bool {
	content := cmp.Or(h.Replay.Content, h.info().Distinction.Content)
	return content == provider.ContentRepeats && !h.info().Coverage.HasID
}
