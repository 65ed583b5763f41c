package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
)

// keys are the private keys of the tests, generated once.
var keys = struct {
	ed25519 ed25519.PrivateKey
	ecdsa   *ecdsa.PrivateKey
	p384    *ecdsa.PrivateKey
	rsa     *rsa.PrivateKey
}{
	ed25519: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)),
	ecdsa:   must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
	p384:    must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
	rsa:     must(rsa.GenerateKey(rand.Reader, 2048)),
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// publicPEM encodes the public key of a private key as PEM.
func publicPEM(private crypto.Signer) string {
	der := must(x509.MarshalPKIXPublicKey(private.Public()))
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// bodyScheme returns a scheme with algorithm a for the body, with the signature in
// the header X-Sig.
func bodyScheme(a Algorithm, e Encoding) Scheme {
	return Scheme{Algorithm: a, Signature: SignatureField{Field: inHeader("X-Sig"), Encoding: e}}
}

// sign signs text with algorithm a and its test key.
func sign(a Algorithm, text string) []byte {
	if !a.Asymmetric() {
		m := hmac.New(newHash(a.hash()), []byte("secret"))
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	if a == Ed25519 {
		return ed25519.Sign(keys.ed25519, []byte(text))
	}
	h := a.hash().New()
	h.Write([]byte(text))
	if a == ECDSAP256SHA256 {
		return must(ecdsa.SignASN1(rand.Reader, keys.ecdsa, h.Sum(nil)))
	}
	return must(rsa.SignPKCS1v15(nil, keys.rsa, a.hash(), h.Sum(nil)))
}

func secretFor(a Algorithm) string {
	switch a {
	case Ed25519:
		return publicPEM(keys.ed25519)
	case ECDSAP256SHA256:
		return publicPEM(keys.ecdsa)
	case RSASHA1, RSASHA256, RSASHA512:
		return publicPEM(keys.rsa)
	}
	return "secret"
}

var signing = []Algorithm{HMACSHA1, HMACSHA256, HMACSHA384, HMACSHA512, Ed25519, ECDSAP256SHA256, RSASHA1, RSASHA256, RSASHA512}

func TestEveryAlgorithmAcceptsOnlyItsOwnSignatures(t *testing.T) {
	for _, a := range signing {
		t.Run(string(a), func(t *testing.T) {
			v := compile(t, bodyScheme(a, Base64), secretFor(a))
			genuine := sign(a, "body")
			want(t, v, post("body", "X-Sig", base64Of(genuine)), "")
			want(t, v, post("bodY", "X-Sig", base64Of(genuine)), InvalidSignature)
			for _, other := range signing {
				if other == a {
					continue
				}
				if _, err := v.Verify(post("body", "X-Sig", base64Of(sign(other, "body")))); err == nil {
					t.Errorf("accepts %s", other)
				}
			}
			for i := range genuine {
				altered := bytes.Clone(genuine)
				altered[i] ^= 0x80
				if _, err := v.Verify(post("body", "X-Sig", base64Of(altered))); err == nil {
					t.Fatalf("accepted with byte %d changed", i)
				}
			}
		})
	}
}

func TestEmptyAndOversizeSignaturesAreRefused(t *testing.T) {
	for _, a := range signing {
		v := compile(t, bodyScheme(a, Hex), secretFor(a))
		for _, text := range []string{"00", strings.Repeat("00", maxSignatureSize), strings.Repeat("00", maxSignatureSize+1), strings.Repeat("0", 1<<20)} {
			if _, err := v.Verify(post("body", "X-Sig", text)); err == nil {
				t.Errorf("%s accepts %d zeros", a, len(text))
			}
		}
	}
}

// (r, s) and (r, n-s) are both valid signatures of the same content.
func TestNegatedECDSASignatureGivesTheSameDigest(t *testing.T) {
	v := compile(t, bodyScheme(ECDSAP256SHA256, Base64), secretFor(ECDSAP256SHA256))
	genuine := sign(ECDSAP256SHA256, "body")
	var parts struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(genuine, &parts); err != nil {
		t.Fatal(err)
	}
	parts.S.Sub(elliptic.P256().Params().N, parts.S)
	turned := must(asn1.Marshal(parts))
	a := want(t, v, post("body", "X-Sig", base64Of(genuine)), "")
	b := want(t, v, post("body", "X-Sig", base64Of(turned)), "")
	if !bytes.Equal(a.Matches[0].Digest, b.Matches[0].Digest) {
		t.Error("the digests differ")
	}
}

func TestPublicKeysInEveryFormat(t *testing.T) {
	edDER := must(x509.MarshalPKIXPublicKey(keys.ed25519.Public()))
	edRaw := []byte(keys.ed25519.Public().(ed25519.PublicKey))
	rsaPKCS1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&keys.rsa.PublicKey)}))
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certDER := must(x509.CreateCertificate(rand.Reader, template, template, keys.rsa.Public(), keys.rsa))
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certDER}))
	fingerprints := map[Algorithm]Identity{}
	for _, c := range []struct {
		name string
		a    Algorithm
		text string
	}{
		{"PEM", Ed25519, publicPEM(keys.ed25519)},
		{"PEM with surrounding white space", Ed25519, "\n" + publicPEM(keys.ed25519) + "\n\n"},
		{"base64 of DER", Ed25519, base64Of(edDER)},
		{"hex of the 32 bytes", Ed25519, hexOf(edRaw)},
		{"base64 of the 32 bytes", Ed25519, base64Of(edRaw)},
		{"base64url of the 32 bytes", Ed25519, Base64URL.Encode(edRaw)},
		{"PEM", ECDSAP256SHA256, publicPEM(keys.ecdsa)},
		{"PEM", RSASHA256, publicPEM(keys.rsa)},
		{"PKCS #1", RSASHA256, rsaPKCS1},
		{"certificate", RSASHA256, certificate},
	} {
		t.Run(string(c.a)+" "+c.name, func(t *testing.T) {
			v := compile(t, bodyScheme(c.a, Base64), c.text)
			want(t, v, post("body", "X-Sig", base64Of(sign(c.a, "body"))), "")
			id := v.Secrets()[0]
			if first, seen := fingerprints[c.a]; seen && first != id {
				t.Error("the format changes the fingerprint")
			}
			fingerprints[c.a] = id
		})
	}
}

