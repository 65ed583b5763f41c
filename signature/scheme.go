package signature

import (
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Scheme is how a provider signs, as data. The presets are values of this type, and
// the `custom` provider fills one in from the config.
type Scheme struct {
	// `hmac-sha1`, `hmac-sha256`, `hmac-sha384`, `hmac-sha512`, `ed25519`,
	// `ecdsa-p256-sha256`, `rsa-sha1`, `rsa-sha256`, `rsa-sha512`,
	// `sha256-prefix` (the hash of secret and content: weak), `sha1-suffix` and
	// `sha256-suffix` (the hash of content and secret: weak), `token` (the
	// secret itself is sent) or `basic` (HTTP Basic; the secret is
	// user:password). A request cannot choose another one. Required.
	Algorithm Algorithm `json:"algorithm,omitempty"`
	// How the text of a secret is decoded to the bytes of a key. Default: the
	// text is the key.
	Key KeyFormat `json:"key,omitzero"`
	// Where the signature is and how it is encoded. Required.
	Signature SignatureField `json:"signature,omitzero"`
	// What is signed: literal text and {variables}. Default: `{body}`.
	Signed string `json:"signed,omitempty"`
	// When the delivery was signed. Checked only if the signature covers it.
	// Default: none.
	Timestamp *TimestampField `json:"timestamp,omitempty"`
	// The delivery ID, the same on every retry. Default: none; deliveries are
	// identified by their content.
	ID *Field `json:"id,omitempty"`
	// The event type. Default: none.
	Event *Field `json:"event,omitempty"`
	// The action, such as `created`, if it is separate from the event type. It
	// is joined to the event type with a dot. Default: none.
	Action *Field `json:"action,omitempty"`
	// Where the provider sends its key ID. A secret with a label is used only
	// if the label is that ID. The ID need not be signed: it can only narrow
	// the choice. Default: none.
	KeyID *Field `json:"key_id,omitempty"`
	// Headers that must have a given value. Default: none.
	Require map[string]string `json:"require,omitempty"`
	// Reject an empty body, because the provider never sends one.
	// Default: false.
	RefuseEmpty bool `json:"refuse_empty,omitempty"`
	// The requests that are signed in this way, if the provider signs others
	// differently. Default: all.
	When *Condition `json:"when,omitempty"`
	// The signed form fields are the whole body: a body with any other field is
	// rejected, and so is a query with a parameter of that name. The body counts as
	// signed if only one field is, and nothing beside it can take a part of it.
	// Default: false; the body counts as unsigned.
	WholeForm bool `json:"whole_form,omitempty"`
	// Reject a request with a body, because the provider signs requests without
	// one. Default: false.
	NoBody bool `json:"no_body,omitempty"`
	// Reject a body that is not one complete JSON object or array. This is
	// always checked if the signed content does not determine where the body
	// begins, as in `{url}{body}`, and another option reads JSON.
	// Default: false.
	JSONBody bool `json:"json_body,omitempty"`
	// Parameters that the query must not have, in any spelling, because the app
	// could read them instead of the signed ones. Default: none.
	RefuseQuery []string `json:"refuse_query,omitempty"`
	// The requests with which the provider checks the URL, and how they are
	// answered. Default: none.
	Handshakes []Handshake `json:"handshakes,omitempty"`
	// ValuesCoverBody: the {value.NAME} of the signed content cover the whole
	// body. Only code can guarantee this, so it is not in the config.
	ValuesCoverBody bool `json:"-"`
	// ValuesCover are further fields that they cover.
	ValuesCover []Field `json:"-"`
	// OptionalValue is the NAME of a {value.NAME} that can be empty.
	OptionalValue string `json:"-"`
}

// signsNothing reports whether the algorithm sends the secret instead of a signature.
func (s *Scheme) signsNothing() bool {
	return s.Algorithm == Token || s.Algorithm == Basic
}

// Accepts reports whether a secret can belong to this scheme, by its prefix.
func (s *Scheme) Accepts(secret Secret) bool { return s.Key.matches(secret) }

// canonical returns a copy with canonical header names and defaults filled in.
func (s Scheme) canonical() Scheme {
	header := func(f Field) Field {
		if f.From == "header" {
			f.Name = textproto.CanonicalMIMEHeaderKey(f.Name)
		}
		return f
	}
	s.Signature.Field = header(s.Signature.Field)
	also := make([]string, len(s.Signature.Also))
	for i, name := range s.Signature.Also {
		also[i] = textproto.CanonicalMIMEHeaderKey(name)
	}
	s.Signature.Also = also
	if s.Signature.Encoding == "" {
		s.Signature.Encoding = Hex
	}
	if s.Timestamp != nil {
		t := *s.Timestamp
		t.Field = header(t.Field)
		s.Timestamp = &t
	}
	if s.ID != nil {
		f := header(*s.ID)
		s.ID = &f
	}
	for _, p := range []**Field{&s.Event, &s.Action, &s.KeyID} {
		if *p != nil {
			f := header(**p)
			*p = &f
		}
	}
	cover := make([]Field, len(s.ValuesCover))
	for i, f := range s.ValuesCover {
		cover[i] = header(f)
	}
	s.ValuesCover = cover
	if s.Signed == "" && !s.signsNothing() {
		s.Signed = "{body}"
	}
	if len(s.Require) > 0 {
		require := make(map[string]string, len(s.Require))
		for name, want := range s.Require {
			require[textproto.CanonicalMIMEHeaderKey(name)] = want
		}
		s.Require = require
	}
	return s
}

func (s *Scheme) check() error {
	if err := s.Algorithm.check(); err != nil {
		return err
	}
	if err := s.Key.check(); err != nil {
		return err
	}
	if err := s.Signature.check(); err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	if s.WholeForm && !strings.Contains(s.Signed, "{form.") {
		return errors.New("whole_form: no field of a form is signed: write, for example, signed {form.payload}")
	}
	if s.NoBody && (s.WholeForm || s.JSONBody || s.RefuseEmpty) {
		return errors.New("no_body conflicts with whole_form, json_body and refuse_empty: remove it, or those")
	}
	if err := s.When.check(); err != nil {
		return err
	}
	if s.signsNothing() && s.Signed != "" {
		return fmt.Errorf("algorithm %s signs nothing: remove the signed content", s.Algorithm)
	}
	if s.Timestamp != nil {
		if err := s.Timestamp.check(); err != nil {
			return fmt.Errorf("timestamp: %w", err)
		}
	}
	for _, named := range []struct {
		what string
		f    *Field
	}{{"id", s.ID}, {"event", s.Event}, {"action", s.Action}, {"key_id", s.KeyID}} {
		if named.f == nil {
			continue
		}
		if err := named.f.check(); err != nil {
			return fmt.Errorf("%s: %w", named.what, err)
		}
	}
	for i := range s.Handshakes {
		if err := s.Handshakes[i].check(); err != nil {
			return fmt.Errorf("handshake: %w", err)
		}
	}
	for name := range s.Require {
		if !isToken(name) {
			return fmt.Errorf("require: invalid header name: %q; write, for example, X-Version", name)
		}
	}
	return nil
}

// fields returns the fields of the scheme besides signature and timestamp.
func (s *Scheme) fields() []Field {
	var fields []Field
	for _, f := range []*Field{s.ID, s.Event, s.Action, s.KeyID} {
		if f != nil {
			fields = append(fields, *f)
		}
	}
	return fields
}

// checkElement: elements are parts of a list, and signatures are not elements.
func (s *Scheme) checkElement(f Field) error {
	if f.From != "element" {
		return nil
	}
	if !s.Signature.list() {
		return fmt.Errorf("%s: the signature is not a list: write its separator, for example: separator ,", f)
	}
	if f.Name == s.Signature.Element {
		return fmt.Errorf("%s: that element is the signature itself: write the name of another element", f)
	}
	return nil
}

// Check returns the error of an invalid scheme, independent of the secrets.
func (s Scheme) Check() error {
	s = s.canonical()
	if err := s.check(); err != nil {
		return err
	}
	return (&Verifier{scheme: s}).prepare()
}

// Compile combines the scheme with secrets. tolerance replaces the scheme's own
// unless it is 0; it is at most 366 days. Secrets of another scheme
// ([Scheme.Accepts]), no secrets, and duplicate keys, however they are encoded, are
// errors.
func (s Scheme) Compile(secrets []Secret, tolerance time.Duration) (*Verifier, error) {
	s = s.canonical()
	if err := s.check(); err != nil {
		return nil, err
	}
	if len(secrets) == 0 {
		return nil, errors.New("missing secret: write one after the provider's name, or as `secret` in its block")
	}
	if tolerance < 0 || tolerance > maxTolerance {
		return nil, fmt.Errorf("tolerance %s is not between 1s and %s: write, for example, tolerance 5m", tolerance, maxTolerance)
	}
	v := &Verifier{scheme: s, tolerance: tolerance}
	for i, secret := range secrets {
		k, err := newKey(s.Algorithm, s.Key, secret)
		if err != nil {
			return nil, err
		}
		for _, other := range v.keys {
			if k.identity.Fingerprint == other.identity.Fingerprint {
				return nil, errors.New("duplicate secret: remove one")
			}
		}
		k.name = k.identity.Label
		if k.identity.Label == "" {
			k.identity.Label = strconv.Itoa(i + 1)
		}
		v.keys = append(v.keys, k)
	}
	if err := v.prepare(); err != nil {
		return nil, err
	}
	return v, nil
}

// prepare precomputes what does not depend on the request.
func (v *Verifier) prepare() error {
	s := &v.scheme
	var err error
	if v.template, err = parseTemplate(s.Signed, s); err != nil {
		return err
	}
	if !s.signsNothing() && v.template.constant() {
		return errors.New("the signed content is the same for every delivery: write what is signed, for example signed {body}")
	}
	var paths []string
	addField := func(f Field) {
		if elementErr := s.checkElement(f); elementErr != nil {
			err = elementErr
		}
		if f.From == "json" {
			paths = append(paths, f.Name)
		}
		v.perList = v.perList || f.From == "element"
	}
	v.template.fields(addField)
	for _, f := range append(s.fields(), s.Signature.Field) {
		addField(f)
	}
	v.wholeJSON = s.JSONBody || (v.template.open && slices.ContainsFunc(s.fields(), func(f Field) bool { return f.From == "json" }))
	if v.template.open && !v.wholeJSON {
		v.template.raw = false // the boundaries of its fields are ambiguous
	}
	v.allForm = s.WholeForm || v.template.has(func(p part) bool { return p.name == "form_sorted" })
	several := v.perList && (s.Signature.Repeated || s.Signature.SetSeparator != "" || s.Signature.severalHeaders())
	v.slow = v.template.hashesForm() || ((s.Algorithm.slow() || several) && v.template.hashesText())
	v.inflates = v.template.has(func(p part) bool { return p.name == "body_inflated" })
	v.coverage = Coverage{BodySigned: v.bodySigned(), URLSigned: v.template.target}
	if s.ID != nil {
		v.coverage.HasID, v.coverage.IDSigned = true, v.template.covers(*s.ID)
	}
	if s.Event != nil {
		v.coverage.HasEvent, v.coverage.EventSigned = true, v.template.covers(*s.Event) && (s.Action == nil || v.template.covers(*s.Action))
	}
	if s.Timestamp != nil {
		addField(s.Timestamp.Field)
		v.coverage.HasTimestamp, v.coverage.TimestampSigned = true, v.template.covers(s.Timestamp.Field)
		if v.tolerance == 0 {
			v.tolerance = time.Duration(s.Timestamp.Tolerance) * time.Second
		}
		if v.tolerance == 0 {
			v.tolerance = DefaultTolerance
		}
	}
	v.coverage.Tolerance = v.tolerance
	if err != nil {
		return err
	}
	v.paths, err = NewJSONPaths(paths)
	return err
}

// bodySigned reports whether the signature covers the whole body. If bytes can move
// between the body and something beside it, the app could get another body.
func (v *Verifier) bodySigned() bool {
	s := &v.scheme
	return (v.template.body && (!v.template.open || v.wholeJSON)) || (s.WholeForm && !v.template.openForm) || s.NoBody
}

// Covers returns what the scheme covers, like a [Verifier] of it; the zero value for
// an invalid scheme.
func (s Scheme) Covers() Coverage {
	v := &Verifier{scheme: s.canonical()}
	if err := v.scheme.check(); err != nil {
		return Coverage{}
	}
	if err := v.prepare(); err != nil {
		return Coverage{}
	}
	return v.coverage
}

// Coverage is what a scheme covers.
type Coverage struct {
	HasID, IDSigned               bool
	HasEvent, EventSigned         bool
	HasTimestamp, TimestampSigned bool
	BodySigned                    bool
	// URLSigned: the URL is part of the signed content.
	URLSigned bool
	// Tolerance of the signed timestamp, 0 without one.
	Tolerance time.Duration
	// Lifetime is how long a copy can be accepted after the delivery, if it is
	// not limited by the tolerance: tokens expire. 0: unknown.
	Lifetime time.Duration
}

// MinWindow is the minimum time for which a handled delivery must be remembered, so
// that no copy of it is accepted later. 0: no time is signed.
func (t Coverage) MinWindow() time.Duration { return max(2*t.Tolerance, t.Lifetime) }
