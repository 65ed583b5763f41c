package catalogue

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// tokenRules describe how a provider signs with a JSON Web Token.
type tokenRules struct {
	// header contains the token, after prefix. If it is empty, the body is the token.
	header, prefix string
	// algorithms are the accepted algorithms. They are all of one kind.
	algorithms []jose.SignatureAlgorithm
	// detached means that the token is a signature of the body, with an empty payload.
	detached *detachedRules
	// keys finds the key that a token names. If it is nil, the secrets are the keys,
	// and each is tried.
	keys func(m *provider.Module) (keySource, error)
	// public means that the secrets are RSA public keys.
	public bool
	// checkTime checks a time in a header and fills in the delivery.
	checkTime func(r *signature.Request, tolerance time.Duration, d *signature.Delivery) error
	// check checks the claims and fills in the delivery.
	check func(m *provider.Module, r *signature.Request, c claims, d *signature.Delivery) error
	// digest returns the digest of the content if that is not the payload of the
	// token.
	digest   func(m *provider.Module, r *signature.Request, payload []byte) ([]byte, error)
	coverage signature.Coverage
	// id and event are JSON paths in the body. They can be empty.
	id, event string
	// eventHeader is the unsigned header with the event type.
	eventHeader string
}

// keySource finds public keys.
type keySource interface {
	// find returns the key with this ID and its identity. A Refusal means that there
	// is no such key.
	find(ctx context.Context, id string, now time.Time) (any, signature.Identity, error)
	identities() []signature.Identity
}

// tokenVerifier verifies deliveries with a JSON Web Token.
type tokenVerifier struct {
	module    *provider.Module
	rules     *tokenRules
	shared    []codeKey
	source    keySource
	paths     *signature.JSONPaths
	tolerance time.Duration
}

// byToken returns the Code of a preset with these rules.
func byToken(rules tokenRules) func(*provider.Module) (provider.Verifier, error) {
	return func(m *provider.Module) (provider.Verifier, error) {
		v := &tokenVerifier{module: m, rules: &rules, tolerance: time.Duration(m.Tolerance)}
		if v.tolerance == 0 {
			v.tolerance = rules.coverage.Tolerance
		}
		var err error
		switch {
		case rules.keys != nil:
			v.source, err = rules.keys(m)
		case rules.public:
			v.shared, err = publicKeys(m)
		default:
			v.shared, err = codeKeys(m, signature.KeyFormat{})
			for i := range v.shared {
				v.shared[i].use = padded(v.shared[i].bytes)
			}
		}
		if err != nil {
			return nil, err
		}
		var paths []string
		for _, path := range []string{rules.id, rules.event} {
			if path != "" {
				paths = append(paths, path)
			}
		}
		v.paths, err = signature.NewJSONPaths(paths)
		return v, err
	}
}

// padded extends a key with zeros, as HMAC does with every key shorter than a block.
// The library requires keys as long as the hash, but the provider sets their length.
func padded(key []byte) []byte {
	return append(key, make([]byte, max(0, 64-len(key)))...)
}

const (
	// maxToken is the maximum length of a token in a header, in bytes. The header
	// limit of net/http is larger.
	maxToken = 8 << 10
	// maxTokenHeader is the maximum length of a token's header in base64url, in bytes.
	// Providers name an algorithm and a key in it. The library decodes every member
	// into a value of its own, twice, and parses keys and certificates.
	maxTokenHeader = 2 << 10
)

// token returns the token of a request.
func (v *tokenVerifier) token(r *signature.Request) (string, error) {
	if v.rules.header == "" {
		return bodyToken(r)
	}
	text, err := oneHeader(r, v.rules.header)
	if err != nil {
		return "", err
	}
	if len(text) > maxToken || len(text) < len(v.rules.prefix) || !strings.EqualFold(text[:len(v.rules.prefix)], v.rules.prefix) {
		return "", signature.Refuse(signature.Malformed, "missing or too long token in the header %s", v.rules.header)
	}
	return canonicalToken(strings.TrimSpace(text[len(v.rules.prefix):]))
}

