package signature

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
)

// TestInvariant05KeyForWhichAnyoneCanSignIsRejected makes signatures without a private
// key: for a key of small order, R = S = 0 times the base point verifies for every
// content, or for one in a few.
func TestInvariant05KeyForWhichAnyoneCanSignIsRejected(t *testing.T) {
	identity := append([]byte{1}, make([]byte, 31)...)
	forged := append(identity, make([]byte, 32)...) // R is the neutral element, S is 0
	for _, text := range smallOrder {
		for _, sign := range []byte{0, 0x80} {
			key, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			key[31] |= sign
			accepted := 0 // of an order of 8, one in eight
			for i := range 200 {
				if ed25519.Verify(key, fmt.Append(nil, i), forged) {
					accepted++
				}
			}
			if accepted == 0 {
				t.Errorf("no signature could be forged for %x", key)
			}
			for name, written := range map[string]string{
				"hex": hex.EncodeToString(key), "base64": base64.StdEncoding.EncodeToString(key), "PEM": pemOf(t, ed25519.PublicKey(key)),
				"JWK": `{"kty":"OKP","crv":"Ed25519","x":"` + base64.RawURLEncoding.EncodeToString(key) + `"}`,
			} {
				if _, err := ParsePublicKey(Ed25519, written); err == nil || !strings.Contains(err.Error(), "anyone can make signatures") {
					t.Errorf("%s of %x, for which %d of 200 contents can be forged: %v", name, key, accepted, err)
				}
			}
			if CheckPublicKey(ed25519.PublicKey(key)) == nil {
				t.Errorf("%x is accepted", key)
			}
		}
	}
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParsePublicKey(Ed25519, hex.EncodeToString(public)); err != nil {
		t.Error(err)
	}
}

func pemOf(t *testing.T, public any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// TestInvariant05PublicKeyIsNoSharedSecret: whoever has the public key could sign.
func TestInvariant05PublicKeyIsNoSharedSecret(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := pemOf(t, private.Public())
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	publics := map[string]string{
		"PEM": text, "PEM without line breaks": strings.ReplaceAll(text, "\n", ""), "PEM in base64": base64.StdEncoding.EncodeToString([]byte(text)),
		"DER in base64": base64.StdEncoding.EncodeToString(der), "a certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
		"an RSA key": "-----BEGIN RSA PUBLIC KEY-----\nAAAA\n-----END RSA PUBLIC KEY-----", "whpk": "whpk_" + base64.StdEncoding.EncodeToString(der[:32]),
		"SSH": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO", "JWK": `{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`,
	}
	for _, algorithm := range []Algorithm{HMACSHA1, HMACSHA256, HMACSHA384, HMACSHA512, SHA256Prefix, SHA1Suffix, SHA256Suffix, Token} {
		for name, written := range publics {
			s := githubScheme()
			s.Algorithm = algorithm
			secret, err := NewSecret(written, "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := newKey(s.Algorithm, s.Key, secret); err == nil {
				t.Errorf("%s: %s is accepted as a secret", algorithm, name)
			}
		}
	}
	for _, secret := range []string{`{"kty":"oct","k":"AAAA"}`, "It's a Secret to Everybody", base64.StdEncoding.EncodeToString(der[:40]), "-----BEGIN of a secret"} {
		if err := CheckShared(secret, []byte(secret)); err != nil {
			t.Errorf("%s: %v", secret, err)
		}
	}
}

func TestEmptyPasswordIsAnError(t *testing.T) {
	for text, want := range map[string]bool{"user:password": true, ":password": true, "user:": false, ":": false, "user: ": false, "user": false} {
		if _, err := newKey(Basic, KeyFormat{}, uncheckedSecret(text)); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}
