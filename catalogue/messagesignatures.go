package catalogue

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// messageSignatures verifies HTTP Message Signatures. The RFC does not fix what a
// signature covers, so the config does. The body counts as covered only if
// content-digest is covered and matches the recomputed digest.
// https://www.rfc-editor.org/rfc/rfc9421
type messageSignatures struct {
	keys       []messageKey
	components []string
	tolerance  time.Duration
}

// messageKey is a key with its algorithm. The request cannot choose the algorithm.
type messageKey struct {
	id        string
	algorithm string
	secret    []byte
	public    crypto.PublicKey
	identity  signature.Identity
}

const maxMessageSignatures = 4

// defaultComponents must be covered if the config names none.
var defaultComponents = []string{"@method", "@target-uri", "content-digest"}

func newMessageSignatures(m *provider.Module) (provider.Verifier, error) {
	v := &messageSignatures{components: m.Resolved().Components, tolerance: time.Duration(m.Tolerance)}
	if len(v.components) == 0 {
		v.components = defaultComponents
	}
	if v.tolerance == 0 {
		v.tolerance = signature.DefaultTolerance
	}
	for i, secret := range m.Keys() {
		k, err := newMessageKey(secret)
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		v.keys = append(v.keys, k)
	}
	return v, checkIdentities(v.Secrets())
}

func newMessageKey(secret signature.Secret) (messageKey, error) {
	k := messageKey{id: secret.Label()}
	algorithm, text, ok := strings.Cut(string(secret.Reveal()), ":")
	if !ok || k.id == "" {
		return k, errors.New("missing algorithm or label: write ALGORITHM:KEY, with the key ID as label")
	}
	k.algorithm = algorithm
	var err error
	canonical := text
	switch algorithm {
	case "hmac-sha256":
		k.secret, err = base64.StdEncoding.DecodeString(text)
		if err != nil || len(k.secret) == 0 {
			return k, errors.New("the key is not base64: write hmac-sha256: and the base64 of the key")
		}
		canonical = base64.StdEncoding.EncodeToString(k.secret)
		err = signature.CheckShared(text, k.secret)
	case "ed25519", "ecdsa-p256-sha256", "rsa-v1_5-sha256", "rsa-pss-sha512":
		if k.public, err = signature.ParsePublicKey(publicKeyKind[algorithm], text); err == nil {
			canonical, err = publicKeyText(k.public)
		}
	default:
		err = errors.New("unrecognized algorithm: write hmac-sha256, ed25519, ecdsa-p256-sha256, rsa-v1_5-sha256 or rsa-pss-sha512")
	}
	if err != nil {
		return k, err
	}
	k.identity, err = canonicalIdentity(algorithm+":"+canonical, k.id, 0)
	return k, err
}

var publicKeyKind = map[string]signature.Algorithm{
	"ed25519": signature.Ed25519, "ecdsa-p256-sha256": signature.ECDSAP256SHA256,
	"rsa-v1_5-sha256": signature.RSASHA256, "rsa-pss-sha512": signature.RSASHA512,
}

// messageSignature is one signature of a request.
type messageSignature struct {
	key    *messageKey
	params httpsfv.InnerList
	sig    []byte
}

func (v *messageSignatures) CheckHeaders(r *signature.Request) error {
	_, err := v.read(r)
	return err
}

