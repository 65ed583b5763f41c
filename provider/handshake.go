package provider

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// AcceptsHandshake reports whether unsigned handshakes are accepted: accept_handshake
// is set, or a command accepts them for some minutes.
func (m *Module) AcceptsHandshake(r *signature.Request) bool {
	return m.set.AcceptHandshake || r.AcceptHandshake
}

// collectChallenges collects the unsigned handshakes of the endpoint: the preset's own
// and those of its schemes.
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

// inFamilies returns every scheme for every family of header names.
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

// challenge returns the handshake that the request may be, or nil.
func (m *Module) challenge(r *signature.Request) *Challenge {
	for _, c := range m.challenges {
		if c.Possible(m, r) {
			return c
		}
	}
	return nil
}

// checkChallenge returns nil if a request that err refuses may be a handshake.
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

// answerChallenge answers the request if it is a handshake. It returns a nil answer if
// it is not.
func (m *Module) answerChallenge(r *signature.Request) (*signature.Answer, error) {
	c := m.challenge(r)
	if c == nil || c.unarmed(m, r) != "" {
		return nil, nil
	}
	return c.Answer(m, r)
}

// answerHeaders is answerChallenge for handshakes that need no body.
func (m *Module) answerHeaders(r *signature.Request) (*signature.Answer, error) {
	if c := m.challenge(r); c == nil || c.ReadsBody {
		return nil, nil
	}
	return m.answerChallenge(r)
}

// asChallenge returns the Challenge that answers a handshake. signs are the provider's
// schemes.
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
			return nil, nil // refused as an unsigned delivery
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
	if !Echoable(text) {
		return nil, NotEchoable("challenge")
	}
	return signature.TextAnswer(text), nil
}

func emptyAnswer() *signature.Answer { return &signature.Answer{Status: http.StatusOK} }

// Echoable reports whether text of a request can be a response: not empty, not too
// long, printable ASCII, and without characters that enclose expressions. A handler in
// front can execute the response as a template, as Caddy's `templates` does with
// text/plain, and an expression can read secrets and files. Challenges are random text,
// in which these characters do not occur.
func Echoable(text string) bool {
	if !Printable(text) || strings.ContainsAny(text, enclosing) {
		return false
	}
	for _, tag := range [...]string{"<<", ">>", "<?", "?>", "<!"} {
		if strings.Contains(text, tag) {
			return false
		}
	}
	return true
}

// enclosing lists the characters that delimit the expressions of template languages.
const enclosing = "{}[]()$%`\"\\^"

// NotEchoable returns the refusal of text that is not Echoable. name says what the text
// is.
func NotEchoable(name string) error {
	return signature.Refuse(signature.Malformed, "the %s is not printable, contains one of %s, or is longer than %d bytes", name, enclosing, MaxChallenge)
}

// Printable reports whether text can be used in a response: not empty, not too long,
// and printable ASCII only.
func Printable(text string) bool {
	return text != "" && len(text) <= MaxChallenge && !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' })
}

// maxSecret limits the length of a secret sent with a handshake, in bytes.
const maxSecret = 256

// secretAnswer answers a request that contains the provider's secret. A secret in a
// header is echoed, as the provider expects.
func secretAnswer(h *signature.Handshake, secret string) (*signature.Answer, error) {
	if secret == "" && h.ReadsBody() {
		return nil, nil // refused as an unsigned delivery
	}
	if !Printable(secret) || len(secret) > maxSecret || strings.Contains(secret, " ") {
		return nil, signature.Refuse(signature.Malformed, "invalid secret in %s: it must be printable, without spaces, and at most %d bytes", h.Field().String(), maxSecret)
	}
	answer := emptyAnswer()
	answer.Secret = secret
	if h.From == "header" {
		answer.Header = http.Header{http.CanonicalHeaderKey(h.Name): {secret}}
	}
	return answer, nil
}

// unarmedSecret returns the reason why a secret sent with a handshake is not accepted.
func unarmedSecret(m *Module, r *signature.Request, h *signature.Handshake) string {
	if m.AcceptsHandshake(r) {
		return ""
	}
	if h.ReadsBody() {
		return "missing signature; if the provider sends its secret with this request (" + h.Field().String() + "), write accept_handshake and have the provider resend it"
	}
	return "the provider sends its secret with this request (" + h.Field().String() + "): write accept_handshake while you set up the webhook"
}

// originRefusal returns the reason why the origin of a CloudEvents handshake is not
// confirmed, or "" if it is allowed.
func (m *Module) originRefusal(r *signature.Request, allowed []string) string {
	values := r.Header.Values(signature.WebHookOrigin)
	if len(values) != 1 {
		return "the header " + signature.WebHookOrigin + " is sent more than once"
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
	return origin + " requests permission to send CloudEvents; to allow it, write " + option + " " + origin
}

// maxOrigin is the maximum length of a quoted origin, in characters.
const maxOrigin = 100

// OriginRefusal returns the refusal of a CloudEvents handshake whose origin is not
// allowed, or nil.
func (m *Module) OriginRefusal(r *signature.Request, allowed ...string) error {
	if reason := m.originRefusal(r, allowed); reason != "" {
		return &signature.Refusal{Kind: signature.InvalidSignature, Reason: reason, Handshake: true}
	}
	return nil
}

// CloudEventsAnswer confirms the origin of a CloudEvents handshake at the requested
// rate. It never fetches the URL in WebHook-Request-Callback, because a sender can
// choose any.
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

// allowedRate returns the requested rate, in requests per minute, or * if none is
// requested.
func allowedRate(requested []string) string {
	const longest = 9
	if len(requested) != 1 || requested[0] == "" || len(requested[0]) > longest ||
		strings.ContainsFunc(requested[0], func(c rune) bool { return c < '0' || c > '9' }) {
		return "*"
	}
	return requested[0]
}

// noSecretYet is the verifier of an endpoint that is waiting for the provider's
// secret. It verifies nothing.
type noSecretYet struct {
	coverage signature.Coverage
	signs    []signature.Scheme
}

const noSecretReason = "no secret is configured, so only handshakes are answered: write secret {env.NAME}; `caddy verify-webhook handshakes` shows a secret that the provider has sent"

// CheckHeaders implements Verifier. A request that may be a delivery gets an error
// that makes the provider retry. A request without a signature is refused.
func (v noSecretYet) CheckHeaders(r *signature.Request) error {
	for i := range v.signs {
		if place := v.signs[i].Signature.From; v.signs[i].Carries(r) || (place != "header" && place != "query") {
			return &signature.Refusal{Kind: signature.Undecided, Reason: noSecretReason}
		}
	}
	return &signature.Refusal{Kind: signature.MissingSignature, Reason: "missing signature, and not a handshake; " + noSecretReason}
}

// Verify implements Verifier.
func (v noSecretYet) Verify(_ context.Context, r *signature.Request) (*signature.Delivery, error) {
	return nil, v.CheckHeaders(r)
}

// Coverage implements Verifier.
func (v noSecretYet) Coverage() signature.Coverage { return v.coverage }

// Secrets implements Verifier.
func (noSecretYet) Secrets() []signature.Identity { return nil }
