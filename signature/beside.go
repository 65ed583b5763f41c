package signature

import (
	"encoding/json"
	"errors"
	"io"
	"iter"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// A signature does not cover everything that an app can read. The checks in this
// file refuse content that an app could read instead of the signed content.

// checkUnsigned refuses requests with unsigned content, if the scheme excludes it.
func (v *Verifier) checkUnsigned(r *Request) error {
	s := &v.scheme
	if s.NoBody {
		if err := checkNoBody(r); err != nil {
			return err
		}
	}
	if len(s.RefuseQuery) > 0 {
		if err := checkQuery(r, s.RefuseQuery); err != nil {
			return err
		}
	}
	if s.WholeForm {
		return v.checkWholeForm(r)
	}
	return nil
}

// checkNoBody refuses a body, and a query that is a signed JSON body.
func checkNoBody(r *Request) error {
	if r.Body.Size() > 0 {
		return Refuse(Malformed, "the request has a body, which the signature does not cover")
	}
	if _, _, raw := r.target(); strings.ContainsAny(raw, `{"`) {
		return Refuse(Malformed, "the query has characters that are escaped in a query")
	}
	return nil
}

// CheckSignedForm refuses a request whose signature covers the fields of the form in its
// body, if an app could read something else: another method or Content-Type, or fields
// in the query, which many servers join with those of the form. It is meant for verified
// requests of providers with their own code; a scheme with WholeForm does the same.
func CheckSignedForm(r *Request) error {
	if err := checkFormIsRead(r); err != nil {
		return err
	}
	if err := checkFormText(r.Body); err != nil {
		return err
	}
	form, err := r.formFields(false)
	if err != nil || form == nil {
		return err
	}
	return checkQuery(r, slices.Collect(form.names()))
}

// checkFormIsRead refuses a request whose body apps do not read as a form in UTF-8.
func checkFormIsRead(r *Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return Refuse(Malformed, "a %s request does not have a form as its body", r.Method)
	}
	if !plainForm(r.Header) {
		return Refuse(Malformed, "the Content-Type is not application/x-www-form-urlencoded in UTF-8")
	}
	return nil
}

// checkFormText refuses a form with characters that are escaped in forms: starlette reads
// unescaped characters other than ASCII as ISO 8859-1, and PHP ends a value at a NUL.
func checkFormText(b Body) error {
	if err := writeBody(printable{}, b); errors.Is(err, errUnescaped) {
		return Refuse(Malformed, "the form has control characters, or characters other than ASCII, that are not escaped")
	} else if err != nil {
		return err
	}
	return nil
}

var errUnescaped = errors.New("unescaped characters")

// printable accepts only printable ASCII.
type printable struct{}

// Write implements io.Writer.
func (printable) Write(p []byte) (int, error) {
	for _, c := range p {
		if c < ' ' || c > '~' {
			return 0, errUnescaped
		}
	}
	return len(p), nil
}

// checkQuery refuses parameters that some parsers treat as one of these. It checks
// the query that the app gets, whatever URL is signed.
func checkQuery(r *Request, refused []string) error {
	_, raw, _ := strings.Cut(r.RequestURI, "?")
	query, err := ParseQuery(raw)
	if err != nil {
		return Refuse(Malformed, "the query string cannot be parsed")
	}
	for name := range query {
		if slices.ContainsFunc(refused, func(other string) bool { return SameToSomeParser(name, other) }) {
			return Refuse(Malformed, "the query has a parameter that an app could read instead of the signed one")
		}
	}
	return nil
}

// checkWholeForm refuses a form with anything except the signed fields, each once
// and unescaped, so that every parser reads the same fields.
func (v *Verifier) checkWholeForm(r *Request) error {
	names := v.template.signedNames("form")
	if err := checkFormIsRead(r); err != nil {
		return err
	}
	if err := checkQuery(r, names); err != nil {
		return err
	}
	form, err := r.formFields(v.allForm)
	if err != nil {
		return err
	}
	if form == nil {
		return Refuse(Malformed, "the form does not have the signed field")
	}
	if form.parts > len(form.fields) {
		return Refuse(Malformed, "the form has an empty field")
	}
	for _, field := range form.fields {
		i := slices.Index(names, field.name)
		if i < 0 || !field.asWritten {
			return Refuse(Malformed, "the form has a field that the signature does not cover, or the signed one more than once")
		}
		names = slices.Delete(names, i, i+1)
	}
	if len(names) > 0 {
		return Refuse(Malformed, "the form does not have the signed field")
	}
	return nil
}

// plainForm reports whether the Content-Type is that of a form in UTF-8. In another
// character set the same bytes would be different fields.
func plainForm(h http.Header) bool {
	values := h["Content-Type"]
	if len(values) != 1 || len(values[0]) > MaxContentType {
		return false
	}
	kind, params, err := mime.ParseMediaType(values[0])
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return false
	}
	charset, named := params["charset"]
	return len(params) == 0 || (len(params) == 1 && named && strings.EqualFold(charset, "utf-8"))
}