// brokenPEM returns a PEM block of this kind with invalid content.
func brokenPEM(kind string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("junk")}))
}

func TestInvalidKeysAreConfigErrors(t *testing.T) {
	small := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 511, 1), E: 65537}
	smallPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(small))}))
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(keys.ecdsa))}))
	for name, c := range map[string]struct {
		a    Algorithm
		text string
	}{
		"RSA for ECDSA":      {ECDSAP256SHA256, publicPEM(keys.rsa)},
		"ECDSA for RSA":      {RSASHA256, publicPEM(keys.ecdsa)},
		"Ed25519 for RSA":    {RSASHA512, publicPEM(keys.ed25519)},
		"RSA for Ed25519":    {Ed25519, publicPEM(keys.rsa)},
		"another curve":      {ECDSAP256SHA256, publicPEM(keys.p384)},
		"RSA of 512 bits":    {RSASHA256, smallPEM},
		"a private key":      {ECDSAP256SHA256, private},
		"two keys":           {ECDSAP256SHA256, publicPEM(keys.ecdsa) + publicPEM(keys.ecdsa)},
		"PEM on one line":    {ECDSAP256SHA256, strings.ReplaceAll(publicPEM(keys.ecdsa), "\n", " ")},
		"31 bytes":           {Ed25519, strings.Repeat("00", 31)},
		"33 bytes":           {Ed25519, strings.Repeat("00", 33)},
		"broken PKCS #1":     {RSASHA256, brokenPEM("RSA PUBLIC KEY")},
		"broken certificate": {RSASHA256, brokenPEM("CERTIFICATE")},
		"broken PEM":         {RSASHA256, brokenPEM("PUBLIC KEY")},
		"no key at all":      {Ed25519, "hello, world"},
		"a shared secret":    {RSASHA256, "c2VjcmV0"},
		"basic without user": {Basic, "password"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := bodyScheme(c.a, Hex).Compile(secretsOf(t, c.text), 0); err == nil {
				t.Error("the key is accepted")
			}
		})
	}
}

func TestTokensMustMatchCompletely(t *testing.T) {
	s := bodyScheme(Token, "")
	s.Signature.Prefix = "Bearer "
	v := compile(t, s, "token", "other")
	for header, kind := range map[string]RefusalKind{
		"Bearer token":  "",
		"Bearer other":  "",
		"Bearer toke":   InvalidSignature,
		"Bearer token1": InvalidSignature,
		"Bearer Token":  InvalidSignature,
		"Bearer  token": InvalidSignature,
		"bearer token":  Malformed,
		"Bearer ":       Malformed, // without the trailing space, the prefix is incomplete
		"token":         Malformed,
		"":              MissingSignature,
	} {
		want(t, v, post("body", "X-Sig", header), kind)
	}
	d := want(t, v, post("body", "X-Sig", "Bearer other"), "")
	sum := sha256.Sum256([]byte("body"))
	if d.Matches[0].Secret.Label != "2" || !bytes.Equal(d.Matches[0].Digest, sum[:]) {
		t.Errorf("got %+v", d.Matches)
	}
	if coverage := v.Coverage(); coverage.BodySigned || coverage.IDSigned {
		t.Errorf("a token signs nothing, but the coverage is %+v", coverage)
	}
}

func TestBasicCredentialsHaveOneEncoding(t *testing.T) {
	v := compile(t, bodyScheme(Basic, ""), "user:password")
	for header, kind := range map[string]RefusalKind{
		"Basic dXNlcjpwYXNzd29yZA==":   "",
		"basic dXNlcjpwYXNzd29yZA==":   "",
		"Basic dXNlcjpwYXNzd29yZA":     Malformed,
		"Basic dXNlcjpwYXNzd29yZB==":   Malformed,
		"Basic dXNlcjpw\nYXNzd29yZA==": Malformed,
		"Basic dXNlcjpwYXNzd29yZDE=":   InvalidSignature,
		"Basic Og==":                   InvalidSignature,
		"Bearer dXNlcjpwYXNzd29yZA==":  Malformed,
		"Basic":                        Malformed,
	} {
		t.Run(header, func(t *testing.T) { want(t, v, post("body", "X-Sig", header), kind) })
	}
}