// bodyToken returns the token in the body.
func bodyToken(r *signature.Request) (string, error) {
	if r.Body.Size() == 0 {
		return "", signature.Refuse(signature.MissingSignature, "empty body: expected a token")
	}
	body, err := wholeBody(r)
	if err != nil {
		return "", err
	}
	return canonicalToken(strings.TrimRight(string(body), "\r\n"))
}

// parse parses a token. Only the provider's algorithms are accepted.
func (v *tokenVerifier) parse(text string) (*parsedToken, error) {
	if strings.IndexByte(text[:min(len(text), maxTokenHeader+1)], '.') < 0 {
		return nil, signature.Refuse(signature.Malformed, "the token is malformed, or its header is longer than %d bytes", maxTokenHeader)
	}
	if v.rules.header == "" {
		return parseBodyToken(text, v.rules.algorithms)
	}
	var jws *jose.JSONWebSignature
	var err error
	if v.rules.detached != nil {
		jws, err = jose.ParseDetached(text, []byte{}, v.rules.algorithms)
	} else {
		jws, err = jose.ParseSignedCompact(text, v.rules.algorithms)
	}
	if err != nil || len(jws.Signatures) != 1 {
		return nil, errBadToken
	}
	return &parsedToken{jws: jws, payload: jws.UnsafePayloadWithoutVerification()}, nil
}

func (v *tokenVerifier) CheckHeaders(r *signature.Request) error {
	if v.rules.header == "" {
		return nil
	}
	text, err := v.token(r)
	if err == nil {
		_, err = v.parse(text)
	}
	if err == nil && v.rules.checkTime != nil {
		err = v.rules.checkTime(r, v.tolerance, new(signature.Delivery))
	}
	return err
}

func (v *tokenVerifier) Verify(ctx context.Context, r *signature.Request) (*signature.Delivery, error) {
	text, err := v.token(r)
	if err != nil {
		return nil, err
	}
	if v.rules.detached != nil && r.Body.Size() == 0 {
		return nil, signature.Refuse(signature.Malformed, "the body is empty")
	}
	token, err := v.parse(text)
	if err != nil {
		return nil, err
	}
	t := v.rules.coverage
	d := &signature.Delivery{IDSigned: t.IDSigned, EventSigned: t.EventSigned, TimestampSigned: t.TimestampSigned}
	if v.rules.checkTime != nil {
		if err := v.rules.checkTime(r, v.tolerance, d); err != nil {
			return nil, err
		}
	}
	if v.source != nil {
		// Check first what needs no key: anyone can send key IDs that cause fetches.
		// The claims are verified next.
		if err := v.checkClaims(r, token.payload, d); err != nil {
			return nil, err
		}
	}
	payload, identity, err := v.open(ctx, r, token, text)
	if err != nil {
		return nil, err
	}
	if v.source == nil {
		if err := v.checkClaims(r, payload, d); err != nil {
			return nil, err
		}
	}
	if err := v.describe(r, d); err != nil {
		return nil, err
	}
	digest, err := v.digest(r, payload)
	d.Matches = []signature.Match{{Secret: identity, Digest: digest}}
	return d, err
}

// open verifies the signature and returns the signed content.
func (v *tokenVerifier) open(ctx context.Context, r *signature.Request, token *parsedToken, text string) ([]byte, signature.Identity, error) {
	try := func(key any) ([]byte, error) {
		if v.rules.detached != nil {
			return nil, v.rules.detached.verify(r, text, token.jws, key)
		}
		return token.verify(key)
	}
	if v.source != nil {
		key, identity, err := v.source.find(ctx, token.jws.Signatures[0].Header.KeyID, r.Now)
		if err != nil {
			return nil, identity, err
		}
		payload, err := try(key)
		if err == nil {
			return payload, identity, nil
		}
		if _, refused := errors.AsType[*signature.Refusal](err); refused || errors.Is(err, errBodyRead) {
			return nil, identity, err
		}
	}
	for _, k := range v.shared {
		if payload, err := try(k.use); err == nil {
			return payload, k.identity, nil
		}
	}
	return nil, signature.Identity{}, signature.Refuse(signature.InvalidSignature, "signature mismatch: no configured key signed the token")
}

