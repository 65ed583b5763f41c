package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"
)

// rsaKey returns a public key with this number of bits, whose modulus is some odd
// number.
func rsaKey(bits, exponent int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: exponent}
}

// TestUnsupportedKeysAreRefused checks keys in every format. They are refused
// before their first use: one operation with an RSA key of 65,536 bits takes half a
// second.
func TestUnsupportedKeysAreRefused(t *testing.T) {
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		key  crypto.PublicKey
		ok   bool
	}{
		{"RSA, 1023 bits", rsaKey(1023, 65537), false},
		{"RSA, 1024 bits", rsaKey(1024, 65537), true},
		{"RSA, 2048 bits", rsaKey(2048, 65537), true},
		{"RSA, 8192 bits", rsaKey(8192, 3), true},
		{"RSA, 8193 bits", rsaKey(8193, 65537), false},
		{"RSA, 65536 bits", rsaKey(65536, 65537), false},
		{"RSA, exponent 1", rsaKey(2048, 1), false},
		{"RSA, exponent 2", rsaKey(2048, 2), false},
		{"RSA, even exponent", rsaKey(2048, 65536), false},
		{"P-521", p521.Public(), false},
		{"P-224", p224.Public(), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := CheckPublicKey(c.key); (err == nil) != c.ok {
				t.Errorf("checkKey: %v", err)
			}
			der, err := x509.MarshalPKIXPublicKey(c.key)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParsePKIX(der); (err == nil) != c.ok {
				t.Errorf("as PKIX: %v", err)
			}
			public, ok := c.key.(*rsa.PublicKey)
			if !ok {
				return
			}
			jwk, _ := json.Marshal(map[string]string{"kty": "RSA", "n": base64.RawURLEncoding.EncodeToString(public.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(public.E)).Bytes())})
			for spelling, text := range map[string]string{
				"PEM":       string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
				"PKCS #1":   string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(public)})),
				"DER":       base64.StdEncoding.EncodeToString(der),
				"JWK":       string(jwk),
				"X.509 PEM": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate(t, c.key, 1)})),
			} {
				if _, err := ParsePublicKey(RSASHA256, text); (err == nil) != c.ok {
					t.Errorf("as %s: %v", spelling, err)
				}
			}
		})
	}
	if CheckPublicKey(ed25519.PublicKey(make([]byte, 31))) == nil || CheckPublicKey("text") == nil {
		t.Error("another value is accepted as a key")
	}
}

func TestCertificatesWithManyNamesAreRefused(t *testing.T) {
	for names, ok := range map[int]bool{1: true, 100: true, 101: false, 2000: false} {
		if _, err := ParseCertificate(certificate(t, rsaKey(2048, 3), names)); (err == nil) != ok {
			t.Errorf("%d names: %v", names, err)
		}
	}
}

// certificate returns a certificate for a key with this number of names.
func certificate(t *testing.T, key crypto.PublicKey, names int) []byte {
	t.Helper()
	issuer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotAfter: time.Unix(2e9, 0)}
	for i := range names {
		template.DNSNames = append(template.DNSNames, fmt.Sprintf("%d.test", i))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key, issuer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
