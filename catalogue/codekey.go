package catalogue

import (
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// codeKey is a secret for a provider's own code.
type codeKey struct {
	bytes    []byte
	identity signature.Identity
}

// codeKeys decodes the secrets. Their identities are those of the keys, however
// they are spelled.
func codeKeys(m *provider.Module, format signature.KeyFormat) ([]codeKey, error) {
	var keys []codeKey
	for i, secret := range m.Keys() {
		raw, err := format.Decode(secret)
		if err != nil {
			return nil, err
		}
		text := string(secret.Reveal())
		if format.Encoding == "hex" {
			text = strings.ToUpper(hex.EncodeToString(raw))
		}
		id, err := canonicalIdentity(text, secret.Label(), i)
		if err != nil {
			return nil, err
		}
		keys = append(keys, codeKey{raw, id})
	}
	return keys, checkIdentities(identities(keys))
}

func identities(keys []codeKey) []signature.Identity {
	var ids []signature.Identity
	for _, k := range keys {
		ids = append(ids, k.identity)
	}
	return ids
}

// canonicalIdentity identifies a key by its usual spelling. What was handled
// under it before spellings were made one still counts.
func canonicalIdentity(text, label string, position int) (signature.Identity, error) {
	secret, err := signature.NewSecret(text, label)
	return labelled(secret.Identity(), position), err
}

// checkIdentities refuses one key that two secrets spell.
func checkIdentities(ids []signature.Identity) error {
	for i, id := range ids {
		if slices.ContainsFunc(ids[:i], func(other signature.Identity) bool { return other.Fingerprint == id.Fingerprint }) {
			return provider.ErrDuplicateSecret
		}
	}
	return nil
}

// publicKeyText is the usual spelling of a public key.
func publicKeyText(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("reading public key: %w", err)
	}
	return strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))), nil
}
