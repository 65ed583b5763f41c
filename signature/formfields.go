package signature

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/bits"
	"net/url"
	"strings"
)

// formFields contains the positions of a form's fields in its body. The values stay
// there and are read one by one: a provider posts a whole mail as a form, which
// url.ParseQuery copies three times.
type formFields struct {
	fields []formField
	parts  int         // between &, including empty ones
	raw    []byte      // the body, if it is in memory
	file   io.ReaderAt // otherwise its file
	body   Body
}

type formField struct {
	name       string
	asWritten  bool  // the name is not escaped, and a = follows it
	start, end int64 // of the escaped value
}

const (
	// maxFieldNames is the maximum total length of a form's names, in bytes.
	maxFieldNames = 256 << 10
	// maxFieldText is the longest value that is read, in bytes, like
	// maxJSONValue for JSON. A signed one may be longer.
	maxFieldText = 64 << 10
)

var (
	errNoForm     = errors.New("no form")
	errBadForm    = errors.New("not a well-formed form")
	errManyFields = errors.New("too many fields")
)

// formFields returns the fields of the body, nil if it is not a form. all means that
// every value will be read, which then checks the escapes.
func (r *Request) formFields(all bool) (*formFields, error) {
	if r.fieldsRead {
		return r.fields, nil
	}
	fields, err := r.findFields(all)
	if _, counted := r.Body.(Charger); counted && err == nil {
		// Once, however many schemes and secrets there are.
		r.fields, r.fieldsRead = fields, true
	}
	return fields, err
}

func (r *Request) findFields(all bool) (*formFields, error) {
	declared, err := r.declaresForm()
	if err != nil {
		return nil, err
	}
	fields, err := readFields(r.Body, all)
	switch {
	case err == nil:
		return fields, nil
	case errors.Is(err, errNoForm):
		return nil, nil
	case errors.Is(err, errManyFields) && declared:
		return nil, Refuse(Malformed, "the form has more than %d fields", maxFields)
	case errors.Is(err, errBadForm) && declared:
		return nil, refuseForm()
	case errors.Is(err, errManyFields), errors.Is(err, errBadForm):
		return nil, nil
	}
	return nil, err
}

// HasForm reports whether the body is a form, with the same errors as Form.
func (r *Request) HasForm() (bool, error) {
	fields, err := r.formFields(false)
	return fields != nil, err
}

func refuseForm() error { return Refuse(Malformed, "the body is not a well-formed form") }

// readFields finds the fields of a form; all is as for formFields. The errors
// errNoForm, errBadForm and errManyFields mean that it is not used as a form.
func readFields(b Body, all bool) (*formFields, error) {
	s := formScan{unchecked: all}
	_, err := b.WriteTo(&s)
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return nil, err
	}
	f := &formFields{fields: s.fields, parts: s.parts, body: b}
	var inFile bool
	if f.file, inFile = b.(io.ReaderAt); !inFile || b.Bytes() != nil {
		f.raw, err = BodyBytes(b)
	}
	return f, err
}

// formScan finds fields in the text that is written to it. It accepts the same forms
// as url.ParseQuery.
type formScan struct {
	unchecked bool // escapes in values are not checked
	begun     bool // with something other than white space
	fields    []formField
	parts     int    // including empty ones
	names     int    // bytes of all names
	name      []byte // of the current field, as written
	inValue   bool
	start     int64 // of the value
	digits    int   // missing digits of an escape in the value
	pos       int64
}

// Write implements io.Writer.
func (s *formScan) Write(p []byte) (int, error) {
	if !s.begun && len(bytes.TrimLeft(p, formSpace)) > 0 {
		if !isForm(p) {
			return 0, errNoForm
		}
		s.begun = true
	}
	for rest := p; ; {
		n := bytes.IndexByte(rest, '&')
		last := n < 0
		if last {
			n = len(rest)
		}
		if err := s.add(rest[:n]); err != nil {
			return 0, err
		}
		s.pos += int64(n)
		if last {
			return len(p), nil
		}
		if err := s.endField(); err != nil {
			return 0, err
		}
		s.pos++
		rest = rest[n+1:]
	}
}

// add adds a part of a field.
func (s *formScan) add(part []byte) error {
	value := part
	if !s.inValue {
		name, rest, found := bytes.Cut(part, []byte{'='})
		if s.names += len(name); s.names > maxFieldNames {
			return errManyFields
		}
		s.name = append(s.name, name...)
		if s.inValue, value = found, rest; found {
			s.start = s.pos + int64(len(name)) + 1
		}
	}
	if bytes.IndexByte(value, ';') >= 0 || (!s.unchecked && !s.escapes(value)) {
		return errBadForm
	}
	return nil
}