// read returns the fresh signatures by known keys that cover the required components.
func (v *messageSignatures) read(r *signature.Request) ([]messageSignature, error) {
	if len(r.Header["Signature"]) == 0 || len(r.Header["Signature-Input"]) == 0 {
		return nil, signature.Refuse(signature.MissingSignature, "missing Signature or Signature-Input")
	}
	for _, name := range []string{"Signature", "Signature-Input", "Content-Digest"} {
		if headerSize(r, name) > maxFieldBytes {
			return nil, signature.Refuse(signature.Malformed, "the header %s is longer than %d bytes", name, maxFieldBytes)
		}
	}
	inputs, err := httpsfv.UnmarshalDictionary(r.Header["Signature-Input"])
	if err != nil {
		return nil, signature.Refuse(signature.Malformed, "Signature-Input is not a dictionary")
	}
	sigs, err := httpsfv.UnmarshalDictionary(r.Header["Signature"])
	if err != nil {
		return nil, signature.Refuse(signature.Malformed, "Signature is not a dictionary")
	}
	if len(inputs.Names()) > maxMessageSignatures {
		return nil, signature.Refuse(signature.Malformed, "more than %d signatures", maxMessageSignatures)
	}
	var found []messageSignature
	refusal := signature.Refuse(signature.InvalidSignature, "no signature by a configured key")
	for _, label := range inputs.Names() {
		s, err := v.one(inputs, sigs, label, r.Now)
		if err != nil {
			refusal = err
		} else if s.key != nil {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		return nil, refusal
	}
	return found, nil
}

const (
	// maxFieldBytes is the maximum length of each parsed header, in bytes. A
	// member of two bytes needs hundreds when parsed.
	maxFieldBytes = 6 << 10
	// maxSignatureBase is the maximum length of the signature base, in bytes.
	maxSignatureBase = 64 << 10
)

// headerSize returns the total length of a header's values.
func headerSize(r *signature.Request, name string) int {
	n := 0
	for _, value := range r.Header[name] {
		n += len(value) + 1
	}
	return n
}

func (v *messageSignatures) one(inputs, sigs *httpsfv.Dictionary, label string, now time.Time) (s messageSignature, err error) {
	input, _ := inputs.Get(label)
	member, ok := sigs.Get(label)
	item, isItem := member.(httpsfv.Item)
	list, isList := input.(httpsfv.InnerList)
	if !ok || !isItem || !isList {
		return s, signature.Refuse(signature.Malformed, "missing or invalid signature")
	}
	if s.sig, ok = item.Value.([]byte); !ok {
		return s, signature.Refuse(signature.Malformed, "a signature is not a byte sequence")
	}
	s.params = list
	id, _ := param[string](list.Params, "keyid")
	i := slices.IndexFunc(v.keys, func(k messageKey) bool { return k.id == id })
	if i < 0 {
		return s, nil // a signature by another party, not meant for this endpoint
	}
	s.key = &v.keys[i]
	if alg, ok := param[string](list.Params, "alg"); ok && alg != s.key.algorithm {
		return s, signature.Refuse(signature.InvalidSignature, "the algorithm of the signature does not match the key")
	}
	if err := v.checkFresh(list.Params, now); err != nil {
		return s, err
	}
	return s, v.checkCovered(list)
}

func param[T any](p *httpsfv.Params, name string) (value T, ok bool) {
	if p == nil {
		return value, false
	}
	raw, _ := p.Get(name)
	value, ok = raw.(T)
	return value, ok
}

func (v *messageSignatures) checkFresh(p *httpsfv.Params, now time.Time) error {
	created, ok := param[int64](p, "created")
	if !ok || created <= 0 || created > 1<<36 {
		return signature.Refuse(signature.Malformed, "missing created in the signature")
	}
	age := now.Sub(time.Unix(created, 0))
	if age > v.tolerance || age < -v.tolerance {
		return signature.Refuse(signature.Stale, "signed %s ago, which is more than the tolerance of %s either way", age.Round(time.Second), v.tolerance)
	}
	if expires, ok := param[int64](p, "expires"); ok && now.Unix() > expires {
		return signature.Refuse(signature.Stale, "the signature has expired")
	}
	return nil
}

func (v *messageSignatures) checkCovered(list httpsfv.InnerList) error {
	covered := make(map[string]bool)
	for _, item := range list.Items {
		name, ok := item.Value.(string)
		if !ok || covered[name] || len(item.Params.Names()) > 0 {
			return signature.Refuse(signature.Malformed, "duplicate component, or component with parameters")
		}
		covered[name] = true
	}
	for _, name := range v.components {
		if !covered[name] {
			return signature.Refuse(signature.InvalidSignature, "the signature does not cover %s", name)
		}
	}
	return nil
}

func (v *messageSignatures) Verify(_ context.Context, r *signature.Request) (*signature.Delivery, error) {
	found, err := v.read(r)
	if err != nil {
		return nil, err
	}
	// A nonce identifies a signature, not the delivery: each of several signatures
	// has its own, and an attacker could remove one. So the signed content
	// identifies the delivery, once for every signature.
	d := &signature.Delivery{TimestampSigned: true}
	for _, s := range found {
		base, err := signatureBase(r, s.params)
		if err != nil {
			return nil, err
		}
		if !s.key.signed(base, s.sig) {
			continue
		}
		if err := checkContentDigest(r, s.params); err != nil {
			return nil, err
		}
		digest := sha256.Sum256(base)
		d.Matches = provider.AppendMatches(d.Matches, signature.Match{Secret: s.key.identity, Digest: digest[:]})
		created, _ := param[int64](s.params.Params, "created")
		d.Timestamp = time.Unix(created, 0)
	}
	if len(d.Matches) == 0 {
		return nil, signature.Refuse(signature.InvalidSignature, "signature mismatch: no configured key made a signature")
	}
	return d, nil
}

// signatureBase returns the signature base: a line for each component.
func signatureBase(r *signature.Request, list httpsfv.InnerList) ([]byte, error) {
	var b strings.Builder
	for _, item := range list.Items {
		name := item.Value.(string)
		value, err := component(r, name)
		if err != nil {
			return nil, err
		}
		if b.Len()+len(value) > maxSignatureBase {
			return nil, signature.Refuse(signature.Malformed, "the signature base is longer than %d bytes", maxSignatureBase)
		}
		b.WriteString(`"` + name + `": ` + value + "\n")
	}
	params, err := httpsfv.Marshal(list)
	if err != nil {
		return nil, signature.Refuse(signature.Malformed, "Signature-Input cannot be serialized")
	}
	b.WriteString(`"@signature-params": ` + params)
	return []byte(b.String()), nil
}

// component returns the value of a component: a part of the URL that the provider
// called, or a header.
func component(r *signature.Request, name string) (string, error) {
	if !strings.HasPrefix(name, "@") {
		values := r.Header.Values(name)
		if name == "host" && len(values) == 0 {
			values = []string{r.Host}
		}
		if len(values) == 0 || name != strings.ToLower(name) {
			return "", signature.Refuse(signature.Malformed, "the signature covers the header %s, which is missing", shortened(name))
		}
		if headerSize(r, textproto.CanonicalMIMEHeaderKey(name)) > maxSignatureBase {
			return "", signature.Refuse(signature.Malformed, "a signed header is longer than %d bytes", maxSignatureBase)
		}
		trimmed := make([]string, len(values))
		for i, value := range values {
			trimmed[i] = strings.TrimSpace(value)
		}
		return strings.Join(trimmed, ", "), nil
	}
	if name == "@method" {
		return r.Method, nil
	}
	full := r.URL()
	u, err := url.Parse(full)
	if err != nil {
		return "", signature.Refuse(signature.Malformed, "the URL cannot be parsed")
	}
	_, rest, _ := strings.Cut(full, "://")
	_, target, found := strings.Cut(rest, "/")
	path, query, _ := strings.Cut("/"+target, "?")
	if !found {
		path = "/"
	}
	switch name {
	case "@target-uri":
		return full, nil
	case "@authority":
		return authority(u), nil
	case "@scheme":
		return u.Scheme, nil
	case "@request-target":
		return "/" + target, nil
	case "@path":
		return path, nil
	case "@query":
		return "?" + query, nil
	}
	return "", signature.Refuse(signature.Malformed, "the signature covers %q, which is not supported", shortened(name))
}

// authority returns the host in lower case, without the default port of the scheme.
func authority(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		return strings.TrimSuffix(host, ":443")
	default:
		return strings.TrimSuffix(host, ":80")
	}
}

