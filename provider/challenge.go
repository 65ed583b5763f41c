package provider

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// MaxChallenge bounds what is sent back of a challenge, in bytes.
const MaxChallenge = 1024

// Challenge answers a proof-of-ownership request that comes unsigned. Whoever
// answers one tells a stranger nothing but that somebody wants the webhook
// here; it must not sign what the stranger sends, nor hand it to a browser as
// a page.
type Challenge struct {
	// Possible tells from the headers and the URL whether the request may be
	// a challenge.
	Possible func(m *Module, r *signature.Request) bool
	// Unarmed returns why the request is not answered, with the option to write,
	// empty if it is. Nil: it is always answered.
	Unarmed func(m *Module, r *signature.Request) string
	// Answer returns the answer, nil if the request is no challenge after
	// all. The body has been read if ReadsBody, else r.Body is nil.
	Answer func(m *Module, r *signature.Request) (*signature.Answer, error)
	// ReadsBody: Answer needs the body. All others are answered from headers
	// and URL alone, and their body is not read.
	ReadsBody bool
}

// unarmed returns why the request is not answered, empty if it is.
func (c *Challenge) unarmed(m *Module, r *signature.Request) string {
	if c.Unarmed == nil {
		return ""
	}
	return c.Unarmed(m, r)
}

// MayBeSmall reports whether the declared length, if there is one, is that of a
// challenge: a longer body need not be read.
func MayBeSmall(r *signature.Request) bool {
	declared := r.Header.Get("Content-Length")
	n, err := strconv.Atoi(declared)
	return declared == "" || (err == nil && n <= 2*MaxChallenge)
}

// Query returns the parameters of the request's URL, none if they cannot be parsed.
func Query(r *signature.Request) url.Values {
	_, raw, _ := strings.Cut(r.RequestURI, "?")
	values, err := signature.ParseQuery(raw)
	if err != nil {
		return nil
	}
	return values
}
