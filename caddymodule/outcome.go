package caddymodule

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Outcome is the result of a delivery in one word.
type Outcome string

// The outcomes.
const (
	// Verified: valid signature, first time; the app responds.
	Verified Outcome = "verified"
	// Duplicate: the same delivery was handled before.
	Duplicate Outcome = "duplicate"
	// Replayed: the same content was handled before under another, unsigned, ID.
	Replayed Outcome = "replayed"
	// InProgress: the same delivery is being handled now.
	InProgress Outcome = "in_progress"
	// Ignored: verified, but the event type is not in events.
	Ignored Outcome = "ignored"
	// Handshake: a provider's challenge, answered by the module.
	Handshake Outcome = "handshake"
	// Unhandled: verified, but no handler behind this one responded.
	Unhandled Outcome = "unhandled"
	// MissingSignature, InvalidSignature, Stale and Malformed: as in package
	// signature.
	MissingSignature Outcome = "missing_signature"
	InvalidSignature Outcome = "invalid_signature"
	Stale            Outcome = "stale"
	Malformed        Outcome = "malformed"
	// TooLarge: over max_body.
	TooLarge Outcome = "too_large"
	// BodyTimeout: over body_timeout.
	BodyTimeout Outcome = "body_timeout"
	// Overloaded: no memory or disk space for another body.
	Overloaded Outcome = "overloaded"
	// StoreUnavailable: the replay store failed or is full.
	StoreUnavailable Outcome = "store_unavailable"
	// Undecided: the delivery could not be checked, for example because the
	// provider's keys could not be fetched.
	Undecided Outcome = "undecided"
)

// Outcomes lists every outcome, for metrics and docs.
var Outcomes = []Outcome{
	Verified, Duplicate, Replayed, InProgress, Ignored, Handshake, Unhandled, MissingSignature, InvalidSignature,
	Stale, Malformed, TooLarge, BodyTimeout, Overloaded, StoreUnavailable, Undecided,
}

// status is the response to the sender. Failures that a retry can fix are never
// 4xx, because providers disable or delete webhooks after one.
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

// Reasons that are used in several places.
const (
	notInEvents    = "its event type is not in events"
	handledBefore  = "it was handled before"
	replayedReason = "the same content was handled before under another delivery ID, which the signature does not cover"
	beingHandled   = "the same delivery is being handled now"
)

// Limits of logged values, in characters: providers can be from other modules, and
// IDs and event types come from the sender.
const (
	maxReason = 400
	maxLogged = 200
	maxName   = 20
)

// retryAfter is the Retry-After of a 503, in seconds.
const retryAfter = 5

// refusal ends a delivery without the app. The reason is for the operator.
type refusal struct {
	outcome Outcome
	reason  string
	err     error // the underlying error, if any
	status  int   // overrides that of the outcome
	// handshake: the request is a handshake that an option can allow.
	handshake bool
}

// Error implements error. It returns only the outcome, because `handle_errors` can
// show it to the sender.
func (r *refusal) Error() string { return "webhook " + string(r.outcome) }

// Handshake reports whether the request is a handshake that an option can allow. The
// reason names the option.
func (r *refusal) Handshake() bool { return r.handshake }

// asRefusal converts an error of provider, body or store to a refusal.
func asRefusal(err error) *refusal {
	if own, ok := errors.AsType[*refusal](err); ok {
		return own
	}
	if signed, ok := errors.AsType[*signature.Refusal](err); ok {
		return &refusal{outcome: Outcome(signed.Kind), reason: signature.Excerpt(signed.Reason, maxReason), handshake: signed.Handshake}
	}
	return &refusal{outcome: Undecided, reason: "the delivery could not be checked; the provider gets 503 and retries", err: err}
}

// refuse converts an error to a refusal for the sender, and logs it.
func (h *Handler) refuse(d *delivery, err error) error {
	r := asRefusal(err)
	status := r.status
	if status == 0 {
		status = r.outcome.status()
	}
	d.response = status
	h.peekBody(d, r.outcome)
	d.end(r.outcome, r.reason)
	logged := h.log.log(d, r, "refused a webhook delivery")
	h.discardBody(d)
	h.withhold(d)
	if status == http.StatusServiceUnavailable {
		d.w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	d.nameOutcome()
	if !logged && status >= 500 && d.answerUnlogged(status) {
		return nil
	}
	// Without a trace Caddy would walk the stack, which is always the same.
	return caddyhttp.Error(status, caddyhttp.HandlerError{Err: r, Trace: "verify_webhook"})
}

// nameOutcome sets the outcome as a response header if the sender is authenticated
// and the app is not called: the provider's own page shows it.
func (d *delivery) nameOutcome() {
	if d.verified == nil || len(d.verified.Matches) == 0 {
		return
	}
	switch d.outcome {
	case Duplicate, Replayed, Ignored, InProgress:
		d.w.Header().Set(headerOutcome, string(d.outcome))
	}
}

// suspicious is how many deliveries must be ignored, and none forwarded, before the
// patterns in events may be wrong.
const suspicious = 10

// noticeIgnored warns once if events has matched no delivery: the provider gets a
// success and sends no retries, so a wrong pattern would be noticed late.
func (h *Handler) noticeIgnored(d *delivery) {
	if h.eventMatched.Load() || h.ignored.Add(1) != suspicious {
		return
	}
	h.log.warn("no delivery has matched events, and none was forwarded: if this one should be, write its event type in events",
		zap.String("provider", d.provider.info.Name), zap.String("endpoint", d.endpoint), zap.Int("ignored", suspicious),
		zap.String("event", signature.Excerpt(d.verified.Event, maxLogged)), zap.Strings("events", h.Events))
}

// ignore responds to a genuine delivery whose event type is not in events.
func (h *Handler) ignore(d *delivery) error {
	d.response = http.StatusNoContent
	d.end(Ignored, notInEvents)
	h.log.answered(d)
	h.noticeIgnored(d)
	h.withhold(d)
	d.nameOutcome()
	d.w.WriteHeader(http.StatusNoContent)
	return nil
}

// answerHandshake answers a provider's challenge. The response is never interpreted
// as HTML, and never cached.
func (h *Handler) answerHandshake(d *delivery) error {
	if err := h.keepHandshakeSecret(d); err != nil {
		return h.refuse(d, err)
	}
	d.response = cmp.Or(d.verified.Answer.Status, http.StatusOK)
	d.end(Handshake, "")
	// The request is for handlers in front that replace the response.
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
