package catalogue

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// secretScanning verifies GitHub's alerts to secret scanning partners: ECDSA over the
// body, with one of the keys that GitHub publishes.
// https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partnership-program/secret-scanning-partner-program
type secretScanning struct{ source keySource }

func newSecretScanning(m *provider.Module) (provider.Verifier, error) {
	source, err := configuredOr(m, func() keySource {
		return published(m.Name(), "", "https://api.github.com/meta/public_keys/secret_scanning", "api.github.com", parseGitHubKeys)
	})
	return &secretScanning{source}, err
}

func parseGitHubKeys(raw []byte) (map[string]any, error) {
	var list struct {
		Keys []struct {
			ID  string `json:"key_identifier"`
			PEM string `json:"key"`
		} `json:"public_keys"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, errors.New("not a list of keys")
	}
	if len(list.Keys) > maxKeys {
		return nil, fmt.Errorf("more than %d keys", maxKeys)
	}
	keys := make(map[string]any)
	for _, k := range list.Keys {
		public, err := signature.ParsePublicKey(signature.ECDSAP256SHA256, k.PEM)
		if err == nil {
			keys[k.ID] = public
		}
	}
	return keys, nil
}

// maxECDSAText is the maximum length of a signature in base64, in bytes. A P-256
// signature in DER has at most 72 bytes.
const maxECDSAText = 256

func (s *secretScanning) CheckHeaders(r *signature.Request) error {
	_, _, err := s.read(r)
	return err
}

func (s *secretScanning) read(r *signature.Request) (id string, sig []byte, err error) {
	text, err := oneHeader(r, "Github-Public-Key-Signature")
	if err != nil {
		return "", nil, err
	}
	if id, err = oneHeader(r, "Github-Public-Key-Identifier"); err != nil {
		return "", nil, err
	}
	if len(text) > maxECDSAText {
		return "", nil, signature.Refuse(signature.Malformed, "the signature is too long")
	}
	if sig, err = base64.StdEncoding.Strict().DecodeString(text); err != nil || strings.ContainsAny(text, "\r\n") || len(id) > 128 {
		return "", nil, signature.Refuse(signature.Malformed, "the signature is not base64")
	}
	return id, sig, nil
}

func (s *secretScanning) Verify(ctx context.Context, r *signature.Request) (*signature.Delivery, error) {
	id, sig, err := s.read(r)
	if err != nil {
		return nil, err
	}
	found, identity, err := s.source.find(ctx, id, r.Now)
	if err != nil {
		return nil, err
	}
	public, ok := found.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T, not an ECDSA key", found)
	}
	sum := sha256.New()
	if _, err := r.Body.WriteTo(sum); err != nil {
		return nil, fmt.Errorf("rereading body: %w", err)
	}
	digest := sum.Sum(nil)
	if !ecdsa.VerifyASN1(public, digest, sig) {
		return nil, signature.Refuse(signature.InvalidSignature, "signature mismatch")
	}
	return &signature.Delivery{Matches: []signature.Match{{Secret: identity, Digest: digest}}}, nil
}

func (s *secretScanning) Coverage() signature.Coverage { return signature.Coverage{BodySigned: true} }

func (s *secretScanning) Secrets() []signature.Identity { return s.source.identities() }
