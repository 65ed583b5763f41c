package signature

import (
	"errors"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// SignatureField describes the position and the format of the signature.
type SignatureField struct {
	Field
	// Further headers that can have a signature; one that matches is enough.
	// In a name that ends in `#`, here and in `name`, a number from 1 to 100
	// takes the place of `#`. Default: none.
	Also []string `json:"also,omitempty"`
	// The encoding of the signature: `hex`, `base64`, `base64url` (not padded),
	// `base64url_pad` or `base64_hex` (the base64 of the text in hex).
	// Default: `hex`.
	Encoding Encoding `json:"encoding,omitempty"`
	// The text in front of the signature, or of the list: `sha256=`.
	// Default: none.
	Prefix string `json:"prefix,omitempty"`
	// The prefix can be missing. Default: false.
	PrefixOptional bool `json:"prefix_optional,omitempty"`
	// The header can appear several times, each time with a signature; one that
	// matches is enough. Default: false.
	Repeated bool `json:"repeated,omitempty"`
	// The separator of the parts, if the value is a list: `,` or a space.
	// Default: none; the value is one signature.
	Separator string `json:"separator,omitempty"`
	// Ignore spaces around the parts of a list. Default: false.
	Spaces bool `json:"spaces,omitempty"`
	// The text between the name and the value of a part: `=`. Default: none;
	// parts have no names, and each is a signature.
	Assign string `json:"assign,omitempty"`
	// The name of the parts that are signatures: `v1`. They can appear several
	// times, for example during rotation; any other part that the scheme reads
	// can appear once. Required with `assign`.
	Element string `json:"element,omitempty"`
	// The values of named parts are in double quotes: `v1="…"`.
	// Default: false.
	Quoted bool `json:"quoted,omitempty"`
	// The separator of whole lists, if the value has several, each with its own
	// timestamp. Default: none.
	SetSeparator string `json:"set_separator,omitempty"`
	// How many parts at the beginning are not signatures. Their names are their
	// positions: `1`, `2`, and so on. Default: 0.
	Positional int `json:"positional,omitempty"`
	// Layout is how the provider writes the list, where order or spaces differ
	// from those of [Scheme.Sign]: {NAME} is the value of a part, {signature}
	// the signature. Verification does not use it.
	Layout string `json:"-"`
}

// maxElements limits the parts of one signature header, and with it the work for an
// unsigned request.
const maxElements = 32

// maxNumber is the highest number of a numbered header.
const maxNumber = 100

func (f SignatureField) check() error {
	if f.From == "element" {
		return errors.New("the signature cannot be in an element of itself: write header, query, form or json")
	}
	if err := f.Field.check(); err != nil {
		return err
	}
	for _, name := range f.Also {
		if !isToken(name) || f.From != "header" {
			return fmt.Errorf("%q cannot be a further header of a signature in %s: write the name of a header", name, f.Field)
		}
	}
	switch {
	case f.Element != "" && f.Assign == "":
		return fmt.Errorf("element %q requires assign, the text between a name and its value: write, for example, assign =", f.Element)
	case f.Element == "" && f.Assign != "":
		return fmt.Errorf("assign %q requires element, the name of the parts that are signatures: write, for example, element v1", f.Assign)
	case f.Quoted && f.Assign == "":
		return errors.New("quoted requires assign, the text between a name and its value: write, for example, assign =")
	case f.Separator == "" && (f.SetSeparator != "" || f.Positional != 0):
		return errors.New("a list requires separator: write, for example, separator ,")
	case f.Separator != "" && (f.Separator == f.SetSeparator || f.Separator == f.Assign):
		return fmt.Errorf("the separator %q separates the parts of the list: write another text for assign or set_separator", f.Separator)
	case f.Positional < 0 || f.Positional > maxElements:
		return fmt.Errorf("positional %d is not between 1 and %d: write, for example, positional 1", f.Positional, maxElements)
	}
	return f.Encoding.check()
}

// list reports whether the value is a list of parts.
func (f *SignatureField) list() bool { return f.Separator != "" || f.Assign != "" }

// signatureList contains the parts of one list: signatures and named parts.
type signatureList struct {
	named      []namedElement
	signatures []string
	decoded    [][]byte // the signatures that can be read
	timestamp  time.Time
}

type namedElement struct{ name, value string }

// single returns the value of a named part, which must be unique.
func (l *signatureList) single(name string) (string, error) {
	value, found := "", false
	for _, n := range l.named {
		if n.name != name {
			continue
		}
		if found {
			return "", Refuse(Malformed, "the signature header has more than one %s", name)
		}
		value, found = n.value, true
	}
	return value, nil
}

// forget drops references to the request and keeps the memory.
func (l *signatureList) forget() {
	clear(l.named)
	clear(l.signatures)
	clear(l.decoded)
	l.named, l.signatures, l.decoded, l.timestamp = l.named[:0], l.signatures[:0], l.decoded[:0], time.Time{}
}

// parse adds the lists of one value to v.
func (f *SignatureField) parse(v *values, text string) error {
	if f.Prefix != "" {
		rest, ok := f.cutPrefix(text)
		if !ok && !f.PrefixOptional {
			return Refuse(Malformed, "the signature does not start with %s", f.Prefix)
		}
		text = rest
	}
	if !f.list() {
		list, err := v.addList()
		if err != nil {
			return err
		}
		list.signatures = append(list.signatures, text)
		return v.countPart(f)
	}
	for more := true; more; {
		var set string
		set, text, more = cutPart(text, f.SetSeparator)
		if err := f.parseList(v, set); err != nil {
			return err
		}
	}
	return nil
}

// cutPrefix removes the prefix. In Authorization it is the name of a scheme, which
// matches in any letter case (RFC 9110, 11.1).
func (f *SignatureField) cutPrefix(text string) (string, bool) {
	n := len(f.Prefix)
	if f.Name == "Authorization" && len(text) >= n && strings.EqualFold(text[:n], f.Prefix) {
		return text[n:], true
	}
	return strings.CutPrefix(text, f.Prefix)
}

// addList returns the next list. If all of them sign the same content, it is the
// first.
func (v *values) addList() (*signatureList, error) {
	n := len(v.lists)
	switch {
	case n == 1 && v.merge:
	case n == maxSets:
		return nil, Refuse(Malformed, "more than %d signature lists", maxSets)
	case n < cap(v.lists):
		v.lists = v.lists[:n+1] // reuses its memory
	default:
		v.lists = append(v.lists, signatureList{})
	}
	return &v.lists[len(v.lists)-1], nil
}

func (v *values) countPart(f *SignatureField) error {
	if v.parts++; v.parts > maxElements {
		return Refuse(Malformed, "the %s has more than %d parts", f.Field, maxElements)
	}
	return nil
}

func (f *SignatureField) parseList(v *values, text string) error {
	list, err := v.addList()
	if err != nil {
		return err
	}
	for i, more := 0, true; more; i++ {
		if err := v.countPart(f); err != nil {
			return err
		}
		var part string
		part, text, more = cutPart(text, f.Separator)
		if f.Spaces {
			part = strings.Trim(part, " ")
		}
		if i < f.Positional {
			list.named = append(list.named, namedElement{strconv.Itoa(i + 1), part})
			continue
		}
		if f.Assign == "" {
			list.signatures = append(list.signatures, part)
			continue
		}
		name, value, ok := strings.Cut(part, f.Assign)
		if f.Quoted {
			value, ok = unquoted(value, ok)
		}
		switch {
		case !ok: // ignored: an unknown kind of part
		case name == f.Element:
			list.signatures = append(list.signatures, value)
		default:
			list.named = append(list.named, namedElement{name, value})
		}
	}
	return nil
}

// unquoted removes the double quotes of a value; false if it has none.
func unquoted(text string, ok bool) (string, bool) {
	if !ok || len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' {
		return "", false
	}
	return text[1 : len(text)-1], true
}

