package provider

import (
	"net/textproto"
	"slices"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// tokenHeaders returns the headers in which a provider with these schemes sends
// the secret itself, in deliveries or in a handshake. It includes schemes that are
// not in use: a provider may send the token in addition to a signature.
func tokenHeaders(schemes []signature.Scheme) []string {
	var names []string
	add := func(f signature.Field) {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		if f.From == "header" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for i := range schemes {
		s := &schemes[i]
		if s.Algorithm == signature.Token || s.Algorithm == signature.Basic {
			add(s.Signature.Field)
		}
		for j := range s.Handshakes {
			if s.Handshakes[j].Kind == signature.HandshakeSecret {
				add(s.Handshakes[j].Field())
			}
		}
	}
	return names
}

// allSchemes returns the schemes of a preset and its variants.
func (p *Preset) allSchemes() []signature.Scheme {
	all := slices.Clone(p.Schemes)
	for _, v := range p.Variants {
		all = append(all, v.Schemes...)
	}
	return all
}
