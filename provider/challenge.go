package provider

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// MaxChallenge limits the length of an echoed challenge, in bytes.
const MaxChallenge = 1024

// Challenge answers an unsigned proof-of-ownership request. The response must
// reveal only that the webhook is set up at this URL. It must not sign data that
// the sender chooses, and a browser must not render it as a page.
type Challenge struct {
	// Possible reports, from the headers and the URL, whether the request may
	// be a challenge.
	Possible func(m *Module, r *signature.Request) bool
	// Unarmed returns the reason why the request is not answered, with the
	// option to write, or "". If Unarmed is nil, the request is always answered.
	Unarmed func(m *Module, r *signature.Request) string
	// Answer returns the response, or nil if the request is not a challenge.
	// The body has been read if ReadsBody is set; otherwise r.Body is nil.
	Answer func(m *Module, r *signature.Request) (*signature.Answer, error)
	// ReadsBody means that Answer needs the body. Other challenges are answered
	// from the headers and the URL, and their body is not read.
	ReadsBody bool
}

// unarmed returns the reason why the request is not answered, or "".
func (c *Challenge) unarmed(m *Module, r *signature.Request) string {
	if c.Unarmed == nil {
		return ""
	}
	return c.Unarmed(m, r)
}

// MayBeSmall reports whether the declared length, if any, is short enough for a
// challenge. Longer bodies need not be read.
func MayBeSmall(r *signature.Request) bool {
	declared := r.Header.Get("Content-Length")
	n, err := strconv.Atoi(declared)
	return declared == "" || (err == nil && n <= 2*MaxChallenge)
}

// Query returns the parameters of the request URL, or nil if they cannot be parsed.
func Query(r *signature.Request) url.Values {
	_, raw, _ := strings.Cut(r.RequestURI, "?")
	values, err := signature.ParseQuery(raw)
	if err != nil {
		return nil
	}
	return values
}
