package signature

import (
	"encoding/base64"
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
	traits    Traits
	perList   bool // what is signed depends on the signature's own list
}

const (
	// maxSets bounds how often one secret hashes one body.
	maxSets = 4
	// maxID and maxEvent bound what counts as an ID or an event type. No
	// provider's is longer; a longer one counts as absent, and the digest
	// stands in for it.
	maxID    = 512
	maxEvent = 256
)

// Traits says what the scheme covers.
func (v *Verifier) Traits() Traits { return v.traits }

// Secrets returns the identities of the secrets, in the order of the config.
func (v *Verifier) Secrets() []Identity {
	ids := make([]Identity, len(v.keys))
	for i, k := range v.keys {
		ids[i] = k.identity
	}
	return ids
}

// Present tells whether the request carries what looks like a signature of
// this scheme. A signature that stands in the body counts as present.
func (v *Verifier) Present(r *Request) bool {
	if v.scheme.Signature.From != "header" {
		return true
	}
	for _, name := range v.scheme.Signature.headerNames(r) {
		for _, value := range r.Header[name] {
			if strings.TrimSpace(value) != "" {
				return true
			}
		}
	}
	return false
}

// CheckHeaders refuses what the headers alone give away: no signature, one
// that cannot be read, a stale timestamp. It does not touch the body.
func (v *Verifier) CheckHeaders(r *Request) error {
	if err := v.checkRequired(r); err != nil {
		return err
	}
	if v.scheme.Signature.inBody() {
		return nil
	}
	_, err := v.candidates(&values{req: r, paths: v.paths}, true)
	return err
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

// candidateList is the signatures of one list, decoded.
type candidateList struct {
	elements   elements
	signatures [][]byte
	timestamp  time.Time
}

// candidates reads the signature lists, decodes the signatures and checks the
// timestamps that go with them. headersOnly leaves out what is in the body.
func (v *Verifier) candidates(vals *values, headersOnly bool) ([]candidateList, error) {
	lists, err := v.scheme.Signature.read(vals)
	if err != nil {
		return nil, err
	}
	if len(lists) == 0 {
		return nil, Refuse(MissingSignature, "no %s: the sender is not the provider, or the webhook has no secret there", v.scheme.Signature.Field)
	}
	if !v.perList {
		lists = merge(lists)
	}
	if len(lists) > maxSets {
		return nil, Refuse(Malformed, "more than %d signature lists", maxSets)
	}
	out := make([]candidateList, 0, len(lists))
	for _, list := range lists {
		c, err := v.decode(vals, list, headersOnly)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// merge joins lists that sign the same content.
func merge(lists []elements) []elements {
	for _, list := range lists[1:] {
		lists[0].named = append(lists[0].named, list.named...)
		lists[0].signatures = append(lists[0].signatures, list.signatures...)
	}
	return lists[:1]
}

func (v *Verifier) decode(vals *values, list elements, headersOnly bool) (candidateList, error) {
	c := candidateList{elements: list}
	vals.elements = list
	if len(list.signatures) == 0 {
		return c, Refuse(MissingSignature, "the %s has no part %q", v.scheme.Signature.Field, v.scheme.Signature.Element)
	}
	for _, text := range list.signatures {
		if sig, ok := v.decodeSignature(text); ok {
			c.signatures = append(c.signatures, sig)
		}
	}
	if len(c.signatures) == 0 {
		return c, Refuse(Malformed, "the %s is not a signature in %s", v.scheme.Signature.Field, v.scheme.Signature.Encoding)
	}
	if v.scheme.Timestamp == nil || (headersOnly && v.scheme.Timestamp.inBody()) {
		return c, nil
	}
	var err error
	c.timestamp, err = v.timestamp(vals)
	return c, err
}

// decodeSignature returns the bytes of a signature; for the algorithms that
// sign nothing, the text that was sent.
func (v *Verifier) decodeSignature(text string) ([]byte, bool) {
	switch v.scheme.Algorithm {
	case Token:
		return []byte(text), text != ""
	case Basic:
		encoded, ok := cutBasic(text)
		if !ok {
			return nil, false
		}
		credentials, err := base64.StdEncoding.DecodeString(encoded)
		return credentials, err == nil
	}
	size := v.scheme.Algorithm.signatureSize()
	if size != 0 && len(text) != v.scheme.Signature.Encoding.encodedLen(size) {
		return nil, false
	}
	sig, ok := v.scheme.Signature.Encoding.decode(make([]byte, 0, size), text)
	return sig, ok && (size == 0 || len(sig) == size)
}

// cutBasic takes the word Basic, in any case, off an Authorization header.
func cutBasic(text string) (string, bool) {
	const word = "basic "
	if len(text) < len(word) || !strings.EqualFold(text[:len(word)], word) {
		return "", false
	}
	return strings.TrimSpace(text[len(word):]), true
}

// timestamp reads the time of signing, and checks it if it is signed.
func (v *Verifier) timestamp(vals *values) (time.Time, error) {
	f := v.scheme.Timestamp
	text, err := vals.get(f.Field)
	if err != nil {
		return time.Time{}, err
	}
	if text == "" && (f.Optional || !v.traits.TimestampSigned) {
		return time.Time{}, nil
	}
	if text == "" {
		return time.Time{}, Refuse(Malformed, "no timestamp (%s)", f.Field)
	}
	t, err := parseTimestamp(f.Format, text)
	if !v.traits.TimestampSigned {
		return t, nil // nothing rests on it
	}
	if err != nil {
		return time.Time{}, err
	}
	return t, checkFresh(t, vals.req.Now, v.tolerance)
}

// Verify checks a request with its body. It returns a [Refusal] as error if
// the request is not genuine and fresh.
func (v *Verifier) Verify(r *Request) (*Delivery, error) {
	if err := v.checkRequired(r); err != nil {
		return nil, err
	}
	if v.scheme.RefuseEmpty && r.Body.Size() == 0 {
		return nil, Refuse(Malformed, "the body is empty, which the provider never sends")
	}
	vals := &values{req: r, paths: v.paths}
	bodyTime := v.scheme.Timestamp != nil && v.scheme.Timestamp.inBody()
	lists, err := v.candidates(vals, bodyTime)
	if err != nil {
		return nil, err
	}
	d := &Delivery{}
	for i := range lists {
		if err := v.match(vals, &lists[i], d); err != nil {
			return nil, err
		}
	}
	if len(d.Matches) == 0 {
		return nil, Refuse(InvalidSignature, "no configured secret made this signature: another secret, or the body was changed on its way")
	}
	return d, v.describe(vals, d, bodyTime)
}

// match tries the secrets on one list. One secret matches one signature at
// the most, so that the search ends when either has run out. Where several
// secrets have signed, all are recorded: each signature alone could be sent
// again later.
func (v *Verifier) match(vals *values, list *candidateList, d *Delivery) error {
	vals.elements = list.elements
	remaining := list.signatures
	keyID, err := v.keyID(vals)
	if err != nil {
		return err
	}
	for _, k := range v.keys {
		if len(remaining) == 0 {
			return nil
		}
		if v.scheme.KeyID != nil && k.name != "" && k.name != keyID {
			continue
		}
		digest, i, err := v.verifyKey(k, vals, remaining)
		if err != nil {
			return err
		}
		if i < 0 {
			continue
		}
		remaining = append(remaining[:i:i], remaining[i+1:]...)
		d.Matches = append(d.Matches, Match{Secret: k.identity, Digest: digest})
		d.Timestamp = list.timestamp
	}
	return nil
}

// keyID returns the provider's name of the secret that it signed with.
func (v *Verifier) keyID(vals *values) (string, error) {
	if v.scheme.KeyID == nil {
		return "", nil
	}
	return vals.get(*v.scheme.KeyID)
}

func (v *Verifier) verifyKey(k *key, vals *values, candidates [][]byte) ([]byte, int, error) {
	if !v.scheme.signsNothing() {
		return k.verify(v.scheme.Algorithm, v.template, vals, candidates)
	}
	for i, c := range candidates {
		if k.knows(string(c)) {
			// Nothing is signed; the body is what there is to tell
			// deliveries apart.
			sum, err := vals.variable("body_sha256")
			return []byte(sum), i, err
		}
	}
	return nil, -1, nil
}

// describe fills in what the delivery says of itself.
func (v *Verifier) describe(vals *values, d *Delivery, bodyTime bool) (err error) {
	d.IDSigned, d.EventSigned, d.TimestampSigned = v.traits.IDSigned, v.traits.EventSigned, v.traits.TimestampSigned
	if v.scheme.ID != nil {
		if d.ID, err = bounded(vals, *v.scheme.ID, maxID); err != nil {
			return err
		}
	}
	if v.scheme.Event != nil {
		if d.Event, err = bounded(vals, *v.scheme.Event, maxEvent); err != nil {
			return err
		}
	}
	if d.Event != "" && v.scheme.Action != nil {
		action, err := bounded(vals, *v.scheme.Action, maxEvent)
		if err != nil {
			return err
		}
		if action != "" {
			d.Event += "." + action
		}
	}
	if bodyTime {
		d.Timestamp, err = v.timestamp(vals)
	}
	return err
}

func bounded(vals *values, f Field, limit int) (string, error) {
	text, err := vals.get(f)
	if err != nil || len(text) > limit {
		return "", err
	}
	return text, nil
}
