package provider

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// A provider can send more than the deliveries that a preset verifies: other
// products, other modes, WebSockets. They are refused, and the operator is told
// why.

// checkStream refuses a request that opens a WebSocket. Its signature, where
// there is one, is for another URL and for nothing of what follows. streams names
// those that the provider opens.
func checkStream(r *signature.Request, streams string) error {
	if !r.WebSocket {
		return nil
	}
	if streams != "" {
		return signature.Refuse(signature.Malformed, "the request opens a WebSocket (%s), which is not supported: send it past verify_webhook", streams)
	}
	return signature.Refuse(signature.Malformed, "the request opens a WebSocket, which is not a delivery: send it past verify_webhook")
}

// hinted adds to a refusal what the preset knows of such requests.
func (m *Module) hinted(r *signature.Request, err error) error {
	if err == nil {
		return nil
	}
	var refused *signature.Refusal
	if !errors.As(err, &refused) || (refused.Kind != signature.MissingSignature && refused.Kind != signature.Malformed) {
		return err // of the others it has the signature, so it is none of those
	}
	hint := m.variantHint(r)
	if hint == "" && m.preset.Hint != nil {
		hint = m.preset.Hint(m, r)
	}
	if hint == "" {
		return err
	}
	return &signature.Refusal{Kind: refused.Kind, Reason: refused.Reason + "; " + hint}
}

// variantHint says that a request has the signature of another variant than the
// configured one, and not that of this one.
func (m *Module) variantHint(r *signature.Request) string {
	if m.variant == nil || slices.ContainsFunc(m.variant.Schemes, func(s signature.Scheme) bool { return hasSignature(r, &s) }) {
		return ""
	}
	for i := range m.preset.Variants {
		v := &m.preset.Variants[i]
		for j := range v.Schemes {
			if hasSignature(r, &v.Schemes[j]) {
				return fmt.Sprintf("it has the %s of another way of signing: write `scheme %s` if that is how the provider signs", v.Schemes[j].Signature.Field, v.Name)
			}
		}
	}
	return ""
}

// hasSignature reports whether a request has the header of a scheme's signature.
func hasSignature(r *signature.Request, s *signature.Scheme) bool {
	f := &s.Signature
	return f.From == "header" && strings.HasPrefix(r.Header.Get(f.Name), f.Prefix) && r.Header.Get(f.Name) != ""
}

// addOtherEvent fills in the event type from another place.
func (m *Module) addOtherEvent(r *signature.Request, d *signature.Delivery) error {
	const longest = 256 // bytes, as of other event types
	if m.preset.OtherEvent == nil || d.Event != "" {
		return nil
	}
	text, err := m.preset.OtherEvent(r)
	if err != nil || len(text) > longest || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return err
	}
	d.Event, d.EventSigned = text, m.verifier.Traits().BodySigned
	return nil
}
