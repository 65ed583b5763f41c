package catalogue

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// codeKey is a secret for a preset with Code.
type codeKey struct {
	bytes []byte
	// use is the key in the form that a JWT library accepts.
	use      any
	identity signature.Identity
}

// codeKeys decodes the secrets. Their identities depend on the keys, not on their
// encoding.
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
		keys = append(keys, codeKey{bytes: raw, identity: id})
	}
	return keys, checkIdentities(identities(keys))
}

// publicKeys parses the secrets as RSA public keys: PEM, or base64 of PEM.
func publicKeys(m *provider.Module) ([]codeKey, error) {
	var keys []codeKey
	for i, secret := range m.Keys() {
		text := string(secret.Reveal())
		if decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err == nil && bytes.HasPrefix(decoded, []byte("-----BEGIN ")) {
			text = string(decoded)
		}
		public, err := signature.ParsePublicKey(signature.RSASHA256, text)
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		canonical, err := publicKeyText(public)
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		id, err := canonicalIdentity(canonical, secret.Label(), i)
		if err != nil {
			return nil, err
		}
		keys = append(keys, codeKey{use: public, identity: id})
	}
	if len(keys) == 0 {
		return nil, errors.New("missing public key: write secret {file./path}")
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

// canonicalIdentity identifies a key by its canonical encoding. It also keeps the
// identity of earlier versions, so that handled deliveries still count.
func canonicalIdentity(text, label string, position int) (signature.Identity, error) {
	secret, err := signature.NewSecret(text, label)
	return labelled(secret.Identity(), position), err
}

// checkIdentities returns an error if two secrets are the same key.
func checkIdentities(ids []signature.Identity) error {
	for i, id := range ids {
		if slices.ContainsFunc(ids[:i], func(other signature.Identity) bool { return other.Fingerprint == id.Fingerprint }) {
			return provider.ErrDuplicateSecret
		}
	}
	return nil
}

// publicKeyText returns the canonical encoding of a public key.
func publicKeyText(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("parsing public key: %w", err)
	}
	return strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))), nil
}
