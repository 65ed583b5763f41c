package catalogue

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// single returns a parameter that comes exactly once.
func single(values url.Values, name string) string {
	if len(values[name]) != 1 {
		return ""
	}
	return values[name][0]
}

// getWith is possible for a GET with this parameter.
func getWith(name string) func(*provider.Module, *signature.Request) bool {
	return func(_ *provider.Module, r *signature.Request) bool {
		return r.Method == http.MethodGet && provider.Query(r).Has(name)
	}
}

func echo(text string) (*signature.Answer, error) {
	if !provider.Printable(text) {
		return nil, signature.Refuse(signature.Malformed, "the challenge is not printable, or longer than %d bytes", provider.MaxChallenge)
	}
	return signature.TextAnswer(text), nil
}

// echoQuery sends a parameter of a GET back as text, for presets in code: those
// that are data say so with answers.
func echoQuery(name string) *provider.Challenge {
	return &provider.Challenge{Possible: getWith(name), Answer: func(_ *provider.Module, r *signature.Request) (*signature.Answer, error) {
		return echo(single(provider.Query(r), name))
	}}
}

// metaChallenge sends hub.challenge back to whoever knows the verify token.
// https://developers.facebook.com/docs/graph-api/webhooks/getting-started
var metaChallenge = &provider.Challenge{
	Possible: getWith("hub.mode"),
	Unarmed: func(m *provider.Module, _ *signature.Request) string {
		if m.Resolved().VerifyToken != "" {
			return ""
		}
		return "Meta checks the URL with hub.challenge: write verify_token {env.NAME}, with the Verify token as typed in at Meta"
	},
	Answer: func(m *provider.Module, r *signature.Request) (*signature.Answer, error) {
		q := provider.Query(r)
		if single(q, "hub.mode") != "subscribe" || !sameText(single(q, "hub.verify_token"), m.Resolved().VerifyToken) {
			return nil, signature.Refuse(signature.InvalidSignature, "the challenge has another verify token than the configured one")
		}
		return echo(single(q, "hub.challenge"))
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
var xChallenge = &provider.Challenge{
	Possible: getWith("crc_token"),
	Answer: func(m *provider.Module, r *signature.Request) (*signature.Answer, error) {
		token := single(provider.Query(r), "crc_token")
		if !plainToken(strings.TrimRight(token, "=")) {
			return nil, signature.Refuse(signature.Malformed, "the crc_token is not one that X sends")
		}
		return jsonAnswer(map[string]string{"response_token": "sha256=" + base64.StdEncoding.EncodeToString(mac(m.Keys()[0], token))})
	},
}

// xDelivery refuses bodies that an answer to a challenge could sign.
func xDelivery(_ *provider.Module, r *signature.Request, _ *signature.Delivery) (*signature.Answer, error) {
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
var webSubChallenge = &provider.Challenge{
	Possible: getWith("hub.mode"),
	Unarmed: func(m *provider.Module, _ *signature.Request) string {
		if len(m.Resolved().Topics) > 0 {
			return ""
		}
		return "the hub checks the URL with hub.mode: write topic <url>, with the topic that you subscribe to, and accept_handshake while you subscribe"
	},
	Answer: func(m *provider.Module, r *signature.Request) (*signature.Answer, error) {
		q := provider.Query(r)
		if !slices.Contains(m.Resolved().Topics, single(q, "hub.topic")) {
			return nil, signature.Refuse(signature.Malformed, "the hub asks about a topic that is not configured: write it as topic if you subscribe to it")
		}
		switch mode := single(q, "hub.mode"); mode {
		case "subscribe", "unsubscribe":
			if !webSubAsked(m, r, mode, single(q, "hub.verify_token")) {
				return nil, signature.Refuse(signature.InvalidSignature, "the hub asks to %s, which was not asked for here: set accept_handshake while you subscribe, or verify_token", mode)
			}
			return echo(single(q, "hub.challenge"))
		case "denied":
			return emptyAnswer(http.StatusOK), nil
		}
		return nil, signature.Refuse(signature.Malformed, "the hub asks for neither subscribe nor unsubscribe")
	},
}

// webSubAsked reports whether the operator has asked for it.
func webSubAsked(m *provider.Module, r *signature.Request, mode, token string) bool {
	if m.Resolved().VerifyToken != "" {
		return sameText(token, m.Resolved().VerifyToken)
	}
	return mode == "subscribe" && m.AcceptsHandshake(r)
}

// wooCommercePing answers the form `webhook_id=<n>` that WooCommerce posts,
// unsigned, when a webhook is saved. Nothing reaches the app.
// woocommerce/woocommerce, includes/class-wc-webhook.php, deliver_ping
var wooCommercePing = &provider.Challenge{
	ReadsBody: true,
	Possible: func(_ *provider.Module, r *signature.Request) bool {
		return r.Method == http.MethodPost && provider.MayBeSmall(r) && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") &&
			r.Header.Get("X-WC-Webhook-Signature") == "" && r.Header.Get("X-WC-Webhook-Topic") == ""
	},
	Answer: func(_ *provider.Module, r *signature.Request) (*signature.Answer, error) {
		if r.Body.Size() > 64 {
			return nil, nil
		}
		form, err := r.Form()
		if err != nil || len(form) != 1 || !decimal(single(form, "webhook_id")) {
			return nil, nil // a delivery without signature, which is refused as such
		}
		return emptyAnswer(http.StatusOK), nil
	},
}

func decimal(text string) bool {
	return text != "" && len(text) <= 20 && !strings.ContainsFunc(text, func(c rune) bool { return c < '0' || c > '9' })
}