// cutPart splits text after its first part. Without a separator there is only one.
func cutPart(text, separator string) (part, rest string, more bool) {
	if separator == "" {
		return text, "", false
	}
	return strings.Cut(text, separator)
}

func (f *SignatureField) severalHeaders() bool {
	return len(f.Also) > 0 || strings.HasSuffix(f.Name, "#")
}

// headerNames returns the headers with signatures in this request.
func (f *SignatureField) headerNames(r *Request) []string {
	if !f.severalHeaders() {
		return []string{f.Name}
	}
	var names []string
	for _, name := range append([]string{f.Name}, f.Also...) {
		stem, numbered := strings.CutSuffix(name, "#")
		if !numbered {
			names = append(names, name)
			continue
		}
		for i := 1; i <= maxNumber && len(names) < maxElements; i++ {
			n := textproto.CanonicalMIMEHeaderKey(stem + strconv.Itoa(i))
			if _, present := r.Header[n]; present {
				names = append(names, n)
			}
		}
	}
	return names
}

// read adds the signature lists of a request to v.
func (f *SignatureField) read(v *values) error {
	if f.From != "header" {
		text, err := v.get(f.Field)
		if err != nil || text == "" {
			return err
		}
		return f.parse(v, text)
	}
	if f.Repeated {
		return f.readRepeated(v)
	}
	if !f.severalHeaders() {
		return f.readHeader(v, f.Name)
	}
	for _, name := range f.headerNames(v.req) {
		if err := f.readHeader(v, name); err != nil {
			return err
		}
	}
	return nil
}

// readHeader adds the lists of a header that must be unique.
func (f *SignatureField) readHeader(v *values, name string) error {
	text, err := headerValue(v.req.Header, name)
	if err != nil || text == "" {
		return err
	}
	return f.parse(v, text)
}

// readRepeated adds the lists of a header that can be repeated.
func (f *SignatureField) readRepeated(v *values) error {
	for _, value := range v.req.Header[f.Name] {
		text := textproto.TrimString(value)
		if text == "" {
			continue
		}
		if err := f.parse(v, text); err != nil {
			return err
		}
	}
	return nil
}
