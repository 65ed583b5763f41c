package provider

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// AcceptsHandshake reports whether the operator accepts unsigned handshakes:
// with accept_handshake, or for some minutes with a command.
func (m *Module) AcceptsHandshake(r *signature.Request) bool {
	return m.set.AcceptHandshake || r.AcceptHandshake
}

// collectChallenges gathers the unsigned handshakes that the endpoint knows:
// that of the preset's code, and those of its schemes.
func (m *Module) collectChallenges(schemes []signature.Scheme) {
	m.challenges = nil
	if m.preset.Challenge != nil {
		m.challenges = append(m.challenges, m.preset.Challenge)
	}
	signs := m.inFamilies(schemes)
	for _, s := range schemes {
		for _, h := range s.Handshakes {
			m.challenges = append(m.challenges, asChallenge(h, signs))
		}
	}
}

// inFamilies returns every scheme under every family of header names.
func (m *Module) inFamilies(schemes []signature.Scheme) []signature.Scheme {
	var all []signature.Scheme
	for _, family := range m.preset.families() {
		for _, s := range schemes {
			named, _ := inFamily(s, family)
			all = append(all, named)
		}
	}
	return all
}

// challenge returns the handshake that a request may be, nil if it is none.
func (m *Module) challenge(r *signature.Request) *Challenge {
	for _, c := range m.challenges {
		if c.Possible(m, r) {
			return c
		}
	}
	return nil
}

// checkChallenge takes a request that is no delivery, as err says: it may be a
// handshake.
func (m *Module) checkChallenge(r *signature.Request, err error) error {
	c := m.challenge(r)
	if c == nil {
		return err
	}
	if reason := c.unarmed(m, r); reason != "" {
		return &signature.Refusal{Kind: signature.MissingSignature, Reason: reason, Handshake: !c.ReadsBody}
	}
	r.MaxBody = 2 * MaxChallenge
	return nil
}

// answerChallenge answers a request if it is a handshake; a nil answer means that
// it is none.
func (m *Module) answerChallenge(r *signature.Request) (*signature.Answer, error) {
	c := m.challenge(r)
	if c == nil || c.unarmed(m, r) != "" {
		return nil, nil
	}
	return c.Answer(m, r)
}

// answerHeaders is answerChallenge for handshakes whose headers suffice.
func (m *Module) answerHeaders(r *signature.Request) (*signature.Answer, error) {
	if c := m.challenge(r); c == nil || c.ReadsBody {
		return nil, nil
	}
	return m.answerChallenge(r)
}

// asChallenge returns what answers a handshake. signs are the ways in which the
// provider signs.
func asChallenge(h signature.Handshake, signs []signature.Scheme) *Challenge {
	c := &Challenge{
		ReadsBody: h.ReadsBody(),
		Possible: func(_ *Module, r *signature.Request) bool {
			if h.ReadsBody() && !MayBeSmall(r) {
				return false
			}
			return h.Possible(r, slices.ContainsFunc(signs, func(s signature.Scheme) bool { return s.Carries(r) }))
		},
		Answer: func(_ *Module, r *signature.Request) (*signature.Answer, error) { return answerHandshake(&h, r) },
	}
	switch h.Kind {
	case signature.HandshakeSecret:
		c.Unarmed = func(m *Module, r *signature.Request) string { return unarmedSecret(m, r, &h) }
	case signature.HandshakeCloudEvents:
		c.Unarmed = func(m *Module, r *signature.Request) string { return m.originRefusal(r, h.Origins) }
		c.Answer = func(_ *Module, r *signature.Request) (*signature.Answer, error) { return CloudEventsAnswer(r), nil }
	}
	return c
}

func answerHandshake(h *signature.Handshake, r *signature.Request) (*signature.Answer, error) {
	switch h.Kind {
	case signature.HandshakeHead, signature.HandshakeGet:
		return emptyAnswer(), nil
	case signature.HandshakePing:
		if !h.Holds(r) {
			return nil, nil // a delivery without signature, which is refused as such
		}
		return emptyAnswer(), nil
	}
	text, err := h.Text(r)
	if err != nil {
		return nil, err
	}
	if h.Kind == signature.HandshakeSecret {
		return secretAnswer(h, text)
	}
	if !Printable(text) {
		return nil, signature.Refuse(signature.Malformed, "the challenge is not printable, or longer than %d bytes", MaxChallenge)
	}
	return signature.TextAnswer(text), nil
}

func emptyAnswer() *signature.Answer { return &signature.Answer{Status: http.StatusOK} }

// Printable reports whether text can be sent back: not empty, not too long, and
// of printable ASCII alone.
func Printable(text string) bool {
	return text != "" && len(text) <= MaxChallenge && !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' })
}

// maxSecret bounds a secret that comes with a handshake, in bytes.
const maxSecret = 256

