package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"
)

// Algorithm is the algorithm of a signature.
type Algorithm string

// The algorithms.
const (
	HMACSHA1        Algorithm = "hmac-sha1"
	HMACSHA256      Algorithm = "hmac-sha256"
	HMACSHA384      Algorithm = "hmac-sha384"
	HMACSHA512      Algorithm = "hmac-sha512"
	Ed25519         Algorithm = "ed25519"
	ECDSAP256SHA256 Algorithm = "ecdsa-p256-sha256" // ASN.1 DER signature
	RSASHA1         Algorithm = "rsa-sha1"          // PKCS #1 v1.5
	RSASHA256       Algorithm = "rsa-sha256"        // PKCS #1 v1.5
	RSASHA512       Algorithm = "rsa-sha512"        // PKCS #1 v1.5
	// SHA256Prefix hashes the secret and then the content, without HMAC: an
	// attacker with one signature can extend the content and sign the result.
	SHA256Prefix Algorithm = "sha256-prefix"
	// SHA1Suffix and SHA256Suffix hash the content and then the secret, without
	// HMAC: two contents with the same hash have the same signature.
	SHA1Suffix   Algorithm = "sha1-suffix"
	SHA256Suffix Algorithm = "sha256-suffix"
	Token        Algorithm = "token"
	Basic        Algorithm = "basic"
)

func (a Algorithm) check() error {
	switch a {
	case HMACSHA1, HMACSHA256, HMACSHA384, HMACSHA512, Ed25519, ECDSAP256SHA256, RSASHA1, RSASHA256, RSASHA512, SHA256Prefix, SHA1Suffix, SHA256Suffix, Token, Basic:
		return nil
	case "":
		return errors.New("missing algorithm: write, for example, hmac-sha256")
	}
	return fmt.Errorf("unrecognized algorithm: %q; write hmac-sha1, hmac-sha256, hmac-sha384, hmac-sha512, ed25519, ecdsa-p256-sha256, rsa-sha1, rsa-sha256, rsa-sha512, sha256-prefix, sha1-suffix, sha256-suffix, token or basic", string(a))
}

// Asymmetric reports whether the operator configures a public key, which is not
// secret.
func (a Algorithm) Asymmetric() bool {
	switch a {
	case Ed25519, ECDSAP256SHA256, RSASHA1, RSASHA256, RSASHA512:
		return true
	}
	return false
}

// hash returns the hash function of the algorithm.
func (a Algorithm) hash() crypto.Hash {
	switch a {
	case HMACSHA1, RSASHA1, SHA1Suffix:
		return crypto.SHA1
	case HMACSHA384:
		return crypto.SHA384
	case HMACSHA512, RSASHA512:
		return crypto.SHA512
	default:
		return crypto.SHA256
	}
}

// slow reports whether the algorithm hashes with SHA-512 or SHA-384, which take
// more than twice as long as SHA-256.
func (a Algorithm) slow() bool {
	return a == Ed25519 || a.hash() == crypto.SHA512 || a.hash() == crypto.SHA384
}

func newHash(h crypto.Hash) func() hash.Hash {
	switch h {
	case crypto.SHA1:
		return sha1.New
	case crypto.SHA384:
		return sha512.New384
	case crypto.SHA512:
		return sha512.New
	default:
		return sha256.New
	}
}

// signatureSize is the exact length of a signature in bytes, 0 if it varies.
func (a Algorithm) signatureSize() int {
	switch a {
	case HMACSHA1, HMACSHA256, HMACSHA384, HMACSHA512, SHA256Prefix, SHA1Suffix, SHA256Suffix:
		return a.hash().Size()
	case Ed25519:
		return ed25519.SignatureSize
	}
	return 0
}

const (
	// maxSignatureSize is that of RSA with 16384 bits, the largest supported.
	maxSignatureSize = 2048
	// maxPublicChecks limits how many signatures of one request are checked
	// with a public key. Each costs as much as thousands of comparisons, and
	// no provider sends more than two or three, during a rotation.
	maxPublicChecks = 8
)

// key is one secret prepared for one algorithm.
type key struct {
	identity Identity
	name     string // the label that the operator gave it, if any
	pairName string // the name before the key in the secret
	raw      []byte // of a keyed hash, because it can be part of the signed content
	// states pools *state: hash states keyed with this secret. A keyed HMAC
	// that is reset starts from its saved inner and outer states, which
	// saves two compressions and five allocations for every delivery.
	states sync.Pool
	public crypto.PublicKey // asymmetric algorithms
	token  [sha256.Size]byte
}

// state is the state of one HMAC computation.
type state struct {
	hash    hash.Hash
	scratch []byte
	sum     []byte
}

