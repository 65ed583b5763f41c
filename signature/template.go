package signature

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"slices"
	"strings"
)

// A template is the signed content: literal text and {variables}.
//
//	{body}               the body, byte for byte
//	{body_base64}        the body in base64
//	{body_sha256}        its SHA-256, 32 raw bytes; {body_sha256_hex} in hex and
//	                     {body_sha256_base64} in base64
//	{body_escaped}       the body, escaped as a JSON string, as JSON.stringify does
//	{body_inflated}      the body, uncompressed if its Content-Encoding is gzip
//	{timestamp} {id}     as received, from their fields
//	{method} {url}       {url} is the URL that the provider calls
//	{path} {query} {host}
//	{request_target}     path and query, as in the request line
//	{header.NAME} {element.NAME} {query.NAME} {form.NAME} {json.PATH}
//	{form_sorted}        name and value of every form field, sorted by name,
//	                     without separators
//	{value.NAME}         computed by the provider's own code
//	{key} {key_name}     the current key, and its name (key encoding pair)
//	{lf}                 a line feed
type template struct {
	parts []part
	// covered: which fields the signature covers.
	covered map[Field]bool
	body    bool // the body is covered, in whole
	raw     bool // … as its own bytes, and so is every field in it
	open    bool // … but its boundaries in the content are ambiguous
	// openForm: the boundaries of the signed form fields are ambiguous.
	openForm bool
	query    bool // the query is covered
	target   bool // the URL, or a part of it, is covered
}

type part struct {
	literal string
	name    string // a variable other than a field
	field   Field
	guard   string // text that the field must not contain
	// mayBeEmpty: the computed value can be empty.
	mayBeEmpty bool
	// short: the field is an ID or a timestamp, so that it is not hashed if it is long.
	short bool
}

const templateVariables = "body, body_base64, body_sha256, body_sha256_hex, body_sha256_base64, body_escaped, body_inflated, form_sorted, timestamp, id, method, url, request_target, path, query, host, key, key_name, lf, header.NAME, element.NAME, query.NAME, form.NAME, json.PATH"

func parseTemplate(text string, s *Scheme) (*template, error) {
	t := &template{covered: make(map[Field]bool)}
	for text != "" {
		open := strings.IndexByte(text, '{')
		if open != 0 {
			if open < 0 {
				open = len(text)
			}
			t.addLiteral(text[:open])
			text = text[open:]
			continue
		}
		end := strings.IndexByte(text, '}')
		if end < 0 {
			return nil, errors.New("the signed content has a { without a }: write the name of a variable between them, for example {body}")
		}
		if err := t.addVariable(text[1:end], s); err != nil {
			return nil, err
		}
		text = text[end+1:]
	}
	t.setGuards(s)
	t.open, t.openForm = t.bodyIsOpen(s), t.formIsOpen(s)
	t.dropOpen(s)
	return t, nil
}

func (t *template) addLiteral(text string) {
	if n := len(t.parts); n > 0 && t.parts[n-1].literal != "" {
		t.parts[n-1].literal += text
		return
	}
	t.parts = append(t.parts, part{literal: text})
}

func (t *template) addVariable(name string, s *Scheme) error {
	switch name {
	case "lf":
		t.addLiteral("\n")
		return nil
	case "body", "body_base64", "body_sha256", "body_sha256_hex", "body_sha256_base64", "body_escaped":
		t.body, t.raw = true, true
	case "body_inflated":
		t.body = true
	case "form_sorted":
		// The boundaries of its fields are ambiguous: they can be changed.
	case "url", "query", "request_target":
		t.query, t.target = true, true
	case "path", "host":
		t.target = true
	case "method":
	case "key", "key_name":
		if s.Algorithm.Asymmetric() || s.signsNothing() {
			return fmt.Errorf("the signed content has {%s}, which %s does not support: remove it", name, s.Algorithm)
		}
		if name == "key_name" && s.Key.Encoding != "pair" {
			return errors.New("the signed content has {key_name}, which requires keys with a name: write key pair")
		}
	default:
		f, err := templateField(name, s)
		if err != nil {
			return err
		}
		t.covered[f] = true
		if f.From == "value" {
			t.coverValues(s)
		}
		t.parts = append(t.parts, part{field: f, mayBeEmpty: f.From == "value" && f.Name == s.OptionalValue, short: s.isID(f) || s.isTimestamp(f)})
		return nil
	}
	t.parts = append(t.parts, part{name: name})
	return nil
}

