package caddymodule

import (
	"net/http"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// The headers with which the app gets what was verified.
const (
	headerProvider  = "Webhook-Verified-Provider"
	headerID        = "Webhook-Verified-Id"
	headerEvent     = "Webhook-Verified-Event"
	headerTimestamp = "Webhook-Verified-Timestamp"
	headerKey       = "Webhook-Verified-Key"
	headerUnsigned  = "Webhook-Verified-Unsigned"
	headerOutcome   = "Webhook-Verified-Outcome" // in mode monitor

	// Headers of webhook_queue: the number of the attempt, and when the delivery
	// was accepted, in Unix seconds.
	HeaderAttempt  = identityHeader + "-Attempt"
	HeaderReceived = identityHeader + "-Received"
	// Exported for webhook_queue.
	HeaderProvider  = headerProvider
	HeaderID        = headerID
	HeaderEvent     = headerEvent
	HeaderTimestamp = headerTimestamp
	HeaderKey       = headerKey
	HeaderUnsigned  = headerUnsigned
	HeaderOutcome   = headerOutcome
)

// identityHeader is the prefix of their names. Client-supplied headers with this
// prefix are stripped.
const (
	identityHeader = "Webhook-Verified"
	identityPrefix = "webhook-verified" // in lower case
)

// stripSpoofed removes every header that an app could take for one of ours. WSGI
// and CGI ignore letter case and treat `-`, `_`, `.` or all punctuation as the
// same.
func stripSpoofed(h http.Header) {
	for name := range h {
		if looksLikeIdentity(name) {
			delete(h, name)
		}
	}
}

func looksLikeIdentity(name string) bool {
	if len(name) < len(identityPrefix) {
		return false
	}
	for i := range len(identityPrefix) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			c = '-'
		}
		if c != identityPrefix[i] {
			return false
		}
	}
	return true
}

// removeToken removes the headers that contain the secret, unless forward_token is
// set. In mode monitor the app still verifies itself and needs them.
func (h *Handler) removeToken(header http.Header) {
	if h.ForwardToken || h.Mode == modeMonitor {
		return
	}
	for _, name := range h.info().TokenHeaders {
		delete(header, name)
	}
}

// setIdentity sets the identity headers.
func (d *delivery) setIdentity(h http.Header) {
	v := d.verified
	values := d.identity[:0]
	set := func(name, value string) {
		if value != "" {
			values = append(values, headerSafe(value))
			h[name] = values[len(values)-1 : len(values) : len(values)]
		}
	}
	set(headerProvider, d.provider.info.Name)
	set(headerKey, d.keyText())
	set(headerID, v.ID)
	set(headerEvent, v.Event)
	set(headerTimestamp, timestampText(v))
	set(headerUnsigned, d.provider.unsigned.of(v))
}

// unsignedLists are the values of the header for unsigned parts: each subset of
// unsignedNames, and what the scheme never covers.
type unsignedLists [8]string

// unsignedNames are the parts that can be unsigned in some deliveries only.
var unsignedNames = [...]string{"id", "event", "timestamp"}

func listUnsigned(info provider.Info) (lists unsignedLists) {
	for choice := range lists {
		var names []string
		for i, name := range unsignedNames {
			if choice&(1<<i) != 0 {
				names = append(names, name)
			}
		}
		if !info.Coverage.BodySigned {
			names = append(names, "body")
		}
		lists[choice] = strings.Join(append(names, info.Unsigned...), ", ")
	}
	return lists
}

// of returns the list for a delivery.
func (l *unsignedLists) of(v *signature.Delivery) string {
	choice := 0
	for i, there := range [...]bool{
		v.ID != "" && !v.IDSigned,
		v.Event != "" && !v.EventSigned,
		!v.Timestamp.IsZero() && !v.TimestampSigned,
	} {
		if there {
			choice |= 1 << i
		}
	}
	return l[choice]
}

// headerSafe encodes a value from a body for a header: everything except printable
// ASCII, and the percent sign, is percent-encoded.
func headerSafe(value string) string {
	safe := func(c byte) bool { return c > ' ' && c < 0x7f && c != '%' }
	plain := true
	for i := range len(value) {
		plain = plain && (safe(value[i]) || value[i] == ' ' && i > 0 && i < len(value)-1)
	}
	if plain {
		return value
	}
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(value) {
		if c := value[i]; safe(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}
