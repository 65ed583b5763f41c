package signature

import (
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// Verifier checks requests against one scheme and its secrets. It is safe for
// concurrent use.
type Verifier struct {
	scheme    Scheme
	keys      []*key
	template  *template
	paths     *JSONPaths
	tolerance time.Duration
	coverage  Coverage
	perList   bool // the signed content depends on the signature's list
	wholeJSON bool // the body must be one complete JSON document
	allForm   bool // every field of the form is signed
	slow      bool // see Request.Slow
	inflates  bool // the body is hashed uncompressed
}

const (
	// maxSets limits how often one secret hashes one body.
	maxSets = 4
	// maxRepeated limits the bytes that several Ed25519 signatures of one request
	// hash together, unless max_body is larger. One signature can be of a longer body.
	maxRepeated = 4 << 20
	// maxID and maxEvent are the maximum lengths of an ID and an event type. No
	// provider's is longer; a longer one counts as absent, and the digest is
	// used instead.
	maxID    = 512
	maxEvent = 256
)

// Format implements fmt.Formatter: no verb prints the keys.
func (v *Verifier) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "verifier of %s with %d secrets", v.scheme.Algorithm, len(v.keys))
}

// Coverage returns what the scheme covers.
func (v *Verifier) Coverage() Coverage { return v.coverage }

// Secrets returns the identities of the secrets, in the order of the config.
func (v *Verifier) Secrets() []Identity {
	ids := make([]Identity, len(v.keys))
	for i, k := range v.keys {
		ids[i] = k.identity
	}
	return ids
}

// Present reports whether the request seems to have a signature of this scheme. A
// signature outside a header counts as present.
func (v *Verifier) Present(r *Request) bool {
	f := &v.scheme.Signature
	if f.From != "header" {
		return true
	}
	if !f.severalHeaders() {
		return anyValue(r.Header[f.Name])
	}
	for _, name := range f.headerNames(r) {
		if anyValue(r.Header[name]) {
			return true
		}
	}
	return false
}

func anyValue(values []string) bool {
	for _, value := range values {
		if textproto.TrimString(value) != "" {
			return true
		}
	}
	return false
}

// CheckHeaders refuses a missing or unreadable signature and a stale timestamp, from
// the headers alone. It does not read the body. It sets Slow of the request.
func (v *Verifier) CheckHeaders(r *Request) error {
	if err := v.checkRequired(r); err != nil {
		return err
	}
	if !v.scheme.Signature.inBody() {
		vals := newValues(r, v)
		defer vals.release()
		if err := v.candidates(vals); err != nil {
			return err
		}
	}
	r.Slow = r.Slow || v.slow || (v.inflates && isGzip(r))
	return nil
}

// checkRequired checks headers that must have a fixed value.
func (v *Verifier) checkRequired(r *Request) error {
	for name, want := range v.scheme.Require {
		got, err := headerValue(r.Header, name)
		if err != nil {
			return err
		}
		if got != want {
			return Refuse(Malformed, "the header %s is not %s", name, want)
		}
	}
	return nil
}

// candidates reads the signature lists, decodes the signatures and checks their
// timestamps, unless those are in the body.
func (v *Verifier) candidates(vals *values) error {
	if err := v.scheme.Signature.read(vals); err != nil {
		return err
	}
	if len(vals.lists) == 0 {
		return Refuse(MissingSignature, "missing %s: the request is not from the provider, or no secret is set for the webhook there", v.scheme.Signature.Field)
	}
	total := 0
	for i := range vals.lists {
		list := &vals.lists[i]
		if err := v.decode(vals, list); err != nil {
			return err
		}
		total += len(list.decoded)
	}
	if v.scheme.Algorithm.Asymmetric() && total > maxPublicChecks {
		return Refuse(Malformed, "the %s has more than %d signatures", v.scheme.Signature.Field, maxPublicChecks)
	}
	return nil
}

func (v *Verifier) decode(vals *values, list *signatureList) error {
	if len(list.signatures) == 0 {
		return Refuse(MissingSignature, "the %s has no part %q", v.scheme.Signature.Field, v.scheme.Signature.Element)
	}
	for _, text := range list.signatures {
		start := len(vals.decoded)
		decoded, ok := v.decodeSignature(vals.decoded, text)
		if !ok {
			continue
		}
		vals.decoded = decoded
		list.decoded = append(list.decoded, decoded[start:len(decoded):len(decoded)])
	}
	if len(list.decoded) == 0 {
		return Refuse(Malformed, "the %s is not a signature in %s", v.scheme.Signature.Field, v.scheme.Signature.Encoding)
	}
	if v.scheme.Timestamp == nil || v.scheme.Timestamp.inBody() {
		return nil
	}
	vals.turnTo(list)
	var err error
	list.timestamp, err = v.timestamp(vals)
	return err
}