func newKey(a Algorithm, format KeyFormat, secret Secret) (*key, error) {
	k := &key{identity: secret.Identity()}
	switch {
	case a.Asymmetric():
		public, err := parsePublicKey(a, secret, format)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			return nil, fmt.Errorf("writing public key: %w", err)
		}
		k.public, k.identity.Fingerprint = public, fingerprint(der)
	case a == Token || a == Basic:
		_, password, found := strings.Cut(string(secret.Reveal()), ":")
		if a == Basic && (!found || strings.TrimSpace(password) == "") {
			return nil, errors.New("for basic the secret is user:password")
		}
		if err := CheckShared(string(secret.Reveal()), nil); err != nil {
			return nil, err
		}
		k.token = sha256.Sum256(secret.Reveal())
	default:
		raw, err := format.Decode(secret)
		if err != nil {
			return nil, err
		}
		plain := newHash(a.hash())
		makeHash := func() hash.Hash { return hmac.New(plain, raw) }
		switch a {
		case SHA256Prefix:
			makeHash = func() hash.Hash { return &prefixHash{plain(), raw} }
		case SHA1Suffix, SHA256Suffix:
			makeHash = func() hash.Hash { return &suffixHash{plain(), raw} }
		}
		k.states.New = func() any { return &state{hash: makeHash()} }
		k.raw, k.pairName, k.identity.Fingerprint = raw, format.name(secret), fingerprint(raw)
	}
	return k, nil
}

// prefixHash prepends a secret to every content.
type prefixHash struct {
	hash.Hash
	secret []byte
}

// Reset starts a new content.
func (h *prefixHash) Reset() {
	h.Hash.Reset()
	_, _ = h.Write(h.secret) // hashes do not fail
}

// suffixHash appends a secret to every content.
type suffixHash struct {
	hash.Hash
	secret []byte
}

// Sum ends the content; Reset starts the next one.
func (h *suffixHash) Sum(dst []byte) []byte {
	_, _ = h.Write(h.secret) // hashes do not fail
	return h.Hash.Sum(dst)
}

// ParsePublicKey reads a public key for an asymmetric algorithm: PEM, a JSON Web
// Key, base64 of DER (SubjectPublicKeyInfo), or, for Ed25519, the 32 bytes in hex or base64.
func ParsePublicKey(a Algorithm, text string) (crypto.PublicKey, error) {
	return parsePublicKey(a, uncheckedSecret(text), KeyFormat{})
}

// parsePublicKey reads a public key: PEM, a JSON Web Key, base64 of DER
// (SubjectPublicKeyInfo), or, for Ed25519, the 32 bytes in hex or base64.
func parsePublicKey(a Algorithm, secret Secret, format KeyFormat) (crypto.PublicKey, error) {
	text := strings.TrimSpace(string(secret.Reveal()))
	if len(text) > maxKeyText {
		return nil, fmt.Errorf("a public key of %d bytes is too long: at most %d", len(text), maxKeyText)
	}
	if rest, found := strings.CutPrefix(text, format.Prefix); found {
		text = rest
	} else if format.PrefixRequired {
		return nil, fmt.Errorf("the public key must start with %s", format.Prefix)
	}
	if strings.HasPrefix(text, "-----BEGIN ") {
		return parsePEM(a, text)
	}
	if strings.HasPrefix(text, "{") {
		return parseJWK(a, text)
	}
	der, err := hex.DecodeString(text)
	if err != nil {
		der, err = decodeKeyBase64(strings.Join(strings.Fields(text), ""))
	}
	if err != nil {
		return nil, errors.New("the public key is neither PEM, JSON Web Key, hex nor base64: copy it again from the provider")
	}
	if a == Ed25519 && len(der) == ed25519.PublicKeySize {
		return checkPublicKey(a, ed25519.PublicKey(der))
	}
	if a == Ed25519 && len(der) < 40 {
		return nil, fmt.Errorf("the public key has %d bytes, but an Ed25519 key has %d: copy the complete Public Key from the provider, not a token or an ID", len(der), ed25519.PublicKeySize)
	}
	return parsePKIX(a, der)
}

// parsePEM reads a single PEM block. It refuses several, because some would be
// ignored.
func parsePEM(a Algorithm, text string) (crypto.PublicKey, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the public key is not well-formed PEM: copy it again from the provider, with its line breaks")
	}
	if strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("text after the public key: write each key as a separate secret")
	}
	switch block.Type {
	case "PUBLIC KEY":
		return parsePKIX(a, block.Bytes)
	case "RSA PUBLIC KEY":
		public, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing public key: %w: copy it again from the provider", err)
		}
		return checkPublicKey(a, public)
	case "CERTIFICATE":
		cert, err := ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return checkPublicKey(a, cert.PublicKey)
	}
	return nil, fmt.Errorf("a PEM block %q is not a public key: copy the public key from the provider", block.Type)
}