// coverValues records what the {value.NAME} cover.
func (t *template) coverValues(s *Scheme) {
	if s.ValuesCoverBody {
		t.body, t.raw = true, true
	}
	for _, f := range s.ValuesCover {
		t.covered[f] = true
	}
}

// templateField returns the field of a variable.
func templateField(name string, s *Scheme) (Field, error) {
	switch name {
	case "timestamp":
		if s.Timestamp == nil {
			return Field{}, errors.New("the signed content has {timestamp}, but the scheme has no timestamp: write, for example, timestamp header X-Timestamp")
		}
		return s.Timestamp.Field, nil
	case "id":
		if s.ID == nil {
			return Field{}, errors.New("the signed content has {id}, but the scheme has no ID: write, for example, id header X-Delivery-Id")
		}
		return *s.ID, nil
	}
	from, rest, ok := strings.Cut(name, ".")
	f := Field{From: from, Name: rest}
	if !ok || f.check() != nil {
		return Field{}, fmt.Errorf("unrecognized variable in the signed content: {%s}; write one of %s", name, templateVariables)
	}
	if from == "header" {
		f.Name = textproto.CanonicalMIMEHeaderKey(rest)
	}
	return f, nil
}

// setGuards ensures that the boundaries of the ID and the timestamp in the signed
// content are unambiguous. Otherwise one signature is valid for several readings:
// "a" + ".1.x" and "a.1" + ".x" have the same signature. The value before them must
// therefore not contain the separator. If an ID has no separator, the signature does
// not cover it, and deliveries are also distinguished by their digest.
func (t *template) setGuards(s *Scheme) {
	last := -1
	for i, p := range t.parts {
		if s.isID(p.field) || s.isTimestamp(p.field) {
			last = i
		}
	}
	for i := range t.parts[:last+1] {
		// A computed value can contain anything, so it has no guard, and an ID
		// after it does not count as covered.
		if p := &t.parts[i]; p.field.From != "" && p.field.From != "value" && !s.isTimestamp(p.field) {
			p.guard = t.guardAfter(i, s)
		}
	}
	if s.ID != nil && t.covered[*s.ID] && !t.placed(s) {
		delete(t.covered, *s.ID)
	}
}

// dropOpen removes the event type and the action from the covered fields if their
// boundaries in the content are ambiguous, so that an attacker can change them. The
// code that computes values checks their boundaries itself.
func (t *template) dropOpen(s *Scheme) {
	for _, f := range []*Field{s.Event, s.Action} {
		if f == nil || s.isTimestamp(*f) || s.isID(*f) || f.From == "value" {
			continue
		}
		if i := slices.IndexFunc(t.parts, func(p part) bool { return p.field == *f }); i >= 0 && t.isOpen(i, s) {
			delete(t.covered, *f)
		}
	}
}

func (s *Scheme) isID(f Field) bool { return s.ID != nil && f == *s.ID }

// isTimestamp reports whether f is checked to be a time close to now, which fixes its
// length.
func (s *Scheme) isTimestamp(f Field) bool { return s.Timestamp != nil && f == s.Timestamp.Field }

// guardAfter returns the text that the field at i must not contain, so that its end
// is unambiguous; empty if there is none.
func (t *template) guardAfter(i int, s *Scheme) string {
	if i+1 == len(t.parts) {
		return ""
	}
	next := t.parts[i+1]
	if next.literal != "" {
		return separatorGuard(next.literal)
	}
	if s.isTimestamp(next.field) && (s.Timestamp.Format == "rfc3339" || s.Timestamp.Format == "iso8601") {
		// The field would have to contain a whole time to end elsewhere.
		return ":"
	}
	return ""
}