// decodeSignature appends the bytes of a signature to dst; for algorithms that sign
// nothing, the received text.
func (v *Verifier) decodeSignature(dst []byte, text string) ([]byte, bool) {
	switch v.scheme.Algorithm {
	case Token:
		return append(dst, text...), text != ""
	case Basic:
		encoded, ok := cutBasic(text)
		if !ok {
			return dst, false
		}
		return Base64.decode(dst, encoded)
	}
	encoding, size := v.scheme.Signature.Encoding, v.scheme.Algorithm.signatureSize()
	if size != 0 && len(text) != encoding.encodedLen(size) || len(text) > encoding.encodedLen(maxSignatureSize) {
		return dst, false
	}
	sig, ok := encoding.decode(dst, text)
	return sig, ok && (size == 0 || len(sig)-len(dst) == size)
}

// cutBasic removes the word Basic, in any letter case, from an Authorization header.
func cutBasic(text string) (string, bool) {
	const word = "basic "
	if len(text) < len(word) || !strings.EqualFold(text[:len(word)], word) {
		return "", false
	}
	return strings.TrimLeft(text[len(word):], " "), true
}

// timestamp returns the time of signing, and checks it if it is signed.
func (v *Verifier) timestamp(vals *values) (time.Time, error) {
	f := v.scheme.Timestamp
	text, err := vals.get(f.Field)
	if err != nil {
		return time.Time{}, err
	}
	if text == "" && (f.Optional || !v.coverage.TimestampSigned) {
		return time.Time{}, nil
	}
	if text == "" {
		return time.Time{}, Refuse(Malformed, "missing timestamp: %s", f.Field)
	}
	t, err := parseTimestamp(f.Format, text)
	if !v.coverage.TimestampSigned {
		return t, nil // it has no effect
	}
	if err != nil {
		return time.Time{}, err
	}
	return t, checkFresh(t, vals.req.Now, v.tolerance)
}

// Verify verifies a request with its body. It returns a [Refusal] as error if the
// request is not genuine and fresh.
func (v *Verifier) Verify(r *Request) (*Delivery, error) {
	if r.Body == nil {
		return nil, errors.New("the body has not been read")
	}
	if err := v.checkRequired(r); err != nil {
		return nil, err
	}
	if v.scheme.RefuseEmpty && r.Body.Size() == 0 {
		return nil, Refuse(Malformed, "the body is empty, which the provider never sends")
	}
	if err := v.checkUnsigned(r); err != nil {
		return nil, err
	}
	vals := newValues(r, v)
	defer vals.release()
	if err := v.candidates(vals); err != nil {
		return nil, err
	}
	if err := v.checkRepeated(vals); err != nil {
		return nil, err
	}
	d := &Delivery{}
	d.Matches = d.match[:0]
	for i := range vals.lists {
		if err := v.match(vals, &vals.lists[i], d); err != nil {
			return nil, err
		}
	}
	if len(d.Matches) == 0 {
		return nil, v.unmatched(vals)
	}
	if err := v.checkSigned(r); err != nil {
		return nil, err
	}
	if err := v.describe(vals, d); err != nil {
		return nil, err
	}
	return d, nil
}

// checkRepeated refuses several Ed25519 signatures of a long body, because Ed25519
// hashes the content anew for each of them.
func (v *Verifier) checkRepeated(vals *values) error {
	if v.scheme.Algorithm != Ed25519 || !v.template.hashesText() {
		return nil
	}
	total := 0
	for i := range vals.lists {
		total += len(vals.lists[i].decoded)
	}
	most := max(maxRepeated, vals.req.MaxHashed)
	if needed := vals.req.Body.Size() * int64(total); total > 1 && needed > most {
		return Refuse(Malformed, "the body has %d Ed25519 signatures, and each hashes all of it: if they are the provider's, set max_body to at least %dMiB", total, needed>>20+1)
	}
	return nil
}

