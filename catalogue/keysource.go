package catalogue

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/provider/keyfetch"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// staticKeys are the configured public keys, by ID.
type staticKeys struct {
	keys map[string]any
	ids  map[string]signature.Identity
	// order contains the IDs in the order of the config, then those of the key set,
	// sorted. The app's key is derived from the last one.
	order []string
}

func (s *staticKeys) find(_ context.Context, id string, _ time.Time) (any, signature.Identity, error) {
	if k, ok := s.keys[id]; ok {
		return k, s.ids[id], nil
	}
	if k, ok := s.keys[""]; ok {
		return k, s.ids[""], nil
	}
	return nil, signature.Identity{}, signature.Refuse(signature.InvalidSignature, "the key ID of the delivery is not configured")
}

func (s *staticKeys) identities() []signature.Identity {
	var ids []signature.Identity
	for _, id := range s.order {
		ids = append(ids, s.ids[id])
	}
	return ids
}

// add adds a key. The request names the key that is used, so if one key had two IDs, a
// copy would count as another delivery.
func (s *staticKeys) add(id string, public any, identity signature.Identity) error {
	if _, known := s.keys[id]; known {
		return fmt.Errorf("duplicate key ID: %q; give each key a different label", id)
	}
	for _, other := range s.keys {
		if same, ok := other.(interface{ Equal(crypto.PublicKey) bool }); ok && same.Equal(public) {
			return provider.ErrDuplicateSecret
		}
	}
	s.order = append(s.order, id)
	s.keys[id], s.ids[id] = public, identity
	return nil
}