// escapes reports whether all escapes in a part of a value are well-formed.
func (s *formScan) escapes(part []byte) bool {
	for ; s.digits > 0 && len(part) > 0; s.digits-- {
		if !isHex[part[0]] {
			return false
		}
		part = part[1:]
	}
	i, carry := 0, uint64(0) // which bytes of the next 64 must be digits
	for ; len(part)-i >= 64; i += 64 {
		block := (*[64]byte)(part[i:])
		found := positions(block, '%')
		if found|carry == 0 {
			continue
		}
		if must := carry | found<<1 | found<<2; must&^hexPositions(block) != 0 {
			return false
		}
		carry = found>>63 | found>>62
	}
	s.digits += bits.OnesCount64(carry)
	for _, c := range part[i:] {
		switch {
		case s.digits > 0 && !isHex[c]:
			return false
		case s.digits > 0:
			s.digits--
		case c == '%':
			s.digits = 2
		}
	}
	return true
}

// isHex are the hexadecimal digits.
var isHex = func() (is [256]bool) {
	for _, c := range []byte("0123456789abcdefABCDEF") {
		is[c] = true
	}
	return is
}()

// end adds the last field.
func (s *formScan) end() error {
	if !s.begun {
		return errNoForm
	}
	return s.endField()
}

// endField adds the field that ends here.
func (s *formScan) endField() error {
	if s.parts++; s.parts > maxFields {
		return errManyFields
	}
	written := string(s.name)
	if written == "" && !s.inValue {
		return nil
	}
	name, err := url.QueryUnescape(written)
	if err != nil || s.digits > 0 || strings.Contains(written, ";") {
		return errBadForm
	}
	if !s.inValue {
		s.start = s.pos
	}
	s.fields = append(s.fields, formField{name: name, asWritten: s.inValue && name == written, start: s.start, end: s.pos})
	s.name, s.inValue = s.name[:0], false
	return nil
}

// names yields the name of every field.
func (f *formFields) names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range f.fields {
			if !yield(f.fields[i].name) {
				return
			}
		}
	}
}

// single returns the field of a name, nil if there is none.
func (f *formFields) single(name string) (*formField, error) {
	var found *formField
	count := 0
	for i := range f.fields {
		if f.fields[i].name == name {
			found = &f.fields[i]
			count++
		}
	}
	if count > 1 {
		return nil, Refuse(Malformed, "the form field %s appears %d times", name, count)
	}
	return found, nil
}

// values returns all fields, each value in one piece.
func (f *formFields) values() (url.Values, error) {
	if err := Charge(f.body, int64(len(f.fields))*fieldCost); err != nil {
		return nil, err
	}
	values := make(url.Values, len(f.fields))
	for i := range f.fields {
		field := &f.fields[i]
		text, err := f.text(field)
		if err != nil {
			return nil, err
		}
		values[field.name] = append(values[field.name], text)
	}
	return values, nil
}

// text returns a value in one piece.
func (f *formFields) text(field *formField) (string, error) {
	size := field.end - field.start
	if err := Charge(f.body, size); err != nil {
		return "", err
	}
	var b strings.Builder
	b.Grow(int(size)) // the escaped value is longer
	scratch, err := f.write(&b, nil, field)
	if err == nil {
		err = flush(&b, scratch)
	}
	return b.String(), err
}

// write writes a value to w through scratch, like put.
func (f *formFields) write(w io.Writer, scratch []byte, field *formField) ([]byte, error) {
	var err error
	if f.raw != nil {
		scratch, _, err = putUnescaped(w, scratch, f.raw[field.start:field.end], true)
		return scratch, err
	}
	buf := make([]byte, min(field.end-field.start, jsonReadSize))
	for at := field.start; at < field.end; {
		n, err := f.file.ReadAt(buf[:min(int64(len(buf)), field.end-at)], at)
		if n == 0 {
			return scratch, fmt.Errorf("rereading body: %w", err)
		}
		scratch, n, err = putUnescaped(w, scratch, buf[:n], at+int64(n) == field.end)
		if err != nil {
			return scratch, err
		}
		at += int64(n)
	}
	return scratch, nil
}

// putUnescaped is put for escaped text, and returns how much of it was used: all, or
// up to an incomplete escape.
func putUnescaped(w io.Writer, scratch, text []byte, last bool) ([]byte, int, error) {
	taken := 0
	for taken < len(text) {
		if len(scratch) >= maxGathered {
			if err := flush(w, scratch); err != nil {
				return scratch, taken, err
			}
			scratch = scratch[:0]
		}
		piece := text[taken:min(len(text), taken+maxGathered)]
		if whole := wholeEscapes(piece); !last || taken+len(piece) < len(text) {
			piece = piece[:whole]
		}
		if len(piece) == 0 {
			break
		}
		var ok bool
		if scratch, ok = appendUnescaped(scratch, piece); !ok {
			return scratch, taken, refuseForm()
		}
		taken += len(piece)
	}
	return scratch, taken, nil
}

// wholeEscapes returns the length of text before an incomplete escape.
func wholeEscapes(text []byte) int {
	for i := 1; i <= 2 && i <= len(text); i++ {
		if text[len(text)-i] == '%' {
			return len(text) - i
		}
	}
	return len(text)
}