func (v *tokenVerifier) checkClaims(r *signature.Request, payload []byte, d *signature.Delivery) error {
	if v.rules.check == nil {
		return nil
	}
	c := claims{tolerance: v.tolerance}
	var err error
	if c.values, err = readClaims(payload); err != nil {
		return err
	}
	return v.rules.check(v.module, r, c, d)
}

// describe reads ID and event type from the body.
func (v *tokenVerifier) describe(r *signature.Request, d *signature.Delivery) error {
	if v.rules.eventHeader != "" {
		d.Event = eventIn(r, v.rules.eventHeader)
	}
	if v.rules.id == "" && v.rules.event == "" {
		return nil
	}
	found, err := v.paths.Find(r.Body)
	if err != nil {
		return fmt.Errorf("rereading body: %w", err)
	}
	if v.rules.id != "" {
		d.ID, found = found[0], found[1:]
	}
	if v.rules.event != "" {
		d.Event = found[0]
	}
	return nil
}

// maxEventHeader is the maximum length of an event type in a header, in bytes.
const maxEventHeader = 256

// eventIn returns the event type in a header, or "" unless it occurs once.
func eventIn(r *signature.Request, name string) string {
	values := r.Header.Values(name)
	if len(values) != 1 || len(values[0]) > maxEventHeader {
		return ""
	}
	return strings.TrimSpace(values[0])
}

// digest returns the digest of the token's payload, or of the content that the rules
// define.
func (v *tokenVerifier) digest(r *signature.Request, payload []byte) ([]byte, error) {
	switch {
	case v.rules.digest != nil:
		return v.rules.digest(v.module, r, payload)
	case v.rules.detached != nil:
		return bodyDigest(r)
	}
	sum := sha256.Sum256(payload)
	return sum[:], nil
}

// bodyContent is for tokens that do not identify a delivery: the body does.
func bodyContent(_ *provider.Module, r *signature.Request, _ []byte) ([]byte, error) {
	return bodyDigest(r)
}

func bodyDigest(r *signature.Request) ([]byte, error) {
	h := sha256.New()
	if _, err := r.Body.WriteTo(h); err != nil {
		return nil, fmt.Errorf("rereading body: %w", err)
	}
	return h.Sum(nil), nil
}

func (v *tokenVerifier) Coverage() signature.Coverage {
	t := v.rules.coverage
	t.Tolerance = v.tolerance
	if t.Lifetime > 0 {
		t.Lifetime += v.tolerance // expired tokens are accepted within it
	}
	return t
}

func (v *tokenVerifier) Secrets() []signature.Identity {
	if v.source != nil {
		return v.source.identities()
	}
	return identities(v.shared)
}

// claims are the claims of a token, as written.
type claims struct {
	values    map[string][]byte
	tolerance time.Duration
}

const (
	// maxClaims is the maximum number of claims. Providers use about ten.
	maxClaims = 256
	// maxClaimName is the length of the longest name that is kept, in bytes. No claim
	// that is checked has a longer one.
	maxClaimName = 64
	// maxNumberText is the maximum length of a number in a claim, in bytes.
	maxNumberText = 32
)

// readClaims finds the claims of a token that may be unverified: in one pass, and
// without decoding their values. A duplicate name is refused.
func readClaims(payload []byte) (map[string][]byte, error) {
	w := jsonWalk{buf: payload}
	if c, _ := w.token(); c != '{' || checkNames(payload, names{}) != nil {
		return nil, signature.Refuse(signature.Malformed, "the token contains no claims, or duplicate ones")
	}
	values := make(map[string][]byte)
	for written, value := range jsonMembers(payload) {
		if len(values) == maxClaims {
			return nil, signature.Refuse(signature.Malformed, "the token contains more than %d claims", maxClaims)
		}
		if len(written) > longestEscape*maxClaimName {
			continue
		}
		if name, ok := jsonString(written, true); ok {
			values[name] = value
		}
	}
	return values, nil
}