// separatorGuard returns the separator, or only its first byte if the field's end
// together with a part of it could look like the whole.
func separatorGuard(separator string) string {
	for n := 1; n < len(separator); n++ {
		if strings.HasSuffix(separator, separator[:n]) {
			return separator[:1]
		}
	}
	return separator
}

// placed reports whether the ID's position in the signed content is unambiguous,
// read from the beginning or from the end.
func (t *template) placed(s *Scheme) bool {
	i := slices.IndexFunc(t.parts, func(p part) bool { return s.isID(p.field) })
	if i < 0 {
		return true // it is in the computed value
	}
	delimited := func(p part) bool {
		// An ISO 8601 time can end without a mark.
		time := s.isTimestamp(p.field) && s.Timestamp.Format != "iso8601"
		return p.literal != "" || p.guard != "" || time || p.hasOneLength()
	}
	fromStart := !slices.ContainsFunc(t.parts[:i], func(p part) bool { return !delimited(p) })
	if fromStart && (i+1 == len(t.parts) || t.parts[i].guard != "") {
		return true
	}
	if slices.ContainsFunc(t.parts[i+1:], func(p part) bool { return !delimited(p) || p.guard != "" }) {
		return false
	}
	if i == 0 || t.parts[i-1].literal == "" {
		return false
	}
	t.parts[i].guard = separatorGuard(t.parts[i-1].literal)
	return true
}

// bodyIsOpen reports whether bytes can move between the body and its neighbors in the
// signed content: {url}{body} is the same wherever the body starts.
func (t *template) bodyIsOpen(s *Scheme) bool {
	i := slices.IndexFunc(t.parts, func(p part) bool { return p.name == "body" || p.name == "body_inflated" || p.name == "body_base64" })
	if i < 0 {
		return t.escapedIsOpen()
	}
	return t.isOpen(i, s)
}

// formIsOpen reports whether characters can move between the signed form fields, or
// between one of them and its neighbors.
func (t *template) formIsOpen(s *Scheme) bool {
	for i := range t.parts {
		if t.parts[i].field.From == "form" && t.isOpen(i, s) {
			return true
		}
	}
	return false
}

// isOpen reports whether the part at i could begin or end elsewhere in the same signed
// content. A literal beside it is not enough, because the part can contain it. Where it
// begins is certain if all parts before it have certain ends, or if it has a certain
// beginning itself and so have all parts after it; the same for its end.
func (t *template) isOpen(i int, s *Scheme) bool {
	before, after := true, true
	for j := range t.parts {
		before = before && (j >= i || t.hasEnd(j, s))
		after = after && (j <= i || t.hasBeginning(j, s))
	}
	begins := before || (after && t.hasBeginning(i, s))
	ends := after || (before && t.hasEnd(i, s))
	return !begins || !ends
}

// hasEnd reports whether the end of the part at i is certain if its beginning is.
func (t *template) hasEnd(i int, s *Scheme) bool {
	p := &t.parts[i]
	next := t.literalAt(i + 1)
	return p.guard != "" || p.hasKnownLength(s) || p.excludes(next)
}

// hasBeginning reports whether the beginning of the part at i is certain if its end is.
func (t *template) hasBeginning(i int, s *Scheme) bool {
	p := &t.parts[i]
	previous := t.literalAt(i - 1)
	guarded := p.guard != "" && previous != "" && p.guard == separatorGuard(previous)
	return guarded || p.hasKnownLength(s) || p.excludes(previous)
}

func (t *template) literalAt(i int) string {
	if i < 0 || i >= len(t.parts) {
		return ""
	}
	return t.parts[i].literal
}

// hasKnownLength reports whether the part has one length: text, a time close to now, a
// hash or a part of the secret.
func (p *part) hasKnownLength(s *Scheme) bool {
	return p.literal != "" || s.isTimestamp(p.field) || p.hasOneLength()
}

// excludes reports whether the part cannot contain the literal beside it. Headers and
// request lines have no line breaks, and request lines no spaces. Computed values do
// not contain what the scheme writes beside them.
func (p *part) excludes(literal string) bool {
	switch {
	case p.field.From == "value":
		return literal != ""
	case p.field.From == "header", p.field.From == "element":
		return strings.Contains(literal, "\n")
	case p.name == "method", p.name == "url", p.name == "path", p.name == "query", p.name == "host", p.name == "request_target":
		return strings.ContainsAny(literal, "\n ")
	}
	return false
}