func (k *messageKey) signed(base, sig []byte) bool {
	switch k.algorithm {
	case "hmac-sha256":
		h := hmac.New(sha256.New, k.secret)
		h.Write(base)
		return subtle.ConstantTimeCompare(h.Sum(nil), sig) == 1
	case "ed25519":
		return ed25519.Verify(k.public.(ed25519.PublicKey), base, sig)
	case "ecdsa-p256-sha256":
		sum := sha256.Sum256(base)
		return len(sig) == 64 && ecdsa.Verify(k.public.(*ecdsa.PublicKey), sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	case "rsa-v1_5-sha256":
		sum := sha256.Sum256(base)
		return rsa.VerifyPKCS1v15(k.public.(*rsa.PublicKey), crypto.SHA256, sum[:], sig) == nil
	default:
		sum := sha512.Sum512(base)
		return rsa.VerifyPSS(k.public.(*rsa.PublicKey), crypto.SHA512, sum[:], sig, &rsa.PSSOptions{SaltLength: 64}) == nil
	}
}

// checkContentDigest recomputes the digest of the body if a signature covers
// Content-Digest (RFC 9530).
func checkContentDigest(r *signature.Request, list httpsfv.InnerList) error {
	if !slices.ContainsFunc(list.Items, func(i httpsfv.Item) bool { return i.Value == "content-digest" }) {
		return nil
	}
	digests, err := httpsfv.UnmarshalDictionary(r.Header["Content-Digest"])
	if err != nil {
		return signature.Refuse(signature.Malformed, "Content-Digest is not a dictionary")
	}
	checked := 0
	for name, newHash := range map[string]func() hash.Hash{"sha-256": sha256.New, "sha-512": sha512.New} {
		member, ok := digests.Get(name)
		if !ok {
			continue
		}
		item, _ := member.(httpsfv.Item)
		want, isBytes := item.Value.([]byte)
		h := newHash()
		if _, err := r.Body.WriteTo(h); err != nil {
			return fmt.Errorf("rereading body: %w", err)
		}
		if !isBytes || subtle.ConstantTimeCompare(h.Sum(nil), want) != 1 {
			return signature.Refuse(signature.InvalidSignature, "the body does not match Content-Digest")
		}
		checked++
	}
	if checked == 0 {
		return signature.Refuse(signature.Malformed, "Content-Digest has neither sha-256 nor sha-512")
	}
	return nil
}

func (v *messageSignatures) Coverage() signature.Coverage {
	return signature.Coverage{
		HasTimestamp: true, TimestampSigned: true,
		BodySigned: slices.Contains(v.components, "content-digest"),
		URLSigned:  slices.Contains(v.components, "@target-uri"),
		Tolerance:  v.tolerance,
	}
}

func (v *messageSignatures) Secrets() []signature.Identity {
	var ids []signature.Identity
	for _, k := range v.keys {
		ids = append(ids, k.identity)
	}
	return ids
}
