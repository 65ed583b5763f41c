// Package caddymodule is the Caddy side of webhook verification: the
// `verify_webhook` handler, its Caddyfile, the app that endpoints share, and
// the modules that make the replay stores available to Caddy.
package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/body"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func init() { caddy.RegisterModule(new(Handler)) }

// Handler verifies webhook deliveries and rejects replays: it checks the
// signature over the exact bytes, the age of the timestamp, and that the delivery
// was not handled before.
//
// Deliveries that pass go to the next handler, usually `reverse_proxy`, whose
// status decides whether the delivery counts as handled. All others are rejected
// with an error, so `handle_errors` applies.
//
// The next handler receives the body byte for byte, and the headers
// `Webhook-Verified-Provider`, `-Id`, `-Event`, `-Timestamp`, `-Key` and
// `-Unsigned`, which lists those of them that the signature does not cover.
// Client-supplied headers with these names are stripped.
//
// Syntax:
//
//	verify_webhook [<matcher>] <provider> [<secret>] {
//		secret       <secret> [<label>]
//		tolerance    <duration>
//		public_url   <url>
//		<options of the provider>
//		events       <patterns...>
//		max_body     <size>
//		body_timeout <duration>
//		app_timeout  <duration>
//		mode         enforce|monitor
//		forward_token
//		namespace    <name>
//		replay [off] {
//			content        unique|repeats
//			store          <type> [<arguments...>]
//			window         <duration>
//			lease          <duration>
//			handled        <statuses...>
//			on_duplicate   <status>
//			on_replay      <status>
//			on_store_error reject|allow
//			wait           <duration>
//			max_waiting    <number>
//		}
//	}
//
// Example:
//
//	hooks.example.com {
//		handle /webhooks/github {
//			verify_webhook github {env.GITHUB_WEBHOOK_SECRET}
//			reverse_proxy localhost:5000
//		}
//		handle {
//			respond 404
//		}
//	}
//
// The handler sets these placeholders:
//
// Placeholder | Description
// ------------|------------
// `{http.verify_webhook.outcome}` | The outcome: `verified`, `duplicate`, `replayed`, `in_progress`, `ignored`, `handshake`, `unhandled`, `missing_signature`, `invalid_signature`, `stale`, `malformed`, `too_large`, `body_timeout`, `overloaded`, `store_unavailable` or `undecided`
// `{http.verify_webhook.reason}` | Why the delivery was rejected, for the operator
// `{http.verify_webhook.provider}` | The name of the provider
// `{http.verify_webhook.id}` | The delivery ID
// `{http.verify_webhook.event}` | The event type
// `{http.verify_webhook.timestamp}` | When the delivery was signed, in Unix seconds
// `{http.verify_webhook.key}` | A key for idempotent writes, the same on every retry
// `{http.verify_webhook.secret}` | The label or position of the secret that matched
type Handler struct {
	// The provider that sends the deliveries, with its secrets. Required.
	ProviderRaw json.RawMessage `json:"provider,omitempty" caddy:"namespace=http.verify_webhook.providers inline_key=name"`

	// The event types to forward; `*` matches any text. A delivery of another
	// type gets 204 and is not forwarded. Default: all.
	Events []string `json:"events,omitempty"`

	// The largest body, in bytes. A larger one gets 413. Default: 25 MiB, as
	// GitHub documents; 64 MiB for providers that send whole mails, and less
	// for providers whose deliveries are known to be small. 4 MiB for a delivery
	// whose body is hashed with SHA-384 or SHA-512, including Ed25519.
	MaxBody int64 `json:"max_body,omitempty"`

	// How long the body may take to arrive; after that the sender gets 408.
	// Default: 30s.
	BodyTimeout caddy.Duration `json:"body_timeout,omitempty"`

	// How long the app may take, even if the provider disconnects.
	// Default: 5m.
	AppTimeout caddy.Duration `json:"app_timeout,omitempty"`

	// `enforce` rejects forged, stale and replayed deliveries. `monitor` counts
	// and logs them, but forwards everything, with a `Webhook-Verified-Outcome`
	// header that has the outcome under `enforce`. Default: `enforce`.
	Mode string `json:"mode,omitempty"`

	// Forward the header in which the provider sends the secret itself, such
	// as GitLab's X-Gitlab-Token. Default: false, so that the app and its logs
	// do not get the secret. Mode `monitor` always forwards it.
	ForwardToken bool `json:"forward_token,omitempty"`

	// Required for endpoints that share a secret: those with the same namespace
	// count as one endpoint, those with different namespaces are separate.
	// Default: none.
	Namespace string `json:"namespace,omitempty"`

	// How replays are recognized. Default: the settings of the provider.
	Replay Replay `json:"replay,omitzero"`

	providerJSON json.RawMessage // as in the config
	aside        bool            // a trial beside the running config, which is neither counted nor observed

	current  atomic.Pointer[loadedProvider]
	app      *App
	shared   *configStore // the part of the store that all its users share
	store    gateStore
	ownStore bool // the config names a store for this endpoint
	limits   body.Limits
	// slowMaxBody is max_body for a body that takes more CPU time than usual.
	slowMaxBody int64
	renewals    renewals
	waiting     chan struct{} // a slot for every copy that can wait
	// background has a slot for every delivery whose claim can be ended after
	// its response.
	background chan struct{}
	handshakes *handshakeDesk
	lastStored atomic.Int64 // when the first of a group of stored deliveries was committed, in Unix nanoseconds
	log        *boundedLog
	inConfig   caddyPlace
	identity   atomic.Pointer[endpointIdentity]
	metrics    *endpointMetrics // of the name at provisioning
	logger     *zap.Logger
	now        func() time.Time
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.verify_webhook",
		New: func() caddy.Module { return new(Handler) },
	}
}

