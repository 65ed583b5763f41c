package provider

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// A provider can send requests that its preset does not verify: from other products,
// in other modes, or to open a WebSocket. They are refused, and the reason explains
// why.

// checkStream refuses a request that opens a WebSocket. Its signature, if any, covers
// a different URL and none of the messages that follow. streams names the WebSockets
// that the provider opens.
func checkStream(r *signature.Request, streams string) error {
	if !r.WebSocket {
		return nil
	}
	if streams != "" {
		return signature.Refuse(signature.Malformed, "the request opens a WebSocket (%s), which is not supported: route it around verify_webhook", streams)
	}
	return signature.Refuse(signature.Malformed, "the request opens a WebSocket, which is not a delivery: route it around verify_webhook")
}

// hinted adds the preset's hint about the request to a refusal.
func (m *Module) hinted(r *signature.Request, err error) error {
	if err == nil {
		return nil
	}
	var refused *signature.Refusal
	if !errors.As(err, &refused) || (refused.Kind != signature.MissingSignature && refused.Kind != signature.Malformed) {
		return err // it has the signature of a delivery, so it is not one of the others
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

// variantHint returns a hint if the request has the signature of another variant than
// the configured one.
func (m *Module) variantHint(r *signature.Request) string {
	if m.variant == nil || slices.ContainsFunc(m.variant.Schemes, func(s signature.Scheme) bool { return hasSignature(r, &s) }) {
		return ""
	}
	for i := range m.preset.Variants {
		v := &m.preset.Variants[i]
		for j := range v.Schemes {
			if hasSignature(r, &v.Schemes[j]) {
				return fmt.Sprintf("it has the %s of another scheme: write `scheme %s` if the provider signs this way", v.Schemes[j].Signature.Field, v.Name)
			}
		}
	}
	return ""
}

// hasSignature reports whether a request has the signature header of a scheme.
func hasSignature(r *signature.Request, s *signature.Scheme) bool {
	f := &s.Signature
	return f.From == "header" && strings.HasPrefix(r.Header.Get(f.Name), f.Prefix) && r.Header.Get(f.Name) != ""
}

// addOtherEvent sets the event type from an alternative place.
func (m *Module) addOtherEvent(r *signature.Request, d *signature.Delivery) error {
	const longest = 256 // bytes, as of other event types
	if m.preset.OtherEvent == nil || d.Event != "" {
		return nil
	}
	text, err := m.preset.OtherEvent(r)
	if err != nil || len(text) > longest || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return err
	}
	d.Event, d.EventSigned = text, m.verifier.Coverage().BodySigned
	return nil
}
