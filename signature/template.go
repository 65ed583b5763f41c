package signature

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strings"
)

// A template spells what is signed: literal text and {variables}.
//
//	{body}               the body, byte for byte
//	{body_sha256}        its SHA-256, 32 raw bytes; {body_sha256_hex} in hex
//	{body_inflated}      the body, uncompressed if its Content-Encoding is gzip
//	{timestamp} {id}     as received, from where the scheme says they stand
//	{method} {url}       {url} as the provider knows it
//	{path} {query} {host}
//	{header.NAME} {element.NAME} {query.NAME} {form.NAME} {json.PATH}
//	{form_sorted}        name and value of every form field, sorted by name,
//	                     with nothing in between
//	{value.NAME}         what the provider's own code has worked out
//	{lf}                 a line feed
type template struct {
	parts []part
	// covers: which fields the signature covers.
	covered map[Field]bool
	body    bool // the body is covered, in whole
	url     bool // the query is covered
}

type part struct {
	literal string
	name    string // a variable other than a field
	field   Field
	guard   string // text that the field must not contain
}

const templateVariables = "body, body_sha256, body_sha256_hex, body_inflated, form_sorted, timestamp, id, method, url, path, query, host, lf, header.NAME, element.NAME, query.NAME, form.NAME, json.PATH"

func parseTemplate(text string, s *Scheme) (*template, error) {
	t := &template{covered: make(map[Field]bool)}
	for text != "" {
		open := strings.IndexByte(text, '{')
		if open != 0 {
			if open < 0 {
				open = len(text)
			}
			t.parts = append(t.parts, part{literal: text[:open]})
			text = text[open:]
			continue
		}
		end := strings.IndexByte(text, '}')
		if end < 0 {
			return nil, fmt.Errorf("the signed content has a { without its }")
		}
		p, err := t.variable(text[1:end], s)
		if err != nil {
			return nil, err
		}
		text = text[end+1:]
		if p.field.From != "" && s.ID != nil && p.field == *s.ID {
			// What separates the ID from what follows must not be in
			// it: "a" + ".1.x" and "a.1" + ".x" are signed alike.
			p.guard, _, _ = strings.Cut(text, "{")
		}
		t.parts = append(t.parts, p)
	}
	return t, nil
}

func (t *template) variable(name string, s *Scheme) (part, error) {
	switch name {
	case "lf":
		return part{literal: "\n"}, nil
	case "body", "body_sha256", "body_sha256_hex", "body_inflated", "form_sorted":
		t.body = true
		return part{name: name}, nil
	case "url", "query":
		t.url = true
		return part{name: name}, nil
	case "method", "path", "host":
		return part{name: name}, nil
	case "timestamp":
		if s.Timestamp == nil {
			return part{}, errors.New("the signed content has {timestamp}, but the scheme does not say where the timestamp stands")
		}
		t.covered[s.Timestamp.Field] = true
		return part{field: s.Timestamp.Field}, nil
	case "id":
		if s.ID == nil {
			return part{}, errors.New("the signed content has {id}, but the scheme does not say where the delivery ID stands")
		}
		t.covered[*s.ID] = true
		return part{field: *s.ID}, nil
	}
	from, rest, ok := strings.Cut(name, ".")
	f := Field{From: from, Name: rest}
	if !ok || f.check() != nil {
		return part{}, fmt.Errorf("unknown variable {%s} in the signed content: the variables are %s", name, templateVariables)
	}
	if from == "value" {
		t.body = t.body || s.ValuesCoverBody
		for _, f := range s.ValuesCover {
			t.covered[f] = true
		}
	}
	if from == "header" {
		f.Name = textproto.CanonicalMIMEHeaderKey(rest)
	}
	t.covered[f] = true
	return part{field: f}, nil
}

// covers tells whether the signature authenticates a field.
func (t *template) covers(f Field) bool {
	switch {
	case t.covered[f]:
		return true
	case f.From == "json" || f.From == "form":
		return t.body
	case f.From == "query":
		return t.url
	}
	return false
}

// fields calls add for every field that the template reads.
func (t *template) fields(add func(Field)) {
	for _, p := range t.parts {
		if p.field.From != "" {
			add(p.field)
		}
	}
}

// write writes the signed content. scratch gathers what comes between bodies,
// so that a hash sees few writes; it is returned for its capacity.
func (t *template) write(w io.Writer, v *values, scratch []byte) ([]byte, error) {
	scratch = scratch[:0]
	for _, p := range t.parts {
		switch {
		case p.literal != "":
			scratch = append(scratch, p.literal...)
		case p.name == "body":
			if _, err := w.Write(scratch); err != nil {
				return scratch, err
			}
			scratch = scratch[:0]
			if err := writeBody(w, v.req.Body); err != nil {
				return scratch, err
			}
		case p.name == "body_inflated":
			if _, err := w.Write(scratch); err != nil {
				return scratch, err
			}
			scratch = scratch[:0]
			if err := writeInflated(w, v.req); err != nil {
				return scratch, err
			}
		case p.name != "":
			text, err := v.variable(p.name)
			if err != nil {
				return scratch, err
			}
			scratch = append(scratch, text...)
		default:
			text, err := v.get(p.field)
			if err != nil {
				return scratch, err
			}
			if text == "" {
				return scratch, Refuse(Malformed, "the signature covers the %s, which is missing", p.field)
			}
			if p.guard != "" && strings.Contains(text, p.guard) {
				return scratch, Refuse(Malformed, "the %s contains %q, which separates it from what follows", p.field, p.guard)
			}
			scratch = append(scratch, text...)
		}
	}
	_, err := w.Write(scratch)
	return scratch, err
}

func writeBody(w io.Writer, b Body) error {
	if p := b.Bytes(); p != nil {
		_, err := w.Write(p)
		return err
	}
	if _, err := b.WriteTo(w); err != nil {
		return fmt.Errorf("reading the body again: %w", err)
	}
	return nil
}

// variable returns the value of a variable that is not a field.
func (v *values) variable(name string) (string, error) {
	switch name {
	case "method":
		return v.req.Method, nil
	case "url":
		return v.req.URL(), nil
	case "host":
		return v.req.Host, nil
	case "path":
		path, _, _ := strings.Cut(v.req.RequestURI, "?")
		return path, nil
	case "query":
		_, query, _ := strings.Cut(v.req.RequestURI, "?")
		return query, nil
	case "form_sorted":
		return v.formSorted()
	}
	h := sha256.New()
	if err := writeBody(h, v.req.Body); err != nil {
		return "", err
	}
	sum := h.Sum(nil)
	if name == "body_sha256_hex" {
		return hex.EncodeToString(sum), nil
	}
	return string(sum), nil
}