// ServeHTTP handles one delivery.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	d := h.newDelivery(w, r)
	d.metrics.inFlight.Inc()
	defer d.metrics.inFlight.Dec()
	d.observe()
	// Before any check: error routes get the headers of refused requests.
	stripUntrusted(r.Header)
	if h.Mode == modeMonitor {
		return h.watch(d, next)
	}
	defer d.cutBody() // after a panic; otherwise nothing is left to cut

	// Cheap refusals first, before the body is read.
	if err := h.checkHeaders(d); err != nil {
		return h.refuse(d, err)
	}

	// Is it a handshake that needs no body?
	if answer, err := h.answerHeaders(d); err != nil {
		return h.refuse(d, err)
	} else if answer != nil {
		d.verified = &signature.Delivery{Answer: answer}
		return h.answerHandshake(d)
	}

	// The raw body, once, bounded in bytes and time.
	if err := h.readBody(d); err != nil {
		return h.refuse(d, err)
	}
	defer d.body.Release()

	// Is it genuine and fresh?
	if err := h.verify(d); err != nil {
		return h.refuse(d, err)
	}
	if d.verified.Answer != nil {
		return h.answerHandshake(d)
	}
	if err := checkAppReads(d); err != nil {
		return h.refuse(d, err)
	}
	h.noticeHandshake(d)
	if !h.wantsEvent(d.verified.Event) {
		return h.ignore(d)
	}

	// Is it new?
	d.deriveKeys(h)
	if err := h.useStore(d); err != nil {
		return h.refuse(d, err)
	}
	defer h.doneWithStore(d)
	claim, verdict, err := h.claim(d)
	if err != nil {
		return h.refuse(d, err)
	}
	if verdict != replay.Ours {
		d.copyBody(Duplicate)
		d.body.Release()
		return h.answerCopy(d, verdict)
	}

	// The app's response decides how the claim ends.
	return h.forward(d, claim, next)
}

// checkHeaders refuses requests whose headers alone show that they are invalid.
func (h *Handler) checkHeaders(d *delivery) error {
	// A length of 0 means that there is no body only on HTTP/1.
	d.bodyUnread = d.r.ContentLength != 0 || d.r.ProtoMajor != 1
	if err := d.provider.CheckHeaders(&d.signed); err != nil {
		return err
	}
	if most := h.maxBody(d); d.r.ContentLength > most {
		return &refusal{outcome: TooLarge, reason: fmt.Sprintf("the declared length is %d bytes, max_body is %d: "+raiseMaxBody, d.r.ContentLength, most, larger(most))}
	}
	d.observed.step(stepHeaders)
	return nil
}

// answerHeaders answers a handshake that does not depend on the body.
func (h *Handler) answerHeaders(d *delivery) (*signature.Answer, error) {
	p, ok := d.provider.Provider.(provider.HeaderAnswerer)
	if !ok {
		return nil, nil
	}
	return p.AnswerHeaders(&d.signed)
}

// verify asks the provider. Other modules can implement providers, so a result
// that does not name the secret that signed the delivery is not accepted.
func (h *Handler) verify(d *delivery) error {
	start := time.Now()
	verified, err := d.provider.Verify(d.r.Context(), &d.signed)
	d.metrics.verified(start)
	d.body.Settle()
	if errors.Is(err, body.ErrBudget) {
		return h.bodyRefusal(d, err)
	}
	if err != nil {
		return err
	}
	if verified == nil || (verified.Answer == nil && len(verified.Matches) == 0) {
		return errors.New("the provider's module names no secret that has signed")
	}
	d.verified = verified
	if verified.TimestampSigned && !verified.Timestamp.IsZero() {
		d.metrics.skew().Observe(d.signed.Now.Sub(verified.Timestamp).Seconds())
	}
	d.observed.step(stepVerified)
	if d.traced() {
		d.traceEvent("webhook signature verified")
	}
	return nil
}

// wantsEvent reports whether deliveries of this type are forwarded.
func (h *Handler) wantsEvent(event string) bool {
	if len(h.Events) == 0 {
		return true
	}
	for _, pattern := range h.Events {
		if matchEvent(pattern, event) {
			return true
		}
	}
	return false
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ signature.Body              = (*body.Body)(nil)
)
