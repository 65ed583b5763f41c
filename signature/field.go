package signature

import (
	"fmt"
	"mime"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// Field says where in a request a value stands.
type Field struct {
	// Which part of the request: `header`, `query`, `form`
	// (application/x-www-form-urlencoded), `json` (the body), `element` (a
	// part of the signature header, where that is a list of key=value) or
	// `value` (what a provider's own code has worked out).
	From string `json:"from"`
	// The header, parameter or element; for `json` a path of member names
	// and array indexes joined by dots: `data.object.id`.
	Name string `json:"name"`
}

// String names the field as the Caddyfile does.
func (f Field) String() string { return f.From + " " + f.Name }

// IsZero tells whether the field names nothing.
func (f Field) IsZero() bool { return f.From == "" }

// inBody: the value can only be known once the body has been read.
func (f Field) inBody() bool { return f.From == "json" || f.From == "form" || f.From == "value" }

func (f Field) check() error {
	switch f.From {
	case "header", "query", "form", "json", "element", "value":
	default:
		return fmt.Errorf("unknown place %q: write header, query, form, json or element", f.From)
	}
	if f.Name == "" {
		return fmt.Errorf("a name must follow %q", f.From)
	}
	return nil
}

// maxForm is the largest form that is read for its fields. A form is parsed in
// memory; no provider sends larger ones.
const maxForm = 1 << 20

// headerValue returns a single-valued header. Twice is refused: whoever reads
// the first and whoever reads the last must not see different values.
func headerValue(h http.Header, name string) (string, error) {
	// Names are canonical: compiled ones by us, received ones by net/http.
	values := h[name]
	if len(values) > 1 {
		return "", Refuse(Malformed, "the header %s comes %d times", name, len(values))
	}
	if len(values) == 0 {
		return "", nil
	}
	return textproto.TrimString(values[0]), nil
}

// queryValue returns a single-valued query parameter of the request.
func queryValue(r *Request, name string) (string, error) {
	_, raw, found := strings.Cut(r.RequestURI, "?")
	if !found {
		return "", nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return "", Refuse(Malformed, "the query string cannot be parsed")
	}
	return single(values[name], "query parameter", name)
}

// Form parses the body as application/x-www-form-urlencoded. It returns nil
// for any other content type, and refuses forms over 1 MiB.
func (r *Request) Form() (url.Values, error) {
	ct, err := headerValue(r.Header, "Content-Type")
	if err != nil {
		return nil, err
	}
	if t, _, err := mime.ParseMediaType(ct); err != nil || t != "application/x-www-form-urlencoded" {
		return nil, nil
	}
	if r.Body.Size() > maxForm {
		return nil, Refuse(Malformed, "a form of %d bytes is too large to look into", r.Body.Size())
	}
	raw, err := bodyBytes(r.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the body again: %w", err)
	}
	values, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, Refuse(Malformed, "the body is not a well-formed form")
	}
	return values, nil
}

func single(values []string, what, name string) (string, error) {
	if len(values) > 1 {
		return "", Refuse(Malformed, "the %s %s comes %d times", what, name, len(values))
	}
	if len(values) == 0 {
		return "", nil
	}
	return values[0], nil
}

// values reads fields of one request, parsing header list, form and JSON at
// most once each.
type values struct {
	req      *Request
	elements elements
	form     url.Values
	formRead bool
	paths    *JSONPaths // every JSON path that the scheme will ask for
	json     []string
}

// get returns the value of a field, empty if it is not there.
func (v *values) get(f Field) (string, error) {
	switch f.From {
	case "header":
		return headerValue(v.req.Header, f.Name)
	case "query":
		return queryValue(v.req, f.Name)
	case "element":
		return v.elements.single(f.Name)
	case "value":
		return v.req.Values[f.Name], nil
	case "form":
		form, err := v.readForm()
		if err != nil {
			return "", err
		}
		return single(form[f.Name], "form field", f.Name)
	case "json":
		if v.json == nil {
			found, err := v.paths.Find(v.req.Body)
			if err != nil {
				return "", fmt.Errorf("reading the body again: %w", err)
			}
			v.json = found
		}
		return v.json[slices.Index(v.paths.names, f.Name)], nil
	}
	return "", nil
}

// readForm parses the form, once.
func (v *values) readForm() (url.Values, error) {
	if !v.formRead {
		form, err := v.req.Form()
		if err != nil {
			return nil, err
		}
		v.form, v.formRead = form, true
	}
	return v.form, nil
}