// has reports whether there is a claim of this name.
func (c claims) has(name string) bool { return c.values[name] != nil }

// isTrue reports whether a claim is true.
func (c claims) isTrue(name string) bool { return string(c.values[name]) == "true" }

// text returns a claim that is a string.
func (c claims) text(name string) string {
	text, _ := jsonString(c.values[name], false)
	return text
}

// time returns a claim that is a time, in seconds since 1970.
func (c claims) time(name string) (time.Time, bool) {
	number := c.values[name]
	if len(number) > maxNumberText {
		return time.Time{}, false
	}
	text, _, _ := strings.Cut(string(number), ".")
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds <= 0 || seconds > 1<<36 {
		return time.Time{}, false
	}
	return time.Unix(seconds, 0), true
}

// checkAge refuses a token whose time of issue is missing or outside the tolerance.
func (c claims) checkAge(now time.Time, d *signature.Delivery) error {
	issued, ok := c.time("iat")
	if !ok {
		return signature.Refuse(signature.Malformed, "missing iat in the token")
	}
	if age := now.Sub(issued); age > c.tolerance || age < -c.tolerance {
		return signature.Refuse(signature.Stale, "the token was issued %s ago, which is more than the tolerance of %s either way", age.Round(time.Second), c.tolerance)
	}
	d.Timestamp = issued
	return nil
}

// checkValidity refuses a token that has expired, is not valid yet, or has no expiry.
func (c claims) checkValidity(now time.Time, leeway time.Duration) error {
	expires, ok := c.time("exp")
	if !ok {
		return signature.Refuse(signature.Malformed, "missing exp in the token")
	}
	if now.After(expires.Add(leeway)) {
		return signature.Refuse(signature.Stale, "the token expired %s ago", now.Sub(expires).Round(time.Second))
	}
	for _, name := range []string{"nbf", "iat"} {
		if from, ok := c.time(name); ok && now.Before(from.Add(-leeway)) {
			return signature.Refuse(signature.Stale, "the token is valid in %s: check the clock of this machine", from.Sub(now).Round(time.Second))
		}
	}
	return nil
}

// checkLifetime is checkValidity for tokens whose copies are accepted until they
// expire. The expiry must not exceed the window.
func (c claims) checkLifetime(now time.Time, leeway time.Duration) error {
	if expires, ok := c.time("exp"); ok && expires.Sub(now) >= tokenLifetime {
		return signature.Refuse(signature.Malformed, "the lifetime of the token is longer than the provider's")
	}
	return c.checkValidity(now, leeway)
}

// checkBodyBase64 compares the body with a claim that contains its SHA-256 in base64.
func (c claims) checkBodyBase64(name string, r *signature.Request) error {
	digest, err := bodyDigest(r)
	if err != nil {
		return err
	}
	return checkClaimed(c.text(name), base64.StdEncoding.Strict().DecodeString, digest, "body")
}

// checkBody compares the body with a claim that contains its SHA-256 in hex.
func (c claims) checkBody(name string, r *signature.Request) error {
	digest, err := bodyDigest(r)
	if err != nil {
		return err
	}
	return c.checkHex(name, digest, "body")
}

func (c claims) checkHex(name string, want []byte, what string) error {
	return checkClaimed(c.text(name), hex.DecodeString, want, what)
}

// checkClaimed compares the hash in a claim with that of the request.
func checkClaimed(text string, decode func(string) ([]byte, error), want []byte, what string) error {
	got, err := decode(text)
	switch {
	case text == "":
		return signature.Refuse(signature.Malformed, "missing %s hash in the token", what)
	case err != nil || subtle.ConstantTimeCompare(got, want) != 1:
		return signature.Refuse(signature.InvalidSignature, "the %s does not match the hash in the token", what)
	}
	return nil
}