// unmatched returns the refusal of a signature that matches no secret.
func (v *Verifier) unmatched(vals *values) error {
	if v.scheme.KeyID == nil || slices.ContainsFunc(v.keys, func(k *key) bool { return k.name == "" }) {
		return Refuse(InvalidSignature, "signature mismatch: the secret differs, or the body was modified in transit")
	}
	id, err := v.keyID(vals)
	switch {
	case err != nil:
		return err
	case id == "":
		return Refuse(InvalidSignature, "missing %s, the provider's key ID", v.scheme.KeyID)
	case !slices.ContainsFunc(v.keys, func(k *key) bool { return k.name == id }):
		return Refuse(InvalidSignature, "the %s contains the key ID %q, and no secret has that label", v.scheme.KeyID, id)
	}
	return Refuse(InvalidSignature, "signature mismatch for the secret with the label in %s: the secret differs, or the body was modified in transit", v.scheme.KeyID)
}

// match tries the secrets on one list. One secret matches at most one signature, so
// the search ends when either is exhausted. If several secrets have signed, all are
// recorded, because each signature alone could be resent later.
func (v *Verifier) match(vals *values, list *signatureList, d *Delivery) error {
	vals.turnTo(list)
	keyID, err := v.keyID(vals)
	if err != nil {
		return err
	}
	before := len(d.Matches)
	for _, k := range v.keys {
		if len(list.decoded) == 0 {
			break
		}
		if v.scheme.KeyID != nil && k.name != "" && k.name != keyID {
			continue
		}
		var digest []byte
		if len(d.Matches) == 0 {
			digest = d.digest[:0]
		}
		digest, i, err := k.verify(v.scheme.Algorithm, v.template, vals, list.decoded, digest)
		if err != nil {
			return err
		}
		if i < 0 {
			continue
		}
		list.decoded = slices.Delete(list.decoded, i, i+1)
		d.Matches = append(d.Matches, Match{Secret: k.identity, Digest: digest})
		d.Timestamp = list.timestamp
	}
	if len(v.keys) == 1 || len(d.Matches) == before {
		return nil
	}
	return v.addContents(vals, d, d.Matches[before:])
}

// addContents adds the digest of the current list's content under every secret.
// matches are those of this list.
func (v *Verifier) addContents(vals *values, d *Delivery, matches []Match) error {
	for _, k := range v.keys {
		i := slices.IndexFunc(matches, func(m Match) bool { return m.Secret == k.identity })
		if i >= 0 {
			d.Contents = append(d.Contents, matches[i])
			continue
		}
		digest, err := k.digest(v.scheme.Algorithm, v.template, vals)
		if err != nil {
			return err
		}
		d.Contents = append(d.Contents, Match{Secret: k.identity, Digest: digest})
	}
	return nil
}

// keyID returns the provider's key ID.
func (v *Verifier) keyID(vals *values) (string, error) {
	if v.scheme.KeyID == nil {
		return "", nil
	}
	return vals.get(*v.scheme.KeyID)
}

// describe fills in ID, event type and timestamp of the delivery.
func (v *Verifier) describe(vals *values, d *Delivery) (err error) {
	d.IDSigned, d.EventSigned, d.TimestampSigned = v.coverage.IDSigned, v.coverage.EventSigned, v.coverage.TimestampSigned
	if d.ID, err = bounded(vals, v.scheme.ID, maxID); err != nil {
		return err
	}
	if d.Event, err = bounded(vals, v.scheme.Event, maxEvent); err != nil {
		return err
	}
	if d.Event != "" && v.scheme.Action != nil {
		action, err := bounded(vals, v.scheme.Action, maxEvent)
		if err != nil {
			return err
		}
		if action != "" {
			d.Event += "." + action
		}
	}
	if v.scheme.Timestamp != nil && v.scheme.Timestamp.inBody() {
		d.Timestamp, err = v.timestamp(vals)
	}
	return err
}

// bounded returns the value of a field that describes the delivery. A value that is
// too long, or invalid in a header, where the app reads it, counts as absent.
func bounded(vals *values, f *Field, limit int) (string, error) {
	if f == nil {
		return "", nil
	}
	text, err := vals.get(*f)
	if err != nil || len(text) > limit || !fitsHeader(text) {
		return "", err
	}
	return text, nil
}

// fitsHeader reports whether text can be the value of a header.
func fitsHeader(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}
