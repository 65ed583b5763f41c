package provider

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

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
	// all. The body has been read if ReadsBody, else r.Body is nil.
	Answer func(m *Module, r *signature.Request) (*signature.Answer, error)
	// ReadsBody: Answer needs the body. All others are answered from headers
	// and URL alone, and their body is not read.
	ReadsBody bool
}

func (c *Challenge) possible(m *Module, r *signature.Request) bool {
	return c != nil && c.Possible(m, r)
}

// query returns the parameters of the request, none if they cannot be parsed.
func query(r *signature.Request) url.Values {
	_, raw, _ := strings.Cut(r.RequestURI, "?")
	values, err := signature.ParseQuery(raw)
	if err != nil {
		return nil
	}
	return values
}

// only1 returns a parameter that comes exactly once.
func only1(values url.Values, name string) string {
	if len(values[name]) != 1 {
		return ""
	}
	return values[name][0]
}

// getWith is possible for a GET with this parameter.
func getWith(name string) func(*Module, *signature.Request) bool {
	return func(_ *Module, r *signature.Request) bool {
		return r.Method == http.MethodGet && query(r).Has(name)
	}
}

// echoQuery sends a parameter of a GET back as text.
func echoQuery(name string) *Challenge {
	return &Challenge{Possible: getWith(name), Answer: func(_ *Module, r *signature.Request) (*signature.Answer, error) {
		return echo(only1(query(r), name))
	}}
}

// echoHeader sends a header of a GET back as text.
func echoHeader(name string) *Challenge {
	return &Challenge{
		Possible: func(_ *Module, r *signature.Request) bool {
			return r.Method == http.MethodGet && len(r.Header.Values(name)) == 1
		},
		Answer: func(_ *Module, r *signature.Request) (*signature.Answer, error) { return echo(r.Header.Get(name)) },
	}
}

func echo(text string) (*signature.Answer, error) {
	if !printable(text) {
		return nil, signature.Refuse(signature.Malformed, "the challenge is not printable, or longer than %d bytes", maxChallenge)
	}
	return plainAnswer(text), nil
}

// metaChallenge sends hub.challenge back to whoever knows the verify token.
// https://developers.facebook.com/docs/graph-api/webhooks/getting-started
var metaChallenge = &Challenge{
	Possible: func(m *Module, r *signature.Request) bool {
		return m.set.VerifyToken != "" && getWith("hub.mode")(m, r)
	},
	Answer: func(m *Module, r *signature.Request) (*signature.Answer, error) {
		q := query(r)
		if only1(q, "hub.mode") != "subscribe" || !sameText(only1(q, "hub.verify_token"), m.set.VerifyToken) {
			return nil, signature.Refuse(signature.InvalidSignature, "the challenge has another verify token than the configured one")
		}
		return echo(only1(q, "hub.challenge"))
	},
}