// secretAnswer answers a request that has the provider's secret in it. A header
// is sent back, as the provider expects.
func secretAnswer(h *signature.Handshake, secret string) (*signature.Answer, error) {
	if secret == "" && h.ReadsBody() {
		return nil, nil // a delivery without signature, which is refused as such
	}
	if !Printable(secret) || len(secret) > maxSecret || strings.Contains(secret, " ") {
		return nil, signature.Refuse(signature.Malformed, "the secret in %s is not one that a provider sends: it must be printable, without spaces and of at most %d bytes", h.Field().String(), maxSecret)
	}
	answer := emptyAnswer()
	answer.Secret = secret
	if h.From == "header" {
		answer.Header = http.Header{http.CanonicalHeaderKey(h.Name): {secret}}
	}
	return answer, nil
}

// unarmedSecret says why a secret that comes with a handshake is not accepted.
func unarmedSecret(m *Module, r *signature.Request, h *signature.Handshake) string {
	if m.AcceptsHandshake(r) {
		return ""
	}
	if h.ReadsBody() {
		return "no signature; if this is the request in which the provider sends its secret (" + h.Field().String() + "), write accept_handshake and have it sent again"
	}
	return "this is the request in which the provider sends its secret (" + h.Field().String() + "): write accept_handshake while you set up the webhook"
}

// originRefusal says why the origin of a CloudEvents handshake is not confirmed,
// empty if it is one of those allowed.
func (m *Module) originRefusal(r *signature.Request, allowed []string) string {
	values := r.Header.Values(signature.WebHookOrigin)
	if len(values) != 1 {
		return "the header " + signature.WebHookOrigin + " comes more than once"
	}
	for _, origin := range slices.Concat(allowed, m.set.AllowedOrigins) {
		if strings.EqualFold(origin, values[0]) {
			return ""
		}
	}
	option := "handshake cloudevents"
	if slices.Contains(m.preset.Takes, "allowed_origin") {
		option = "allowed_origin"
	}
	origin := signature.Excerpt(values[0], maxOrigin)
	return origin + " asks whether it may send CloudEvents here; if it may, write " + option + " " + origin
}

// maxOrigin is how much of an origin is quoted, in characters.
const maxOrigin = 100

// OriginRefusal is the refusal of a CloudEvents handshake whose origin is not one
// of those allowed, nil if it is.
func (m *Module) OriginRefusal(r *signature.Request, allowed ...string) error {
	if reason := m.originRefusal(r, allowed); reason != "" {
		return &signature.Refusal{Kind: signature.InvalidSignature, Reason: reason, Handshake: true}
	}
	return nil
}

// CloudEventsAnswer confirms the origin that a CloudEvents handshake names, at the
// rate that it asks for. The URL in WebHook-Request-Callback is never fetched: a
// sender could name any.
// https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md, section 4
func CloudEventsAnswer(r *signature.Request) *signature.Answer {
	answer := emptyAnswer()
	answer.Header = http.Header{
		"Webhook-Allowed-Origin": {r.Header.Get(signature.WebHookOrigin)},
		"Webhook-Allowed-Rate":   {allowedRate(r.Header.Values("WebHook-Request-Rate"))},
		"Allow":                  {http.MethodPost},
	}
	return answer
}

// allowedRate returns the requested rate, in requests a minute, and * for any if
// none is requested.
func allowedRate(requested []string) string {
	const longest = 9
	if len(requested) != 1 || requested[0] == "" || len(requested[0]) > longest ||
		strings.ContainsFunc(requested[0], func(c rune) bool { return c < '0' || c > '9' }) {
		return "*"
	}
	return requested[0]
}

// noSecretYet is the verifier of an endpoint whose provider has not handed over
// its secret yet: it verifies nothing.
type noSecretYet struct {
	traits signature.Traits
	signs  []signature.Scheme
}

const noSecretReason = "no secret is configured yet, so that only handshakes are answered: write secret {env.NAME}; if the provider has sent its secret here, `caddy verify-webhook handshakes` shows it"

// CheckHeaders implements Verifier. What may be a delivery is to come again, when
// there is a secret; what has no signature never is one.
func (v noSecretYet) CheckHeaders(r *signature.Request) error {
	for i := range v.signs {
		if place := v.signs[i].Signature.From; v.signs[i].Carries(r) || (place != "header" && place != "query") {
			return &signature.Refusal{Kind: signature.Undecided, Reason: noSecretReason}
		}
	}
	return &signature.Refusal{Kind: signature.MissingSignature, Reason: "no signature, and no handshake; " + noSecretReason}
}

// Verify implements Verifier.
func (v noSecretYet) Verify(_ context.Context, r *signature.Request) (*signature.Delivery, error) {
	return nil, v.CheckHeaders(r)
}

// Traits implements Verifier.
func (v noSecretYet) Traits() signature.Traits { return v.traits }

// Secrets implements Verifier.
func (noSecretYet) Secrets() []signature.Identity { return nil }