// hasOneLength reports whether the part has the same length for every request: the
// hash of the body, or a part of the secret.
func (p part) hasOneLength() bool {
	return p.ofSecret() || p.name == "body_sha256" || p.name == "body_sha256_hex" || p.name == "body_sha256_base64"
}

// ofSecret reports whether the part is the same for every request that one secret
// has signed.
func (p part) ofSecret() bool { return p.name == "key" || p.name == "key_name" }

// escapedIsOpen is bodyIsOpen for an escaped body, which ends at the first quote:
// there must be one, or a computed value, between it and any other part.
func (t *template) escapedIsOpen() bool {
	i := slices.IndexFunc(t.parts, func(p part) bool { return p.name == "body_escaped" })
	if i < 0 {
		return false
	}
	closes := func(p part) bool { return p.field.From == "value" || strings.Contains(p.literal, `"`) }
	return (i > 0 && !closes(t.parts[i-1])) || (i+1 < len(t.parts) && !closes(t.parts[i+1]))
}

// hashesText reports whether the body's own text is hashed: a hash of it, headers and
// URL are short.
func (t *template) hashesText() bool {
	return t.holdsBody() || t.hashesForm() || t.has(func(p part) bool { return p.field.From == "value" })
}

// hashesForm reports whether fields of a form are hashed, which are searched for and
// unescaped first.
func (t *template) hashesForm() bool {
	return t.has(func(p part) bool { return p.name == "form_sorted" || (p.field.From == "form" && !p.short) })
}

// has reports whether a part satisfies is.
func (t *template) has(is func(part) bool) bool { return slices.ContainsFunc(t.parts, is) }

// signsMethod reports whether the method is signed.
func (t *template) signsMethod() bool {
	return t.has(func(p part) bool { return p.name == "method" })
}

// signedNames returns the names of the signed fields of one place.
func (t *template) signedNames(from string) []string {
	var names []string
	for _, p := range t.parts {
		if p.field.From == from {
			names = append(names, p.field.Name)
		}
	}
	return names
}

// covers reports whether the signature covers a field.
func (t *template) covers(f Field) bool {
	switch {
	case t.covered[f]:
		return true
	case f.From == "json" || f.From == "form":
		return t.raw
	case f.From == "query":
		return t.query
	}
	return false
}

// constant reports whether the signed content is the same for every delivery.
func (t *template) constant() bool {
	return !slices.ContainsFunc(t.parts, func(p part) bool { return p.literal == "" && !p.ofSecret() })
}

// fields calls add for every field that the template reads.
func (t *template) fields(add func(Field)) {
	for _, p := range t.parts {
		if p.field.From != "" {
			add(p.field)
		}
	}
}

// write writes the signed content. scratch collects short parts, so that a hash gets
// few writes; it is returned for its capacity.
func (t *template) write(w io.Writer, v *values, scratch []byte) ([]byte, error) {
	scratch = scratch[:0]
	for i := range t.parts {
		p := &t.parts[i]
		switch {
		case p.literal != "":
			scratch = append(scratch, p.literal...)
		case p.name == "form_sorted":
			var err error
			if scratch, err = v.writeFormSorted(w, scratch); err != nil {
				return scratch, err
			}
		case p.name == "body" || p.name == "body_base64" || p.name == "body_inflated" || p.name == "body_escaped":
			if err := flush(w, scratch); err != nil {
				return scratch, err
			}
			scratch = scratch[:0]
			if err := p.writeBody(w, v.req); err != nil {
				return scratch, err
			}
		case p.name != "":
			text, err := v.variable(p.name)
			if err != nil {
				return scratch, err
			}
			if scratch, err = put(w, scratch, text); err != nil {
				return scratch, err
			}
		case p.field.From == "form":
			var err error
			if scratch, err = v.writeFormField(w, scratch, p); err != nil {
				return scratch, err
			}
		default:
			text, err := v.guarded(p)
			if err != nil {
				return scratch, err
			}
			if scratch, err = put(w, scratch, text); err != nil {
				return scratch, err
			}
		}
	}
	return scratch, flush(w, scratch)
}

