package signature

import (
	"bytes"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// Field is a place in a request that contains a value.
type Field struct {
	// The part of the request: `header`, `query`, `form`
	// (application/x-www-form-urlencoded), `json` (the body), `element` (a part
	// of the signature header, if that is a list of key=value) or `value`
	// (computed by the code of a preset). Required.
	From string `json:"from"`
	// The name of the header, parameter or element; for `json` a path of member
	// names and array indexes joined by dots: `data.object.id`. Required.
	Name string `json:"name"`
}

// String returns the field as in the Caddyfile.
func (f Field) String() string { return f.From + " " + f.Name }

// IsZero reports whether the field is unset.
func (f Field) IsZero() bool { return f.From == "" }

// inBody reports whether the value is known only after the body has been read.
func (f Field) inBody() bool { return f.From == "json" || f.From == "form" || f.From == "value" }

func (f Field) check() error {
	switch f.From {
	case "header", "query", "form", "json", "element", "value":
	default:
		return fmt.Errorf("unrecognized place: %q; write header, query, form, json or element", f.From)
	}
	if f.Name == "" {
		return fmt.Errorf("missing name: write one after %q", f.From)
	}
	if f.From == "header" && !isToken(f.Name) {
		return fmt.Errorf("invalid header name: %q; write, for example, X-Signature", f.Name)
	}
	return nil
}

// isToken reports whether s is valid as the name of a header (RFC 9110, 5.6.2).
func isToken(s string) bool {
	for _, c := range []byte(s) {
		alphanumeric := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alphanumeric && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// headerValue returns a single-valued header, without the white space around it,
// which is not part of a header's value (RFC 9110, 5.5): HTTP/1 has already removed
// it, and the app's server will. A duplicate is refused, because readers of the
// first and of the last one would get different values.
func headerValue(h http.Header, name string) (string, error) {
	// Names are canonical: compiled ones by us, received ones by net/http.
	values := h[name]
	if len(values) > 1 {
		return "", Refuse(Malformed, "the header %s appears %d times", name, len(values))
	}
	if len(values) == 0 {
		return "", nil
	}
	return textproto.TrimString(values[0]), nil
}

// formSpace is white space that may come before a body of any kind.
const formSpace = " \t\r\n"

// isForm reports whether the body is a form. The content type alone does not decide,
// because no signature covers it: if that header decided whether to look for an ID
// in the body, a copy of a delivery could be accepted without its ID.
func isForm(body []byte) bool {
	start := bytes.TrimLeft(body, formSpace)
	// No form starts like this: these characters are escaped in forms.
	return len(start) > 0 && strings.IndexByte(`{["<`, start[0]) < 0
}

// Form parses the body as application/x-www-form-urlencoded, whatever its
// Content-Type is. It returns nil for a body that is not a form. If the content
// type is that of a form, a malformed form and one of more than 1,000 fields are
// refused.
func (r *Request) Form() (url.Values, error) {
	if r.formRead {
		return r.form, nil
	}
	fields, err := r.formFields(false)
	if fields == nil || err != nil {
		return nil, err
	}
	form, err := fields.values()
	if _, counted := r.Body.(Charger); counted && err == nil {
		// Once, however many schemes and secrets there are.
		r.form, r.formRead = form, true
	}
	return form, err
}

// declaresForm reports whether the Content-Type is that of a form.
func (r *Request) declaresForm() (bool, error) {
	declared := mediaType(r) == "application/x-www-form-urlencoded"
	if declared && !asciiCompatible(r.Header) {
		return false, Refuse(Malformed, "the form is in a character set in which it has other fields")
	}
	return declared, nil
}

func single(values []string, what, name string) (string, error) {
	if len(values) > 1 {
		return "", Refuse(Malformed, "the %s %s appears %d times", what, name, len(values))
	}
	if len(values) == 0 {
		return "", nil
	}
	return values[0], nil
}
