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

// single returns a parameter that occurs exactly once, or "".
func single(values url.Values, name string) string {
	if len(values[name]) != 1 {
		return ""
	}
	return values[name][0]
}

// getWith returns a Possible for GETs with this parameter.
func getWith(name string) func(*provider.Module, *signature.Request) bool {
	return func(_ *provider.Module, r *signature.Request) bool {
		return r.Method == http.MethodGet && provider.Query(r).Has(name)
	}
}

func echo(text string) (*signature.Answer, error) {
	if !provider.Echoable(text) {
		return nil, provider.NotEchoable("challenge")
	}
	return signature.TextAnswer(text), nil
}

// echoQuery echoes a parameter of a GET as text, for presets with Code. Presets with
// schemes use answers.
func echoQuery(name string) *provider.Challenge {
	return &provider.Challenge{Possible: getWith(name), Answer: func(_ *provider.Module, r *signature.Request) (*signature.Answer, error) {
		return echo(single(provider.Query(r), name))
	}}
}

// metaChallenge echoes hub.challenge if the request contains the verify token.
// https://developers.facebook.com/docs/graph-api/webhooks/getting-started
var metaChallenge = &provider.Challenge{
	Possible: getWith("hub.mode"),
	Unarmed: func(m *provider.Module, _ *signature.Request) string {
		if m.Resolved().VerifyToken != "" {
			return ""
		}
		return "Meta checks the URL with hub.challenge: write verify_token {env.NAME}, with the Verify token as entered at Meta"
	},
	Answer: func(m *provider.Module, r *signature.Request) (*signature.Answer, error) {
		q := provider.Query(r)
		if single(q, "hub.mode") != "subscribe" || !sameText(single(q, "hub.verify_token"), m.Resolved().VerifyToken) {
			return nil, signature.Refuse(signature.InvalidSignature, "the verify token of the challenge does not match")
		}
		return echo(single(q, "hub.challenge"))
	},
}

// sameText compares in constant time, whatever the lengths.
func sameText(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// xChallenge responds with an HMAC of crc_token under the key that signs deliveries.
// Deliveries are JSON objects, which xDelivery checks, and a token of letters, digits,
// - and _ is not a JSON object, so no response is a valid signature of a delivery.
// https://docs.x.com/x-api/webhooks/quickstart
var xChallenge = &provider.Challenge{
	Possible: getWith("crc_token"),
	Answer: func(m *provider.Module, r *signature.Request) (*signature.Answer, error) {
		token := single(provider.Query(r), "crc_token")
		if !plainToken(strings.TrimRight(token, "=")) {
			return nil, signature.Refuse(signature.Malformed, "invalid crc_token")
		}
		return jsonAnswer(map[string]string{"response_token": "sha256=" + base64.StdEncoding.EncodeToString(mac(m.Keys()[0], token))})
	},
}

// xDelivery refuses bodies that a response to a challenge could sign.
func xDelivery(_ *provider.Module, r *signature.Request, _ *signature.Delivery) (*signature.Answer, error) {
	body := r.Body.Open()
	defer body.Close()
	first := make([]byte, 1)
	if n, _ := body.Read(first); n == 0 || first[0] != '{' {
		return nil, signature.Refuse(signature.Malformed, "the body is not a JSON object")
	}
	return nil, nil
}

// webSubChallenge confirms subscriptions that the operator requested. Anyone can ask a
// hub to subscribe this URL, with their own lease and secret, or to unsubscribe it,
// and the hub then sends its challenge here. So a challenge is confirmed only if it
// contains the operator's verify_token, or if it is for a subscription while
// accept_handshake is set. A hub that does not echo the token can never unsubscribe.
// https://www.w3.org/TR/websub/#hub-verifies-intent
var webSubChallenge = &provider.Challenge{
	Possible: getWith("hub.mode"),
	Unarmed: func(m *provider.Module, _ *signature.Request) string {
		if len(m.Resolved().Topics) > 0 {
			return ""
		}
		return "the hub checks the URL with hub.mode: write topic <url>, with your topic, and accept_handshake while you subscribe"
	},
	Answer: func(m *provider.Module, r *signature.Request) (*signature.Answer, error) {
		q := provider.Query(r)
		if !slices.Contains(m.Resolved().Topics, single(q, "hub.topic")) {
			return nil, signature.Refuse(signature.Malformed, "the topic of the hub's challenge is not configured: write it as topic if you subscribe to it")
		}
		switch mode := single(q, "hub.mode"); mode {
		case "subscribe", "unsubscribe":
			if !webSubAsked(m, r, mode, single(q, "hub.verify_token")) {
				return nil, signature.Refuse(signature.InvalidSignature, "the hub's challenge to %s was not requested here: set accept_handshake while you subscribe, or verify_token", mode)
			}
			return echo(single(q, "hub.challenge"))
		case "denied":
			return emptyAnswer(http.StatusOK), nil
		}
		return nil, signature.Refuse(signature.Malformed, "invalid hub.mode: expected subscribe or unsubscribe")
	},
}

// webSubAsked reports whether the operator requested it.
func webSubAsked(m *provider.Module, r *signature.Request, mode, token string) bool {
	if m.Resolved().VerifyToken != "" {
		return sameText(token, m.Resolved().VerifyToken)
	}
	return mode == "subscribe" && m.AcceptsHandshake(r)
}

// wooCommercePing answers the unsigned form `webhook_id=<n>` that WooCommerce posts
// when a webhook is saved. It is not forwarded.
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
			return nil, nil // refused as an unsigned delivery
		}
		return emptyAnswer(http.StatusOK), nil
	},
}

func decimal(text string) bool {
	return text != "" && len(text) <= 20 && !strings.ContainsFunc(text, func(c rune) bool { return c < '0' || c > '9' })
}