// asciiCompatible reports whether & and = are the same bytes in the character set of
// a form, if there is one.
func asciiCompatible(h http.Header) bool {
	_, params, err := mime.ParseMediaType(h["Content-Type"][0])
	switch strings.ToLower(params["charset"]) {
	case "", "utf-8", "utf8", "us-ascii", "iso-8859-1", "windows-1252":
		return err == nil
	}
	return false
}

// checkLookalikes refuses parameters that some parsers treat as the named one.
func checkLookalikes(names iter.Seq[string], what, name string) error {
	for other := range names {
		if other != name && SameToSomeParser(other, name) {
			return Refuse(Malformed, "a second %s could be read instead of %s", what, name)
		}
	}
	return nil
}

// SameToSomeParser reports whether some parser reads other as name, or as a part of it:
// the names are equal, or one of them continues with brackets, dots or a NUL.
//
//   - PHP drops leading white space, ends a name at a NUL, converts dots, spaces and a [
//     without ] to underscores, and reads name[x] into name.
//   - Rack 2 drops brackets in front of a name, and after it: ]name, [name].
//   - qs, the parser of Express 4, reads [name], and name.x into name if allowDots is set.
//   - Others ignore letter case.
func SameToSomeParser(other, name string) bool {
	other, name = cutAsPHP(other), cutAsPHP(name)
	return samePath(other, name, "[]") || samePath(other, name, "[].") || samePart(other, name)
}

// cutAsPHP drops leading white space, and everything from a NUL on.
func cutAsPHP(name string) string {
	name, _, _ = strings.Cut(strings.TrimLeft(name, " \t\r\n\v\f"), "\x00")
	return name
}

// samePath reports whether one of two paths is the beginning of the other. Parts are
// separated by any of the separators; empty ones do not count.
func samePath(a, b, separators string) bool {
	same := false
	for {
		var partA, partB string
		partA, a = cutPathPart(a, separators)
		partB, b = cutPathPart(b, separators)
		if partA == "" || partB == "" {
			return same || partA == partB
		}
		if !samePart(partA, partB) {
			return false
		}
		same = true
	}
}

// cutPathPart returns the first part of a path, empty if there is none.
func cutPathPart(path, separators string) (part, rest string) {
	path = strings.TrimLeft(path, separators)
	end := strings.IndexAny(path, separators)
	if end < 0 {
		return path, ""
	}
	return path[:end], path[end:]
}

// samePart compares without letter case, and takes what PHP converts for underscores.
func samePart(a, b string) bool {
	// Texts that fold to the same have as many characters. A longer one is not
	// copied: a sender can make it very long.
	if len(a) > utf8.UTFMax*len(b) || len(b) > utf8.UTFMax*len(a) {
		return false
	}
	return strings.EqualFold(a, b) || strings.EqualFold(underscores.Replace(a), underscores.Replace(b))
}

var underscores = strings.NewReplacer(".", "_", " ", "_", "[", "_")

// checkSigned refuses signed content that apps could read differently, and content whose
// body could start elsewhere in it: only one part of it can be a complete JSON document.
func (v *Verifier) checkSigned(r *Request) error {
	if v.scheme.WholeForm {
		if err := checkFormText(r.Body); err != nil {
			return err
		}
	}
	if !v.wholeJSON {
		return nil
	}
	if v.template.signsMethod() && slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodDelete}, r.Method) {
		if r.Body.Size() > 0 {
			return Refuse(Malformed, "a %s request of this provider has no body", r.Method)
		}
		return nil
	}
	complete, err := v.completeJSON(r)
	if err == nil && !complete {
		return Refuse(Malformed, "the body is not one complete JSON object or array")
	}
	return err
}

// completeJSON reports whether the signed body is one JSON object or array and nothing
// else. The signature has been verified, so it may cost as much as parsing.
func (v *Verifier) completeJSON(r *Request) (bool, error) {
	var src io.ReadCloser
	if v.inflates && isGzip(r) {
		src = openInflated(r)
	} else {
		src = r.Body.Open()
	}
	defer src.Close()
	read := &errorReader{from: src}
	dec := json.NewDecoder(read)
	dec.UseNumber()
	complete := isObjectOrArray(dec)
	if complete {
		_, err := dec.Token()
		complete = errors.Is(err, io.EOF)
	}
	return complete && read.err == nil, read.err
}

// isObjectOrArray reads one value and reports whether it is a JSON object or
// array, of a depth that other parsers accept.
func isObjectOrArray(dec *json.Decoder) bool {
	const maxDepth = 10000 // that of encoding/json
	for depth := 0; ; {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxDepth {
				return false
			}
		case json.Delim('}'), json.Delim(']'):
			if depth--; depth == 0 {
				return true
			}
		default:
			if depth == 0 {
				return false
			}
		}
	}
}

// errorReader records the error of a reader, except the end.
type errorReader struct {
	from io.Reader
	err  error
}

// Read implements io.Reader.
func (r *errorReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}
