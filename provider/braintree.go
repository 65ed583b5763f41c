package provider

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// braintreeKey: the HMAC key is the SHA-1 digest of the private key.
// npm braintree, lib/braintree/digest.js
func braintreeKey(private string) (string, error) {
	sum := sha1.Sum([]byte(private))
	return hex.EncodeToString(sum[:]), nil
}

// braintreeValues reads the form: bt_signature holds pairs of public key and
// signature joined by &, bt_payload is what is signed, with or without a line
// break at its end.
// https://developer.paypal.com/braintree/docs/guides/webhooks/parse
func braintreeValues(m *Module, r *signature.Request) ([]map[string]string, error) {
	form, err := r.Form()
	if err != nil {
		return nil, err
	}
	payload, pairs := only1(form, "bt_payload"), only1(form, "bt_signature")
	if pairs == "" {
		return nil, signature.Refuse(signature.MissingSignature, "no bt_signature")
	}
	if payload == "" || strings.ContainsFunc(payload, notBase64) || len(form) != 2 {
		return nil, signature.Refuse(signature.Malformed, "the form is not bt_signature and bt_payload")
	}
	var candidates []map[string]string
	for _, pair := range strings.SplitN(pairs, "&", 9) {
		public, sig, ok := strings.Cut(pair, "|")
		if !ok || !m.hasLabel(public) {
			continue
		}
		for _, end := range []string{"", "\n"} {
			candidates = append(candidates, map[string]string{"key": public, "signature": sig, "payload": payload + end})
		}
	}
	if len(candidates) == 0 {
		return nil, signature.Refuse(signature.InvalidSignature, "no signature for a public key that is the label of a secret")
	}
	return candidates, nil
}

func notBase64(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("+/=\n", c)
}

// hasLabel tells whether a secret has this label, or none.
func (m *Module) hasLabel(label string) bool {
	for _, secret := range m.keys {
		if secret.Label() == label || secret.Label() == "" {
			return true
		}
	}
	return false
}
