package sign

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// The prefixes of keys in the specification.
const (
	prefixSecret  = "whsec_"
	prefixPrivate = "whsk_"
	prefixPublic  = "whpk_"
)

// Lengths of a shared secret in bytes, from the specification.
const (
	leastSecret = 24
	mostSecret  = 64
)

// signingKey creates one signature of a delivery.
type signingKey struct {
	signing *signature.Signing
	// public is the public key for the app, empty for a shared secret.
	public string
}

// newSigningKey parses a secret in the format of the specification.
func newSigningKey(secret signature.Secret) (signingKey, error) {
	text := string(secret.Reveal())
	if encoded, ok := strings.CutPrefix(text, prefixPrivate); ok {
		return newPrivateKey(encoded)
	}
	if strings.HasPrefix(text, prefixPublic) {
		return signingKey{}, errors.New("it is a public key (whpk_), but signing needs the private key: write the secret that begins with whsk_")
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, prefixSecret))
	if err != nil {
		return signingKey{}, errors.New("it is not base64: write whsec_ and the output of `openssl rand -base64 32`")
	}
	if len(raw) < leastSecret || len(raw) > mostSecret {
		return signingKey{}, fmt.Errorf("it has %d bytes, but Standard Webhooks requires %d to %d: write whsec_ and the output of `openssl rand -base64 32`", len(raw), leastSecret, mostSecret)
	}
	return compile(signature.HMACSHA256, signature.SigningKey{Secret: secret})
}

// newPrivateKey reads an Ed25519 key: 64 bytes, of which the second half is the
// public key, or the 32 bytes of the seed.
func newPrivateKey(encoded string) (signingKey, error) {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return signingKey{}, errors.New("the text after whsk_ is not base64: write whsk_ and the base64 of an Ed25519 private key")
	}
	if len(raw) != ed25519.SeedSize && len(raw) != ed25519.PrivateKeySize {
		return signingKey{}, fmt.Errorf("the text after whsk_ decodes to %d bytes, but an Ed25519 private key has %d or %d: write whsk_ and the base64 of the complete key", len(raw), ed25519.SeedSize, ed25519.PrivateKeySize)
	}
	private := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
	if len(raw) == ed25519.PrivateKeySize && !private.Equal(ed25519.PrivateKey(raw)) {
		return signingKey{}, errors.New("the public half of the Ed25519 key does not match the private half: write whsk_ and the base64 of its first 32 bytes")
	}
	key, err := compile(signature.Ed25519, signature.SigningKey{Private: private})
	key.public = prefixPublic + base64.StdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
	return key, err
}

// compile prepares a scheme of the `standard-webhooks` preset for signing.
func compile(algorithm signature.Algorithm, key signature.SigningKey) (signingKey, error) {
	presets := provider.Presets()
	i := slices.IndexFunc(presets, func(p provider.Preset) bool { return p.Name == "standard-webhooks" })
	if i < 0 {
		return signingKey{}, errors.New("the preset standard-webhooks is not in this build: import the package catalogue")
	}
	schemes, err := provider.NewModule(&presets[i]).SigningSchemes()
	if err != nil {
		return signingKey{}, err
	}
	i = slices.IndexFunc(schemes, func(s signature.Scheme) bool { return s.Algorithm == algorithm })
	signing, err := schemes[i].CompileSigning(key)
	return signingKey{signing: signing}, err
}

// bigBody is the length from which the number of bodies in memory is limited.
const bigBody = 1 << 20

// bigBodies limits their number: Ed25519 needs the whole body in memory.
var bigBodies = make(chan struct{}, 4)

// sign returns the signature of a request.
func (k signingKey) sign(ctx context.Context, r *signature.Request) (string, error) {
	if k.public != "" && r.Body.Size() > bigBody {
		if err := acquire(ctx, bigBodies); err != nil {
			return "", err
		}
		defer func() { <-bigBodies }()
	}
	return k.signing.Sign(r)
}
