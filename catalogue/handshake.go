package catalogue

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func jsonAnswer(value any) (*signature.Answer, error) {
	body, err := json.Marshal(value)
	return &signature.Answer{
		Status:      http.StatusOK,
		ContentType: "application/json",
		Header:      http.Header{"X-Content-Type-Options": {"nosniff"}},
		Body:        body,
	}, err
}

func emptyAnswer(status int) *signature.Answer { return &signature.Answer{Status: status} }

// members returns a reader of values in the JSON body. A typo in a path panics at
// startup.
func members(paths ...string) func(r *signature.Request) ([]string, error) {
	p, err := signature.NewJSONPaths(paths)
	if err != nil {
		panic(err)
	}
	return func(r *signature.Request) ([]string, error) { return p.Find(r.Body) }
}

// echoChallenge answers a signed JSON delivery whose member has the value kind. It
// echoes the challenge as JSON under the same name.
func echoChallenge(member, kind, challenge string) provider.Handshake {
	find := members(member, challenge)
	return func(_ *provider.Module, r *signature.Request, _ *signature.Delivery) (*signature.Answer, error) {
		found, err := find(r)
		if err != nil || found[0] != kind || !provider.Echoable(found[1]) {
			return nil, err
		}
		return jsonAnswer(map[string]string{challenge: found[1]})
	}
}

// frontChallenge echoes the challenge of a signed `sync`.
// https://dev.frontapp.com/docs/application-webhooks
func frontChallenge(_ *provider.Module, r *signature.Request, d *signature.Delivery) (*signature.Answer, error) {
	challenge := r.Header.Get("X-Front-Challenge")
	if d.Event != "sync" || !provider.Echoable(challenge) {
		return nil, nil
	}
	return signature.TextAnswer(challenge), nil
}

var twitchMembers = members("challenge", "subscription.status")

// twitchChallenge echoes the challenge. The header Message-Type is not signed, so the
// body must match it.
// https://dev.twitch.tv/docs/eventsub/handling-webhook-events
func twitchChallenge(_ *provider.Module, r *signature.Request, _ *signature.Delivery) (*signature.Answer, error) {
	if r.Header.Get("Twitch-Eventsub-Message-Type") != "webhook_callback_verification" {
		return nil, nil
	}
	found, err := twitchMembers(r)
	if err != nil || found[0] == "" || found[1] != "webhook_callback_verification_pending" || !provider.Echoable(found[0]) {
		return nil, err
	}
	return signature.TextAnswer(found[0]), nil
}

var discordMembers = members("type")

// discordPing answers PING. Its number depends on the product.
// https://docs.discord.com/developers/interactions/overview
func discordPing(m *provider.Module, r *signature.Request, _ *signature.Delivery) (*signature.Answer, error) {
	found, err := discordMembers(r)
	switch {
	case err != nil:
		return nil, err
	case m.Variant() == "interactions" && found[0] == "1":
		return jsonAnswer(map[string]int{"type": 1})
	case m.Variant() == "webhook-events" && found[0] == "0":
		return emptyAnswer(http.StatusNoContent), nil
	}
	return nil, nil
}

var zoomMembers = members("event", "payload.plainToken")

// zoomChallenge responds with an HMAC of Zoom's token under the key that signs
// deliveries. The request must be signed. Deliveries sign v0:time:body, so a token
// with a colon, which could equal that, is refused.
// https://developers.zoom.us/docs/api/webhooks
func zoomChallenge(m *provider.Module, r *signature.Request, d *signature.Delivery) (*signature.Answer, error) {
	found, err := zoomMembers(r)
	if err != nil || found[0] != "endpoint.url_validation" {
		return nil, err
	}
	token := found[1]
	if !plainToken(token) {
		return nil, signature.Refuse(signature.Malformed, "invalid plainToken")
	}
	sum, err := macWith(m, d, token)
	if err != nil {
		return nil, err
	}
	return jsonAnswer(map[string]string{"plainToken": token, "encryptedToken": hex.EncodeToString(sum)})
}

// macWith signs text with the secret that signed the delivery.
func macWith(m *provider.Module, d *signature.Delivery, text string) ([]byte, error) {
	for _, secret := range m.Keys() {
		if secret.Identity().Fingerprint == d.Matches[0].Secret.Fingerprint {
			return mac(secret, text), nil
		}
	}
	return nil, signature.Refuse(signature.InvalidSignature, "signature mismatch")
}

func mac(secret signature.Secret, text string) []byte {
	h := hmac.New(sha256.New, secret.Reveal())
	h.Write([]byte(text))
	return h.Sum(nil)
}

// plainToken reports whether text consists of letters, digits, - and _. Signed
// deliveries always contain other characters: a brace, a colon or a dot.
func plainToken(text string) bool {
	return text != "" && len(text) <= 256 && !strings.ContainsFunc(text, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	})
}

// oktaChallenge answers a GET that contains the token.
// https://developer.okta.com/docs/concepts/event-hooks/
func oktaChallenge(_ *provider.Module, r *signature.Request, _ *signature.Delivery) (*signature.Answer, error) {
	challenge := r.Header.Get("X-Okta-Verification-Challenge")
	if r.Method != http.MethodGet || !provider.Echoable(challenge) {
		return nil, nil
	}
	return jsonAnswer(map[string]string{"verification": challenge})
}

// airshipValidation answers the signed GET of …/validate with the code that Airship
// shows for the channel. Without the code, the request is forwarded to the app.
// https://docs.airship.com/platform/open/getting-started/
func airshipValidation(m *provider.Module, r *signature.Request, d *signature.Delivery) (*signature.Answer, error) {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if r.Method != http.MethodGet || !strings.HasSuffix(path, "/validate") {
		return nil, nil
	}
	code := m.Resolved().VerifyToken
	if code == "" {
		d.Notice = "Airship validates the URL: write verify_token {env.NAME}, with the Validation Code that Airship shows, to answer it here"
		return nil, nil
	}
	return jsonAnswer(map[string]string{"confirmation_code": code})
}