func parsePKIX(a Algorithm, der []byte) (crypto.PublicKey, error) {
	public, err := ParsePKIX(der)
	if err != nil {
		return nil, fmt.Errorf("%w: copy it again from the provider", err)
	}
	return checkPublicKey(a, public)
}

// checkPublicKey checks that the type of a key matches the algorithm.
func checkPublicKey(a Algorithm, public crypto.PublicKey) (crypto.PublicKey, error) {
	if err := CheckPublicKey(public); err != nil {
		return nil, err
	}
	ok := false
	switch p := public.(type) {
	case ed25519.PublicKey:
		ok = a == Ed25519
	case *ecdsa.PublicKey:
		ok = a == ECDSAP256SHA256 && p.Curve == elliptic.P256()
	case *rsa.PublicKey:
		ok = a == RSASHA1 || a == RSASHA256 || a == RSASHA512
	}
	if !ok {
		return nil, fmt.Errorf("the public key is a %T, which does not match %s: copy the key of this algorithm, or write the algorithm of the key", public, a)
	}
	return public, nil
}

// verify finds the candidate that signs what t writes: matched is its index, -1 for
// none. It appends the digest of the signed content to dst.
func (k *key) verify(a Algorithm, t *template, v *values, candidates [][]byte, dst []byte) (digest []byte, matched int, err error) {
	if a == Token || a == Basic {
		return k.verifyToken(v, candidates, dst)
	}
	if a.Asymmetric() {
		return k.verifyPublic(a, t, v, candidates, dst)
	}
	v.key = k
	st := k.states.Get().(*state)
	defer k.states.Put(st)
	st.hash.Reset()
	if st.scratch, err = t.write(st.hash, v, st.scratch); err != nil {
		return dst, -1, err
	}
	st.sum = st.hash.Sum(st.sum[:0])
	for i, candidate := range candidates {
		if subtle.ConstantTimeCompare(st.sum, candidate) == 1 {
			return append(dst, st.sum...), i, nil
		}
	}
	return dst, -1, nil
}

// digest returns the digest that verify returns if this key has signed.
func (k *key) digest(a Algorithm, t *template, v *values) ([]byte, error) {
	if a == Token || a == Basic {
		sum, err := v.bodySHA256()
		return slices.Clone(sum), err
	}
	if a.Asymmetric() {
		signed, err := v.signedContent(a, t)
		return slices.Clone(digestOf(a, signed)), err
	}
	v.key = k
	st := k.states.Get().(*state)
	defer k.states.Put(st)
	st.hash.Reset()
	var err error
	if st.scratch, err = t.write(st.hash, v, st.scratch); err != nil {
		return nil, err
	}
	return st.hash.Sum(nil), nil
}

// digestOf returns the digest of the input of a public key check: the input itself,
// if it is a hash, or that of the content, which Ed25519 signs.
func digestOf(a Algorithm, signed []byte) []byte {
	if a != Ed25519 {
		return signed
	}
	sum := sha256.Sum256(signed)
	return sum[:]
}

// verifyPublic checks with a public key. The signed content does not depend on the
// key, so it is written once for all keys.
func (k *key) verifyPublic(a Algorithm, t *template, v *values, candidates [][]byte, dst []byte) ([]byte, int, error) {
	signed, err := v.signedContent(a, t)
	if err != nil {
		return dst, -1, err
	}
	for i, candidate := range candidates {
		if !k.signed(a, signed, candidate) {
			continue
		}
		return append(dst, digestOf(a, signed)...), i, nil
	}
	return dst, -1, nil
}

func (k *key) signed(a Algorithm, signed, candidate []byte) bool {
	switch public := k.public.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(public, signed, candidate)
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(public, signed, candidate)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, a.hash(), signed, candidate) == nil
	}
	return false
}

// verifyToken compares tokens in constant time, whatever their lengths.
// Nothing is signed; only the body distinguishes deliveries.
func (k *key) verifyToken(v *values, candidates [][]byte, dst []byte) ([]byte, int, error) {
	for i, candidate := range candidates {
		sent := sha256.Sum256(candidate)
		if subtle.ConstantTimeCompare(sent[:], k.token[:]) != 1 {
			continue
		}
		sum, err := v.bodySHA256()
		return append(dst, sum...), i, err
	}
	return dst, -1, nil
}
