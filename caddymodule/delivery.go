package caddymodule

import (
	"encoding/binary"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.opentelemetry.io/otel/trace"

	"github.com/verify-webhook/caddy-verify-webhook/body"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// delivery is one request that the handler works on. It contains everything that
// belongs to this request alone, so that one allocation is enough. It is not
// reused, because the next handlers may keep references to it.
type delivery struct {
	w        http.ResponseWriter
	r        *http.Request
	provider *loadedProvider
	endpoint string
	metrics  *endpointMetrics
	signed   signature.Request
	// bodyUnread means that the client may still be sending the body.
	bodyUnread bool
	bodyOnce   bool // as in Handler
	body       *body.Body
	verifying  senderContext
	verified   *signature.Delivery
	keys       replay.Keys
	blocking   [1]replay.Key // the memory of keys if one secret is configured
	notes      [1]replay.Key
	key        replay.Key // the key that the app gets
	claim      claim
	usesStore  bool
	app        appContext   // context of the forwarded request
	forwarded  http.Request // the request that the app gets
	identity   [6]string    // header values
	answer     statusWriter // records the app's response
	observed   *observed    // nil if there is no observer
	span       trace.Span   // of Caddy's `tracing` handler; without it, records nothing
	response   int          // the status for the sender, if chosen here
	outcome    Outcome
	reason     string
}

func (h *Handler) newDelivery(w http.ResponseWriter, r *http.Request) *delivery {
	id := h.identity.Load()
	d := &delivery{w: w, r: r, provider: h.current.Load(), endpoint: id.name, metrics: id.metrics, span: trace.SpanFromContext(r.Context()), bodyOnce: h.bodyOnce.Load()}
	d.signed = signature.Request{
		MaxInflated: h.MaxBody,
		MaxHashed:   h.slowMaxBody,
		Method:      r.Method,
		Host:        r.Host,
		Scheme:      "http",
		RequestURI:  originForm(r.RequestURI, r.URL),
		Header:      r.Header,
		WebSocket:   opensWebSocket(r),
		Now:         h.now(),
	}
	d.signed.AcceptHandshake = h.handshakes.accepts(d.endpoint, d.signed.Now)
	if r.TLS != nil {
		d.signed.Scheme = "https"
	}
	if orig, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		// Rewrites change r, but the provider signed the original.
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

// originForm is the path and query as sent, also if the request line has a
// scheme and host, as a request to a proxy does.
func originForm(requestURI string, u *url.URL) string {
	if strings.HasPrefix(requestURI, "/") {
		return requestURI
	}
	return u.RequestURI()
}

// trustForwarded takes the scheme and host from a proxy in front, if Caddy's
// `trusted_proxies` includes it. Of several headers the proxy has added the last one,
// which reverse_proxy forwards.
func (d *delivery) trustForwarded() {
	if proto := last(d.r.Header["X-Forwarded-Proto"]); proto == "http" || proto == "https" {
		d.signed.Scheme = proto
	}
	if host := last(d.r.Header["X-Forwarded-Host"]); host != "" {
		d.signed.Host = host
	}
}

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// placeholderPrefix is the prefix of our placeholders.
const placeholderPrefix = "http.verify_webhook."

// placeholder returns the value of one of our placeholders, empty if it is not
// known yet.
func (d *delivery) placeholder(name string) (any, bool) {
	if len(name) <= len(placeholderPrefix) || name[:len(placeholderPrefix)] != placeholderPrefix {
		return nil, false
	}
	name = name[len(placeholderPrefix):]
	switch name {
	case "provider":
		return d.provider.info.Name, true
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
	switch {
	case d.app.verified.Key != "":
		return d.app.verified.Key
	case d.key == (replay.Key{}):
		return ""
	default:
		return d.key.String()
	}
}

// deriveKeys derives the keys of the delivery in the replay store, one under each
// configured secret of the scheme that verified it: a retry that is signed with
// a new secret is still a retry.
//
//	the provider …                          blocking          note
//	signs the ID                            the ID            –
//	… but may change it on a retry (PayPal) both              –
//	sends an unsigned ID; content unique    content           the ID
//	sends an unsigned ID; content repeats   ID with content   the ID
//	sends no ID; content unique             content           –
//	sends no ID; content repeats            –                 –
//
// The app's key is the blocking key under the last secret, the oldest one by
// convention: it stays the same while secrets overlap.
func (d *delivery) deriveKeys(h *Handler) {
	v := d.verified
	d.keys = replay.Keys{Blocking: d.blocking[:0], Notes: d.notes[:0]}
	repeats := h.Replay.repeats(v)
	for _, m := range v.Digests() {
		secret := m.Secret.Fingerprint[:]
		switch {
		case v.ID != "" && v.IDSigned && v.AlsoContent:
			d.keys.Blocking = append(d.keys.Blocking, replay.NewKey(h.Namespace, secret, replay.KindID, v.ID))
			d.key = replay.NewKey(h.Namespace, secret, replay.KindContent, m.Digest)
		case v.ID != "" && v.IDSigned:
			d.key = replay.NewKey(h.Namespace, secret, replay.KindID, v.ID)
		case v.ID == "" && repeats:
			return
		case v.ID != "" && repeats:
			d.key = replay.NewKey(h.Namespace, secret, replay.KindBoth, idWithContent(v.ID, m.Digest))
		default:
			d.key = replay.NewKey(h.Namespace, secret, replay.KindContent, m.Digest)
		}
		d.keys.Blocking = append(d.keys.Blocking, d.key)
		if v.ID != "" && !v.IDSigned {
			d.keys.Notes = append(d.keys.Notes, replay.NewKey(h.Namespace, secret, replay.KindID, v.ID))
		}
	}
	if h.Replay.Off {
		d.keys = replay.Keys{}
	}
}

// idWithContent joins an ID and a digest. The length of the ID comes first, so
// that two different pairs never have the same result.
func idWithContent(id string, digest []byte) []byte {
	joined := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(id)+len(digest)), uint64(len(id)))
	return append(append(joined, id...), digest...)
}