// configuredKeys returns the configured keys: the secrets, as PEM with the key ID as
// label, and the key set. It returns nil if there are none.
func configuredKeys(m *provider.Module) (*staticKeys, error) {
	s := &staticKeys{keys: make(map[string]any), ids: make(map[string]signature.Identity)}
	for i, secret := range m.Keys() {
		block, _ := pem.Decode(secret.Reveal())
		if block == nil {
			return nil, fmt.Errorf("secret %d is not a public key in PEM: copy it again from the provider, with its line breaks", i+1)
		}
		public, err := signature.ParsePKIX(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		text, err := publicKeyText(public)
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		id, err := canonicalIdentity(text, secret.Label(), i)
		if err == nil {
			err = s.add(secret.Label(), public, id)
		}
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
	}
	if m.Resolved().JWKS != "" {
		set, err := parseKeySet([]byte(m.Resolved().JWKS))
		if err != nil {
			return nil, fmt.Errorf("jwks: %w: write jwks {file./path}", err)
		}
		for _, id := range slices.Sorted(maps.Keys(set)) {
			if err := s.add(id, set[id], keyIdentity(m.Name(), id)); err != nil {
				return nil, fmt.Errorf("jwks: %w", err)
			}
		}
	}
	if len(s.keys) == 0 {
		return nil, nil
	}
	return s, nil
}

// keyIdentity returns the identity of a published key.
func keyIdentity(provider, id string) signature.Identity {
	return signature.Identity{Label: id, Fingerprint: sha256.Sum256([]byte("verify_webhook key\x00" + provider + "\x00" + id))}
}

// parseKeySet parses a JSON Web Key Set. It skips private keys, and keys other than
// RSA, elliptic curve and Ed25519.
func parseKeySet(raw []byte) (map[string]any, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, errors.New("not a JSON Web Key Set")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("more than %d keys", maxKeys)
	}
	keys := make(map[string]any)
	for _, text := range set.Keys {
		k, err := parseJWK(text)
		if err != nil || k.KeyID == "" {
			continue
		}
		switch k.Key.(type) {
		case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
			keys[k.KeyID] = k.Key
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("missing public key with a key ID")
	}
	return keys, nil
}

const (
	// maxKeys is the maximum number of keys in a set. Providers have few.
	maxKeys = 64
	// maxJWK is the maximum size of a JSON Web Key with its certificates, in bytes.
	maxJWK = 16 << 10
)

// parseJWK parses a JSON Web Key, which must be public and of an accepted kind and
// size.
func parseJWK(text []byte) (*jose.JSONWebKey, error) {
	var k jose.JSONWebKey
	if len(text) > maxJWK {
		return nil, fmt.Errorf("a JSON Web Key is longer than %d bytes", maxJWK)
	}
	if k.UnmarshalJSON(text) != nil || !k.IsPublic() {
		return nil, errors.New("not a public JSON Web Key")
	}
	if public, ok := k.Key.(*ecdsa.PublicKey); ok && public.Curve == elliptic.P521() {
		return &k, nil // slower than the curves accepted in sender-supplied certificates
	}
	return &k, signature.CheckPublicKey(k.Key)
}

// publishedKeys are keys that a provider publishes at a fixed URL.
type publishedKeys struct {
	provider string
	url      string
	fetcher  *keyfetch.Fetcher
	parse    func([]byte) (map[string]any, error)
	// identity is the identity of deliveries, the same for all keys: handled
	// deliveries still count after a key rotation.
	identity signature.Identity
}

// renew is the minimum age at which a document without the requested key is refetched.
// Anyone can request keys that do not exist.
const renew = time.Minute

// published returns a source of keys at a fixed URL. scope separates the deliveries of
// endpoints that share the provider's keys.
func published(provider, scope, url, host string, parse func([]byte) (map[string]any, error)) *publishedKeys {
	return &publishedKeys{
		provider: provider, url: url, fetcher: keyfetch.Shared(host), parse: parse,
		identity: keyIdentity(provider, scope),
	}
}

// find refuses a key that is missing in a document fetched after the request arrived.
// If the document is older and not yet refetched, the provider may have published the
// key since: the delivery is undecided, and its retry succeeds.
func (p *publishedKeys) find(ctx context.Context, id string, _ time.Time) (any, signature.Identity, error) {
	before := p.fetcher.Fetched(keyfetch.Request{URL: p.url})
	for _, age := range []time.Duration{0, renew} {
		raw, err := p.fetcher.Get(ctx, keyfetch.Request{URL: p.url, MaxAge: age})
		if err != nil {
			return nil, p.identity, fmt.Errorf("fetching the keys of %s: %w", p.provider, err)
		}
		keys, err := p.parse(raw)
		if err != nil {
			return nil, p.identity, fmt.Errorf("parsing the keys of %s: %w", p.provider, err)
		}
		if k, ok := keys[id]; ok {
			return k, p.identity, nil
		}
	}
	if !p.fetcher.Fetched(keyfetch.Request{URL: p.url}).After(before) {
		return nil, p.identity, fmt.Errorf("unknown key: the keys of %s are fetched again at most once every %s", p.provider, renew)
	}
	return nil, p.identity, signature.Refuse(signature.InvalidSignature, "unknown key: the provider does not publish it")
}

func (p *publishedKeys) identities() []signature.Identity { return []signature.Identity{p.identity} }

// issuerKeys returns the configured keys, or else those that the configured issuer
// publishes at a path that the provider documents.
func issuerKeys(path string) func(m *provider.Module) (keySource, error) {
	return func(m *provider.Module) (keySource, error) {
		static, err := configuredKeys(m)
		if err != nil {
			return nil, err
		}
		if static != nil {
			return static, nil
		}
		base, host, err := issuerAddress(m)
		if err != nil {
			return nil, err
		}
		return published(m.Name(), base, base+path, host, parseKeySet), nil
	}
}

// issuerAddress returns the configured issuer without a trailing slash, and its host.
func issuerAddress(m *provider.Module) (base, host string, err error) {
	issuers := m.Resolved().Issuers
	if len(issuers) == 0 {
		return "", "", errors.New("missing issuer to fetch keys from: write issuer https://…, or jwks")
	}
	if len(issuers) > 1 {
		return "", "", errors.New("too many issuers: write one, to fetch keys from")
	}
	u, err := url.Parse(issuers[0])
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Port() != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", "", fmt.Errorf("invalid issuer: %q; write an https URL with only a host and a path", issuers[0])
	}
	return strings.TrimSuffix(issuers[0], "/"), u.Host, nil
}

// configuredOr returns the configured keys, or else those of source.
func configuredOr(m *provider.Module, source func() keySource) (keySource, error) {
	static, err := configuredKeys(m)
	if err != nil {
		return nil, err
	}
	if static != nil {
		return static, nil
	}
	return source(), nil
}
