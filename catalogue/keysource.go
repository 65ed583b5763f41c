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

// staticKeys are public keys from the config, by ID.
type staticKeys struct {
	keys map[string]any
	ids  map[string]signature.Identity
	// order of the IDs: that of the config, then those of the key set, sorted.
	// The app's key is derived under the last one.
	order []string
}

func (s *staticKeys) find(_ context.Context, id string, _ time.Time) (any, signature.Identity, error) {
	if k, ok := s.keys[id]; ok {
		return k, s.ids[id], nil
	}
	if k, ok := s.keys[""]; ok {
		return k, s.ids[""], nil
	}
	return nil, signature.Identity{}, signature.Refuse(signature.InvalidSignature, "the delivery names a key that is not configured")
}

func (s *staticKeys) identities() []signature.Identity {
	var ids []signature.Identity
	for _, id := range s.order {
		ids = append(ids, s.ids[id])
	}
	return ids
}

// add adds a key. The request names the key that is used, so one key under two
// IDs would let a copy count as another delivery.
func (s *staticKeys) add(id string, public any, identity signature.Identity) error {
	if _, known := s.keys[id]; known {
		return fmt.Errorf("there are two keys with the ID %q: give each its own as label", id)
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

// configuredKeys returns the keys of the config: the secrets, as PEM with the
// key ID as label, and the key set. Nil if there are none.
func configuredKeys(m *provider.Module) (*staticKeys, error) {
	s := &staticKeys{keys: make(map[string]any), ids: make(map[string]signature.Identity)}
	for i, secret := range m.Keys() {
		block, _ := pem.Decode(secret.Reveal())
		if block == nil {
			return nil, fmt.Errorf("secret %d is not a public key in PEM", i+1)
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
			return nil, fmt.Errorf("jwks: %w", err)
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

// keyIdentity identifies a published key.
func keyIdentity(provider, id string) signature.Identity {
	return signature.Identity{Label: id, Fingerprint: sha256.Sum256([]byte("verify_webhook key\x00" + provider + "\x00" + id))}
}

// parseKeySet reads a JSON Web Key Set. Keys of other kinds than RSA, elliptic
// curves and Ed25519, and private ones, are left out.
func parseKeySet(raw []byte) (map[string]any, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, errors.New("it is not a JSON Web Key Set")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("it has more than %d keys", maxKeys)
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
		return nil, errors.New("there is no public key with a key ID in it")
	}
	return keys, nil
}

const (
	// maxKeys bounds the keys of a set. Providers have a handful.
	maxKeys = 64
	// maxJWK bounds a JSON Web Key in bytes, with the certificates it may have.
	maxJWK = 16 << 10
)

// parseJWK reads a JSON Web Key, which must be public and of a kind and size
// that is accepted.
func parseJWK(text []byte) (*jose.JSONWebKey, error) {
	var k jose.JSONWebKey
	if len(text) > maxJWK {
		return nil, fmt.Errorf("a JSON Web Key has more than %d bytes", maxJWK)
	}
	if k.UnmarshalJSON(text) != nil || !k.IsPublic() {
		return nil, errors.New("it is not a public JSON Web Key")
	}
	if public, ok := k.Key.(*ecdsa.PublicKey); ok && public.Curve == elliptic.P521() {
		return &k, nil // slower than the curves that certificates of a sender may have
	}
	return &k, signature.CheckPublicKey(k.Key)
}

// publishedKeys are keys that a provider publishes at a fixed URL.
type publishedKeys struct {
	provider string
	url      string
	fetcher  *keyfetch.Fetcher
	parse    func([]byte) (map[string]any, error)
	// identity of deliveries, the same for all keys: they change, what was
	// handled does not.
	identity signature.Identity
}

// renew is how old a document may be that lacks a key, before it is fetched
// again. Strangers can name keys that do not exist.
const renew = 5 * time.Minute

// published makes a source of keys at a fixed URL. scope sets apart the
// deliveries of endpoints that share the provider's keys.
func published(provider, scope, url, host string, parse func([]byte) (map[string]any, error)) *publishedKeys {
	return &publishedKeys{
		provider: provider, url: url, fetcher: keyfetch.Shared(host), parse: parse,
		identity: keyIdentity(provider, scope),
	}
}

func (p *publishedKeys) find(ctx context.Context, id string, _ time.Time) (any, signature.Identity, error) {
	for _, age := range []time.Duration{0, renew} {
		raw, err := p.fetcher.Get(ctx, keyfetch.Request{URL: p.url, MaxAge: age})
		if err != nil {
			return nil, p.identity, fmt.Errorf("getting the keys of %s: %w", p.provider, err)
		}
		keys, err := p.parse(raw)
		if err != nil {
			return nil, p.identity, fmt.Errorf("reading the keys of %s: %w", p.provider, err)
		}
		if k, ok := keys[id]; ok {
			return k, p.identity, nil
		}
	}
	return nil, p.identity, signature.Refuse(signature.InvalidSignature, "the delivery names a key that the provider does not publish")
}

func (p *publishedKeys) identities() []signature.Identity { return []signature.Identity{p.identity} }

// issuerKeys returns the keys of the config, or else those that the configured
// issuer publishes at a path that the provider documents.
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

// issuerAddress returns the configured issuer without a slash at its end, and its
// host.
func issuerAddress(m *provider.Module) (base, host string, err error) {
	issuers := m.Resolved().Issuers
	if len(issuers) == 0 {
		return "", "", errors.New("missing issuer, whose keys are fetched: write issuer https://…, or jwks")
	}
	if len(issuers) > 1 {
		return "", "", errors.New("issuer: write one, whose keys are fetched")
	}
	u, err := url.Parse(issuers[0])
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Port() != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", "", fmt.Errorf("issuer %q is not an https URL of a host and a path alone", issuers[0])
	}
	return strings.TrimSuffix(issuers[0], "/"), u.Host, nil
}

// configuredOr returns the keys of the config, or else those of source.
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