// guarded returns the value of a signed field.
func (v *values) guarded(p *part) (string, error) {
	text, err := v.get(p.field)
	if err != nil {
		return "", err
	}
	if text == "" && !p.mayBeEmpty {
		return "", missing(p)
	}
	return text, checkGuard(p, text)
}

func missing(p *part) error {
	return Refuse(Malformed, "the signature covers the %s, which is missing", p.field)
}

// checkGuard refuses a value that contains its separator.
func checkGuard(p *part, text string) error {
	if p.guard != "" && strings.Contains(text, p.guard) {
		return Refuse(Malformed, "the %s contains %q, which is its separator", p.field, p.guard)
	}
	return nil
}

// writeFormField writes a signed form field, in one piece only if it has a guard.
func (v *values) writeFormField(w io.Writer, scratch []byte, p *part) ([]byte, error) {
	form, field, err := v.formField(p.field.Name)
	if err != nil {
		return scratch, err
	}
	if field == nil || field.start == field.end {
		return scratch, missing(p)
	}
	if p.short && field.end-field.start > maxFieldText {
		return scratch, Refuse(Malformed, "the form field %s is longer than %d bytes", p.field.Name, maxFieldText)
	}
	if p.guard == "" {
		return form.write(w, scratch, field)
	}
	text, err := form.text(field)
	if err != nil {
		return scratch, err
	}
	if err := checkGuard(p, text); err != nil {
		return scratch, err
	}
	return put(w, scratch, text)
}

// maxGathered is the size of one collected write, in bytes.
const maxGathered = 16 << 10

// put appends text to scratch, and writes scratch when it is long, so that a long
// value is hashed without another copy.
func put(w io.Writer, scratch []byte, text string) ([]byte, error) {
	for len(scratch)+len(text) > maxGathered {
		n := max(0, maxGathered-len(scratch))
		scratch, text = append(scratch, text[:n]...), text[n:]
		if err := flush(w, scratch); err != nil {
			return scratch, err
		}
		scratch = scratch[:0]
	}
	return append(scratch, text...), nil
}

func flush(w io.Writer, scratch []byte) error {
	if len(scratch) == 0 {
		return nil
	}
	_, err := w.Write(scratch)
	return err
}

func (p *part) writeBody(w io.Writer, r *Request) error {
	switch p.name {
	case "body_inflated":
		return writeInflated(w, r)
	case "body_escaped":
		return writeEscaped(w, r.Body)
	case "body_base64":
		return writeBase64(w, r.Body)
	}
	return writeBody(w, r.Body)
}

func writeBody(w io.Writer, b Body) error {
	if p := b.Bytes(); p != nil {
		_, err := w.Write(p)
		return err
	}
	if _, err := b.WriteTo(w); err != nil {
		return fmt.Errorf("rereading body: %w", err)
	}
	return nil
}

// writeBase64 writes the body in base64, as it is read.
func writeBase64(w io.Writer, b Body) error {
	encoder := base64.NewEncoder(base64.StdEncoding, w)
	if err := writeBody(encoder, b); err != nil {
		return err
	}
	return encoder.Close()
}

// variable returns the value of a variable that is neither a field nor the body.
func (v *values) variable(name string) (string, error) {
	host, path, query := v.req.target()
	switch name {
	case "method":
		return v.req.Method, nil
	case "url":
		return v.req.URL(), nil
	case "host":
		return host, nil
	case "path":
		return path, nil
	case "query":
		return query, nil
	case "request_target":
		return v.req.requestTarget(), nil
	case "key":
		return string(v.key.raw), nil
	case "key_name":
		return v.key.pairName, nil
	}
	sum, err := v.bodySHA256()
	if err != nil {
		return "", err
	}
	switch name {
	case "body_sha256_hex":
		return hex.EncodeToString(sum), nil
	case "body_sha256_base64":
		return base64.StdEncoding.EncodeToString(sum), nil
	}
	return string(sum), nil
}
