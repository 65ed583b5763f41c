package provider

import (
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Challenge answers a proof-of-ownership request that comes unsigned. Whoever
// answers one tells a stranger nothing but that somebody wants the webhook
// here; it must not sign what the stranger sends, nor hand it to a browser as
// a page.
type Challenge struct {
	// Possible tells from the headers and the URL whether the request may be
	// a challenge.
	Possible func(m *Module, r *signature.Request) bool
	// Answer returns the answer, nil if the request is no challenge after
	// all. The body has been read.
	Answer func(m *Module, r *signature.Request) (*signature.Answer, error)
}

func (c *Challenge) possible(m *Module, r *signature.Request) bool {
	return c != nil && c.Possible(m, r)
}
