package caddymodule

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/body"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// delivery is one request on its way through the handler. What belongs to
// the request alone is part of it, so that all is one allocation; it is not
// reused, for the app's side may hold on to it.
type delivery struct {
	w        http.ResponseWriter
	r        *http.Request
	provider string
	endpoint string
	meters   *endpointMeters
	unsigned *unsignedLists
	signed   signature.Request
	// bodyUnread: the client may still be sending its body.
	bodyUnread bool
	body       *body.Body
	verified   *signature.Delivery
	keys       replay.Keys
	ids        [1]replay.Key // where keys are that have one secret
	digests    [1]replay.Key
	key        replay.Key // the one that the app sees
	claim      claim
	appTime    bound        // how long the app may take
	forwarded  http.Request // what the app gets
	identity   [6]string    // values of headers
	answer     statusWriter // the app's
	outcome    Outcome
	reason     string
}

func (h *Handler) newDelivery(w http.ResponseWriter, r *http.Request) *delivery {
	d := &delivery{w: w, r: r, provider: h.facts.Name, endpoint: h.endpointName(), meters: h.meters, unsigned: &h.unsigned}
	d.signed = signature.Request{
		Method:     r.Method,
		Host:       r.Host,
		Scheme:     "http",
		RequestURI: originForm(r.RequestURI, r.URL),
		Header:     r.Header,
		Now:        h.now(),
	}
	if r.TLS != nil {
		d.signed.Scheme = "https"
	}
	if orig, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		// Rewrites change what r says; the provider signed the original.
		d.signed.Method, d.signed.RequestURI = orig.Method, originForm(orig.RequestURI, orig.URL)
	}
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); trusted {
		d.trustForwarded()
	}
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(d.placeholder)
	}
	d.addToAccessLog()
	return d
}

// originForm is path and query as sent, also where the request line names
// scheme and host, as towards a proxy.
func originForm(requestURI string, u *url.URL) string {
	if strings.HasPrefix(requestURI, "/") {
		return requestURI
	}
	return u.RequestURI()
}

// trustForwarded takes scheme and host from a proxy in front that Caddy's own
// `trusted_proxies` vouches for.
func (d *delivery) trustForwarded() {
	if proto := d.r.Header.Get("X-Forwarded-Proto"); proto == "http" || proto == "https" {
		d.signed.Scheme = proto
	}
	if host := d.r.Header.Get("X-Forwarded-Host"); host != "" {
		d.signed.Host = host
	}
}

// placeholderPrefix begins the names of our placeholders.
const placeholderPrefix = "http.verify_webhook."

// placeholder gives the values of our placeholders; those that are not known
// yet are empty.
func (d *delivery) placeholder(name string) (any, bool) {
	if len(name) <= len(placeholderPrefix) || name[:len(placeholderPrefix)] != placeholderPrefix {
		return nil, false
	}
	name = name[len(placeholderPrefix):]
	switch name {
	case "provider":
		return d.provider, true
	case "outcome":
		return string(d.outcome), true
	case "reason":
		return d.reason, true
	case "id", "event", "timestamp", "key", "secret":
	default:
		return nil, false
	}
	if d.verified == nil {
		return "", true
	}
	switch name {
	case "id":
		return d.verified.ID, true
	case "event":
		return d.verified.Event, true
	case "timestamp":
		return timestampText(d.verified), true
	case "key":
		return d.keyText(), true
	default:
		if len(d.verified.Matches) == 0 {
			return "", true
		}
		return d.verified.Matches[0].Secret.Label, true
	}
}

func timestampText(v *signature.Delivery) string {
	if v.Timestamp.IsZero() {
		return ""
	}
	return strconv.FormatInt(v.Timestamp.Unix(), 10)
}

func (d *delivery) keyText() string {
	if d.key == (replay.Key{}) {
		return ""
	}
	return d.key.String()
}

// deriveKeys names the delivery within every secret that signed it. Where the
// signature covers the ID, the ID is the key. Where it does not, a captured
// delivery can come back under a fresh ID, so the digest is a key as well.
// Without an ID the digest alone is.
func (d *delivery) deriveKeys(namespace string) {
	v := d.verified
	d.keys = replay.Keys{IDs: d.ids[:0], Digests: d.digests[:0]}
	id := []byte(v.ID)
	for _, m := range v.Matches {
		secret := m.Secret.Fingerprint[:]
		if v.ID != "" {
			d.keys.IDs = append(d.keys.IDs, replay.NewKey(namespace, secret, replay.KindID, id))
		}
		if v.ID == "" || !v.IDSigned {
			d.keys.Digests = append(d.keys.Digests, replay.NewKey(namespace, secret, replay.KindDigest, m.Digest))
		}
	}
	switch { // a handshake may have none
	case len(d.keys.IDs) > 0:
		d.key = d.keys.IDs[0]
	case len(d.keys.Digests) > 0:
		d.key = d.keys.Digests[0]
	}
}
