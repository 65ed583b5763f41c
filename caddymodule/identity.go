package caddymodule

import (
	"net/http"
	"strings"
)

// The headers by which the app learns what was verified.
const (
	headerProvider  = "Webhook-Verified-Provider"
	headerID        = "Webhook-Verified-Id"
	headerEvent     = "Webhook-Verified-Event"
	headerTimestamp = "Webhook-Verified-Timestamp"
	headerKey       = "Webhook-Verified-Key"
	headerUnsigned  = "Webhook-Verified-Unsigned"
	headerOutcome   = "Webhook-Verified-Outcome" // in mode monitor
)

// identityPrefix begins their names, in lower case.
const identityPrefix = "webhook-verified"

// stripSpoofed removes every header that an app could take for one of ours.
// WSGI and CGI fold case, `_` and `.` into one.
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
		case c == '_' || c == '.':
			c = '-'
		}
		if c != identityPrefix[i] {
			return false
		}
	}
	return true
}

// setIdentity tells the app what was verified.
func (d *delivery) setIdentity(h http.Header) {
	v := d.verified
	h[headerProvider] = []string{d.provider}
	h[headerKey] = []string{d.keyText()}
	set := func(name, value string) {
		if value != "" {
			h[name] = []string{headerSafe(value)}
		}
	}
	set(headerID, v.ID)
	set(headerEvent, v.Event)
	set(headerTimestamp, timestampText(v))
	set(headerUnsigned, strings.Join(d.unsigned(), ", "))
}

// unsigned names what the app is told that the signature does not cover.
func (d *delivery) unsigned() []string {
	v := d.verified
	var names []string
	if v.ID != "" && !v.IDSigned {
		names = append(names, "id")
	}
	if v.Event != "" && !v.EventSigned {
		names = append(names, "event")
	}
	if !v.Timestamp.IsZero() && !v.TimestampSigned {
		names = append(names, "timestamp")
	}
	return append(names, d.uncovered...)
}

// headerSafe makes a value that came out of a body fit for a header: what is
// not printable ASCII is percent-encoded, and so is the percent sign.
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
