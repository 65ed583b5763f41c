package provider

import (
	"errors"
	"net/http"
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
	if !opensWebSocket(r) {
		return nil
	}
	if streams != "" {
		return signature.Refuse(signature.Malformed, "the request opens a WebSocket (%s), which is not supported: send it past verify_webhook", streams)
	}
	return signature.Refuse(signature.Malformed, "the request opens a WebSocket, which is not a delivery: send it past verify_webhook")
}

// opensWebSocket reports whether the request opens a WebSocket: by an upgrade of
// HTTP/1.1, or by CONNECT with HTTP/2 and later.
func opensWebSocket(r *signature.Request) bool {
	if r.Method == http.MethodConnect {
		return true
	}
	if r.Method != http.MethodGet {
		return false
	}
	for _, value := range r.Header["Upgrade"] {
		for protocol := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(protocol), "websocket") {
				return true
			}
		}
	}
	return false
}

// hinted adds to a refusal what the preset knows of such requests.
func (m *Module) hinted(r *signature.Request, err error) error {
	var refused *signature.Refusal
	if m.preset.Hint == nil || !errors.As(err, &refused) {
		return err
	}
	hint := m.preset.Hint(m, r)
	if hint == "" {
		return err
	}
	return &signature.Refusal{Kind: refused.Kind, Reason: refused.Reason + "; " + hint}
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
