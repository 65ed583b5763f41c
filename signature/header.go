package signature

import (
	"fmt"
	"net/textproto"
	"strconv"
	"strings"
)

// SignatureField says where the signature stands and how it is spelled.
type SignatureField struct {
	Field
	// Further headers that may hold a signature; one that matches suffices.
	// A name that ends in `#`, here as above, stands for that name with a
	// number from 1 to 100 in its place.
	Also []string `json:"also,omitempty"`
	// How the bytes are spelled: `hex`, `base64`, `base64url` (not padded) or
	// `base64url_pad`. Default: `hex`.
	Encoding Encoding `json:"encoding,omitempty"`
	// Text that stands before the signature, or before the list: `sha256=`.
	Prefix string `json:"prefix,omitempty"`
	// The prefix may be missing.
	PrefixOptional bool `json:"prefix_optional,omitempty"`
	// The header may come several times, each time with a signature; one that
	// matches suffices.
	Repeated bool `json:"repeated,omitempty"`
	// What separates the parts, where the value is a list: `,` or a space.
	Separator string `json:"separator,omitempty"`
	// Spaces around the parts of a list do not count.
	Spaces bool `json:"spaces,omitempty"`
	// What stands between a part's name and its value, where parts have
	// names: `=`. Without it a part is a signature.
	Assign string `json:"assign,omitempty"`
	// The name of the parts that are signatures: `v1`. They may come several
	// times, as while a secret is being rotated; others may come once.
	Element string `json:"element,omitempty"`
	// What separates whole lists, where several stand side by side, each with
	// its own timestamp.
	SetSeparator string `json:"set_separator,omitempty"`
	// The first this many parts are not signatures but have their position
	// as name: `1`, `2` …
	Positional int `json:"positional,omitempty"`
}

// maxElements bounds the parts of one signature header, and with it the work
// that a stranger can ask for.
const maxElements = 32

// maxNumber is the highest number that a numbered header may have.
const maxNumber = 100

func (f SignatureField) check() error {
	if f.From == "element" {
		return fmt.Errorf("the signature cannot stand in an element of itself: write header, query, form or json")
	}
	if err := f.Field.check(); err != nil {
		return err
	}
	if f.Element != "" && f.Assign == "" {
		return fmt.Errorf("element %q needs to know what stands between a name and its value, as in: assign =", f.Element)
	}
	return f.Encoding.check()
}

// elements are the parts of one signature list.
type elements struct {
	field      *SignatureField
	named      []namedElement
	signatures []string
}

type namedElement struct{ name, value string }

// single returns the value of a named part, which may come once.
func (e elements) single(name string) (string, error) {
	value, found := "", false
	for _, n := range e.named {
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

// parse splits a header value into its lists.
func (f *SignatureField) parse(text string) ([]elements, error) {
	if f.Prefix != "" {
		rest, ok := strings.CutPrefix(text, f.Prefix)
		if !ok && !f.PrefixOptional {
			return nil, Refuse(Malformed, "the signature does not begin with %s", f.Prefix)
		}
		text = rest
	}
	if f.Separator == "" {
		return []elements{{field: f, signatures: []string{text}}}, nil
	}
	sets := []string{text}
	if f.SetSeparator != "" {
		sets = strings.SplitN(text, f.SetSeparator, maxElements+1)
	}
	lists := make([]elements, 0, len(sets))
	total := 0
	for _, set := range sets {
		e, err := f.parseList(set)
		if err != nil {
			return nil, err
		}
		if total += len(e.named) + len(e.signatures); total > maxElements {
			return nil, Refuse(Malformed, "the signature header has more than %d parts", maxElements)
		}
		lists = append(lists, e)
	}
	return lists, nil
}

func (f *SignatureField) parseList(text string) (elements, error) {
	e := elements{field: f}
	for i, part := range strings.SplitN(text, f.Separator, maxElements+1) {
		if i == maxElements {
			return e, Refuse(Malformed, "the signature header has more than %d parts", maxElements)
		}
		if f.Spaces {
			part = strings.Trim(part, " ")
		}
		switch {
		case i < f.Positional:
			e.named = append(e.named, namedElement{strconv.Itoa(i + 1), part})
		case f.Assign == "":
			e.signatures = append(e.signatures, part)
		default:
			name, value, ok := strings.Cut(part, f.Assign)
			switch {
			case !ok: // not for us: an unknown kind of part
			case name == f.Element:
				e.signatures = append(e.signatures, value)
			default:
				e.named = append(e.named, namedElement{name, value})
			}
		}
	}
	return e, nil
}

func (f *SignatureField) severalHeaders() bool {
	return len(f.Also) > 0 || strings.HasSuffix(f.Name, "#")
}

// headerNames returns the headers that hold signatures in this request.
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

// read returns the signature lists of a request.
func (f *SignatureField) read(v *values) ([]elements, error) {
	if f.From != "header" {
		text, err := v.get(f.Field)
		if err != nil || text == "" {
			return nil, err
		}
		return f.parse(text)
	}
	if f.Repeated {
		return f.readRepeated(v.req.Header[f.Name])
	}
	if !f.severalHeaders() {
		text, err := headerValue(v.req.Header, f.Name)
		if err != nil || text == "" {
			return nil, err
		}
		return f.parse(text)
	}
	var all []elements
	for _, name := range f.headerNames(v.req) {
		text, err := headerValue(v.req.Header, name)
		if err != nil {
			return nil, err
		}
		if text == "" {
			continue
		}
		lists, err := f.parse(text)
		if err != nil {
			return nil, err
		}
		all = append(all, lists...)
	}
	return all, nil
}

// readRepeated returns the lists of a header that may come several times.
func (f *SignatureField) readRepeated(values []string) ([]elements, error) {
	if len(values) > maxElements {
		return nil, Refuse(Malformed, "the header %s comes %d times", f.Name, len(values))
	}
	var all []elements
	for _, value := range values {
		text := textproto.TrimString(value)
		if text == "" {
			continue
		}
		lists, err := f.parse(text)
		if err != nil {
			return nil, err
		}
		all = append(all, lists...)
	}
	return all, nil
}