// sameText compares in constant time whatever the lengths.
func sameText(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// xChallenge answers with an HMAC of crc_token under the key that signs
// deliveries. Deliveries are JSON objects, which xDelivery sees to, and a token
// of letters, digits, - and _ cannot be one: no answer signs a delivery.
// https://docs.x.com/x-api/webhooks/quickstart
var xChallenge = &Challenge{
	Possible: getWith("crc_token"),
	Answer: func(m *Module, r *signature.Request) (*signature.Answer, error) {
		token := only1(query(r), "crc_token")
		if !plainToken(strings.TrimRight(token, "=")) {
			return nil, signature.Refuse(signature.Malformed, "the crc_token is not one that X sends")
		}
		return jsonAnswer(map[string]string{"response_token": "sha256=" + base64.StdEncoding.EncodeToString(mac(m.keys[0], token))})
	},
}

// xDelivery refuses bodies that an answer to a challenge could sign.
func xDelivery(_ *Module, r *signature.Request, _ *signature.Delivery) (*signature.Answer, error) {
	body := r.Body.Open()
	defer body.Close()
	first := make([]byte, 1)
	if n, _ := body.Read(first); n == 0 || first[0] != '{' {
		return nil, signature.Refuse(signature.Malformed, "the body is not a JSON object")
	}
	return nil, nil
}

// webSubChallenge confirms what the operator has asked the hub for. Anybody can
// ask a hub to subscribe this URL, with a lease and a secret of their own, or to
// unsubscribe it, and the hub then asks here. So only what carries the
// operator's verify_token is confirmed, or a subscription while
// accept_handshake is set; a hub that repeats no token can never unsubscribe.
// https://www.w3.org/TR/websub/#hub-verifies-intent
var webSubChallenge = &Challenge{
	Possible: func(m *Module, r *signature.Request) bool {
		return len(m.set.Topics) > 0 && getWith("hub.mode")(m, r)
	},
	Answer: func(m *Module, r *signature.Request) (*signature.Answer, error) {
		q := query(r)
		if !slices.Contains(m.set.Topics, only1(q, "hub.topic")) {
			return nil, signature.Refuse(signature.Malformed, "the hub asks about a topic that is not configured")
		}
		switch mode := only1(q, "hub.mode"); mode {
		case "subscribe", "unsubscribe":
			if !m.webSubAsked(mode, only1(q, "hub.verify_token")) {
				return nil, signature.Refuse(signature.InvalidSignature, "the hub asks to %s, which was not asked for here: set accept_handshake while you subscribe, or verify_token", mode)
			}
			return echo(only1(q, "hub.challenge"))
		case "denied":
			return emptyAnswer(http.StatusOK), nil
		}
		return nil, signature.Refuse(signature.Malformed, "the hub asks for neither subscribe nor unsubscribe")
	},
}

// webSubAsked reports whether the operator has asked for it.
func (m *Module) webSubAsked(mode, token string) bool {
	if m.set.VerifyToken != "" {
		return sameText(token, m.set.VerifyToken)
	}
	return mode == "subscribe" && m.set.AcceptHandshake
}

// asanaChallenge sends X-Hook-Secret back while the operator has opened the
// door: whoever answers it to a stranger would take the stranger's key.
// https://developers.asana.com/docs/webhooks-guide
var asanaChallenge = &Challenge{
	Possible: func(m *Module, r *signature.Request) bool {
		return m.set.AcceptHandshake && r.Method == http.MethodPost &&
			len(r.Header.Values("X-Hook-Secret")) == 1 && r.Header.Get("X-Hook-Signature") == ""
	},
	Answer: func(m *Module, r *signature.Request) (*signature.Answer, error) {
		secret := r.Header.Get("X-Hook-Secret")
		if !plainToken(secret) {
			return nil, signature.Refuse(signature.Malformed, "the X-Hook-Secret is not one that Asana sends")
		}
		answer := emptyAnswer(http.StatusOK)
		answer.Header = http.Header{"X-Hook-Secret": {secret}}
		return answer, nil
	},
}

// headRequest answers HEAD, with which Trello tries the URL.
// https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks
var headRequest = &Challenge{
	Possible: func(_ *Module, r *signature.Request) bool { return r.Method == http.MethodHead },
	Answer: func(*Module, *signature.Request) (*signature.Answer, error) {
		return emptyAnswer(http.StatusOK), nil
	},
}

// wooCommercePing answers the form `webhook_id=<n>` that WooCommerce posts,
// unsigned, when a webhook is saved. Nothing reaches the app.
// woocommerce/woocommerce, includes/class-wc-webhook.php, deliver_ping
var wooCommercePing = &Challenge{
	ReadsBody: true,
	Possible: func(_ *Module, r *signature.Request) bool {
		return r.Method == http.MethodPost && mayBeSmall(r) && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") &&
			r.Header.Get("X-WC-Webhook-Signature") == "" && r.Header.Get("X-WC-Webhook-Topic") == ""
	},
	Answer: func(_ *Module, r *signature.Request) (*signature.Answer, error) {
		if r.Body.Size() > 64 {
			return nil, nil
		}
		form, err := r.Form()
		if err != nil || len(form) != 1 || !decimal(only1(form, "webhook_id")) {
			return nil, nil // a delivery without signature, which is refused as such
		}
		return emptyAnswer(http.StatusOK), nil
	},
}

// mayBeSmall tells whether the declared length, if there is one, is that of a
// challenge: a stranger's larger body need not be read.
func mayBeSmall(r *signature.Request) bool {
	declared := r.Header.Get("Content-Length")
	n, err := strconv.Atoi(declared)
	return declared == "" || (err == nil && n <= 2*maxChallenge)
}

func decimal(text string) bool {
	return text != "" && len(text) <= 20 && !strings.ContainsFunc(text, func(c rune) bool { return c < '0' || c > '9' })
}
