package caddymodule

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Outcome is the one word that says what became of a delivery.
type Outcome string

// The outcomes.
const (
	// Verified: good signature, first time; the app answers.
	Verified Outcome = "verified"
	// Duplicate: handled before.
	Duplicate Outcome = "duplicate"
	// Replayed: what was signed was handled before, under another unsigned ID.
	Replayed Outcome = "replayed"
	// InProgress: the same delivery is being handled at this moment.
	InProgress Outcome = "in_progress"
	// Ignored: verified, but its event type is not wanted.
	Ignored Outcome = "ignored"
	// Handshake: a provider's challenge, answered here.
	Handshake Outcome = "handshake"
	// Unhandled: verified, but no handler behind this one responded.
	Unhandled Outcome = "unhandled"
	// MissingSignature, InvalidSignature, Stale and Malformed: as package
	// signature has them.
	MissingSignature Outcome = "missing_signature"
	InvalidSignature Outcome = "invalid_signature"
	Stale            Outcome = "stale"
	Malformed        Outcome = "malformed"
	// TooLarge: past max_body.
	TooLarge Outcome = "too_large"
	// BodyTimeout: past body_timeout.
	BodyTimeout Outcome = "body_timeout"
	// Overloaded: no room to hold another body.
	Overloaded Outcome = "overloaded"
	// StoreUnavailable: the replay store did not answer, or is full.
	StoreUnavailable Outcome = "store_unavailable"
	// Undecided: verification could not be carried out, as when a provider's
	// keys cannot be fetched.
	Undecided Outcome = "undecided"
)

// Outcomes lists every outcome, for metrics and docs.
var Outcomes = []Outcome{
	Verified, Duplicate, Replayed, InProgress, Ignored, Handshake, Unhandled, MissingSignature, InvalidSignature,
	Stale, Malformed, TooLarge, BodyTimeout, Overloaded, StoreUnavailable, Undecided,
}

// status is what the sender gets. Nothing that a retry could cure is a 4xx:
// providers disable or delete webhooks that answer so.
func (o Outcome) status() int {
	switch o {
	case MissingSignature, InvalidSignature, Stale:
		return http.StatusUnauthorized
	case Malformed:
		return http.StatusBadRequest
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case BodyTimeout:
		return http.StatusRequestTimeout
	default:
		return http.StatusServiceUnavailable
	}
}

// Reasons that more than one place gives.
const (
	notInEvents    = "its event type is not in events"
	handledBefore  = "it was handled before"
	replayedReason = "what was signed was handled before; it comes back under another delivery ID, which the signature does not cover"
	beingHandled   = "the same delivery is being handled at this moment"
)

// What is logged of a delivery is bounded, in characters: providers can come
// from elsewhere, and IDs and event types from the sender.
const (
	maxReason = 400
	maxLogged = 200
	maxName   = 20
)

// retryAfter is how many seconds a sender should wait after a 503.
const retryAfter = 5

// refusal ends a delivery on this side. The reason is for the operator.
type refusal struct {
	outcome Outcome
	reason  string
	err     error // the technical failure behind it, if there is one
	status  int   // instead of the outcome's own
	// handshake: it is a handshake, which an option must allow.
	handshake bool
}

// Error implements error. It says no more than the outcome: `handle_errors`
// can show it to the sender.
func (r *refusal) Error() string { return "webhook " + string(r.outcome) }

// Handshake reports whether the request is a handshake, which an option must
// allow. The reason names it.
func (r *refusal) Handshake() bool { return r.handshake }

// asRefusal finds the outcome behind an error of provider, body or store.
func asRefusal(err error) *refusal {
	if own, ok := errors.AsType[*refusal](err); ok {
		return own
	}
	if signed, ok := errors.AsType[*signature.Refusal](err); ok {
		return &refusal{outcome: Outcome(signed.Kind), reason: signature.Excerpt(signed.Reason, maxReason), handshake: signed.Handshake}
	}
	return &refusal{outcome: Undecided, reason: "verification could not be carried out; the provider is asked to try again", err: err}
}

// refuse turns an error into the refusal that the sender gets, and logs it.
func (h *Handler) refuse(d *delivery, err error) error {
	r := asRefusal(err)
	status := r.status
	if status == 0 {
		status = r.outcome.status()
	}
	d.response = status
	h.peekBody(d, r.outcome)
	d.end(r.outcome, r.reason)
	h.log.log(d, r, "refused a webhook delivery")
	h.discardBody(d)
	h.withhold(d)
	if status == http.StatusServiceUnavailable {
		d.w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	d.nameOutcome()
	// Without a trace Caddy would walk the stack, which leads here every time.
	return caddyhttp.Error(status, caddyhttp.HandlerError{Err: r, Trace: "verify_webhook"})
}

// nameOutcome names the outcome in a header of the response, where the sender is
// authenticated and the app is not asked: the provider's own page shows it.
func (d *delivery) nameOutcome() {
	if d.verified == nil || len(d.verified.Matches) == 0 {
		return
	}
	switch d.outcome {
	case Duplicate, Replayed, Ignored, InProgress:
		d.w.Header().Set(headerOutcome, string(d.outcome))
	}
}

// ignore answers a genuine delivery that nobody asked for.
func (h *Handler) ignore(d *delivery) error {
	d.response = http.StatusNoContent
	d.end(Ignored, notInEvents)
	h.log.answered(d)
	h.withhold(d)
	d.nameOutcome()
	d.w.WriteHeader(http.StatusNoContent)
	return nil
}

// answerHandshake answers a provider's challenge. What is echoed is never
// taken for HTML, and never cached.
func (h *Handler) answerHandshake(d *delivery) error {
	if err := h.keepHandshakeSecret(d); err != nil {
		return h.refuse(d, err)
	}
	d.response = cmp.Or(d.verified.Answer.Status, http.StatusOK)
	d.end(Handshake, "")
	// A handler in front that replaces the response gets the request.
	h.discardBody(d)
	h.withhold(d)
	a := d.verified.Answer
	header := d.w.Header()
	maps.Copy(header, a.Header)
	if a.ContentType != "" {
		header.Set("Content-Type", a.ContentType)
	}
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	status := cmp.Or(a.Status, http.StatusOK)
	if status != http.StatusNoContent {
		header.Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
	h.log.answered(d)
	d.w.WriteHeader(status)
	if len(a.Body) == 0 {
		return nil
	}
	_, err := d.w.Write(a.Body)
	return err
}
