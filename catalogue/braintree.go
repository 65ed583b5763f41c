package catalogue

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// braintreeKey: the HMAC key is the SHA-1 digest of the private key.
// npm braintree, lib/braintree/digest.js
func braintreeKey(private string) (string, error) {
	if err := signature.CheckShared(private, nil); err != nil {
		return "", err
	}
	sum := sha1.Sum([]byte(private))
	return hex.EncodeToString(sum[:]), nil
}

// braintreeValues reads the form: bt_signature contains pairs of public key and
// signature, joined with &. bt_payload is the signed text, with or without a trailing
// line break.
// https://developer.paypal.com/braintree/docs/guides/webhooks/parse
func braintreeValues(m *provider.Module, r *signature.Request) ([]map[string]string, error) {
	form, err := r.Form()
	if err != nil {
		return nil, err
	}
	payload, pairs := single(form, "bt_payload"), single(form, "bt_signature")
	if pairs == "" {
		return nil, signature.Refuse(signature.MissingSignature, "missing bt_signature")
	}
	if braintreeToken.MatchString(payload) {
		return nil, signature.Refuse(signature.Malformed, "the payload could be the response to a challenge, not a notification")
	}
	if payload == "" || strings.ContainsFunc(payload, notBase64) || len(form) != 2 {
		return nil, signature.Refuse(signature.Malformed, "the form must contain only bt_signature and bt_payload")
	}
	var candidates []map[string]string
	withBreak := payload + "\n"
	for _, pair := range strings.SplitN(pairs, "&", 9) {
		public, sig, ok := strings.Cut(pair, "|")
		if !ok || !hasLabel(m, public) {
			continue
		}
		for _, content := range []string{payload, withBreak} {
			candidates = append(candidates, map[string]string{"key": public, "signature": sig, "payload": content})
		}
	}
	if len(candidates) == 0 {
		return nil, signature.Refuse(signature.InvalidSignature, "no signature for the public key in the label of a secret")
	}
	return candidates, nil
}

var braintreeToken = regexp.MustCompile(`^[a-f0-9]{20,32}\n?$`)

// braintreeChallenge responds with an HMAC under the key that signs deliveries, so
// braintreeValues refuses payloads that look like a challenge.
// npm braintree, lib/braintree/webhook_notification_gateway.js, verify
var braintreeChallenge = &provider.Challenge{
	Possible: getWith("bt_challenge"),
	Answer: func(m *provider.Module, r *signature.Request) (*signature.Answer, error) {
		challenge := single(provider.Query(r), "bt_challenge")
		if !braintreeToken.MatchString(challenge) || strings.HasSuffix(challenge, "\n") || m.Keys()[0].Label() == "" {
			return nil, signature.Refuse(signature.Malformed, "invalid bt_challenge, or the secret has no label with the public key")
		}
		key, err := hex.DecodeString(string(m.Keys()[0].Reveal()))
		if err != nil {
			return nil, err
		}
		h := hmac.New(sha1.New, key)
		h.Write([]byte(challenge))
		return signature.TextAnswer(m.Keys()[0].Label() + "|" + hex.EncodeToString(h.Sum(nil))), nil
	},
}

func notBase64(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("+/=\n", c)
}

// hasLabel reports whether a secret has this label, or none.
func hasLabel(m *provider.Module, label string) bool {
	for _, secret := range m.Keys() {
		if secret.Label() == label || secret.Label() == "" {
			return true
		}
	}
	return false
}
