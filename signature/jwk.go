package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
)

// jwk is the used part of a public key in JSON (RFC 7517).
type jwk struct {
	Type  string `json:"kty"`
	Curve string `json:"crv"`
	X     string `json:"x"`
	Y     string `json:"y"`
	N     string `json:"n"`
	E     string `json:"e"`
	D     string `json:"d"`
}

// parseJWK reads a JSON Web Key.
func parseJWK(a Algorithm, text string) (crypto.PublicKey, error) {
	var k jwk
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		return nil, errors.New("the public key is not a well-formed JSON Web Key: copy it again from the provider")
	}
	if k.D != "" {
		return nil, errors.New("the JSON Web Key is private: configure the public key, and let the provider create a new pair")
	}
	public, err := k.public()
	if err != nil {
		return nil, err
	}
	return checkPublicKey(a, public)
}

func (k *jwk) public() (crypto.PublicKey, error) {
	switch {
	case k.Type == "OKP" && k.Curve == "Ed25519":
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, errors.New("the JSON Web Key has no x of 32 bytes: copy it again from the provider")
		}
		return ed25519.PublicKey(x), nil
	case k.Type == "EC" && k.Curve == "P-256":
		x, errX := base64.RawURLEncoding.DecodeString(k.X)
		y, errY := base64.RawURLEncoding.DecodeString(k.Y)
		if errX != nil || errY != nil || len(x) != 32 || len(y) != 32 {
			return nil, errors.New("the JSON Web Key has no x and y of 32 bytes each: copy it again from the provider")
		}
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
		if err != nil {
			return nil, errors.New("the JSON Web Key is not a point on its curve: copy it again from the provider")
		}
		return public, nil
	case k.Type == "RSA":
		n, errN := base64.RawURLEncoding.DecodeString(k.N)
		e, errE := base64.RawURLEncoding.DecodeString(k.E)
		exponent := new(big.Int).SetBytes(e)
		if errN != nil || errE != nil || len(e) > 4 || exponent.Int64() < 3 || exponent.Int64()%2 == 0 {
			return nil, errors.New("the JSON Web Key has no usable n and e: copy it again from the provider")
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
	}
	return nil, errors.New("unsupported JSON Web Key: use Ed25519, P-256 or RSA")
}
