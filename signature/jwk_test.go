package signature

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"
)

func TestPublicKeysAsJSONWebKeys(t *testing.T) {
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	factors, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	point, err := curve.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	okp := fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q}`, text(edwards))
	ec := fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, text(point[1:33]), text(point[33:]))
	rsaKey := fmt.Sprintf(`{"kty":"RSA","n":%q,"e":%q}`, text(factors.N.Bytes()), text(big.NewInt(int64(factors.E)).Bytes()))
	for _, c := range []struct {
		name      string
		algorithm Algorithm
		text      string
		mistake   string
	}{
		{"Ed25519", Ed25519, okp, ""},
		{"P-256", ECDSAP256SHA256, ec, ""},
		{"RSA", RSASHA256, rsaKey, ""},
		{"for another algorithm", Ed25519, ec, "does not match ed25519"},
		{"private", Ed25519, strings.Replace(okp, "{", `{"d":"AA",`, 1), "private"},
		{"symmetric", Ed25519, `{"kty":"oct","k":"AA"}`, "unsupported"},
		{"off the curve", ECDSAP256SHA256, strings.Replace(ec, text(point[33:]), text(point[1:33]), 1), "not a point"},
		{"short", Ed25519, `{"kty":"OKP","crv":"Ed25519","x":"AA"}`, "32 bytes"},
		{"truncated", Ed25519, okp[:20], "well-formed"},
	} {
		public, err := ParsePublicKey(c.algorithm, c.text)
		switch {
		case c.mistake != "" && (err == nil || !strings.Contains(err.Error(), c.mistake)):
			t.Errorf("%s: got %v", c.name, err)
		case c.mistake == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.mistake == "" && !edwards.Equal(public) && !curve.PublicKey.Equal(public) && !factors.PublicKey.Equal(public):
			t.Errorf("%s: a different key was read", c.name)
		}
	}
}
