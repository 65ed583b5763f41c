package signature

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
)

// Has reports whether a request has a member of a JSON body, whatever its
// value, a form field or a query parameter. It is meant for verified requests:
// a JSON body is parsed up to the member.
func (r *Request) Has(f Field) (bool, error) {
	switch f.From {
	case "json":
		return hasMember(r.Body, strings.Split(f.Name, "."))
	case "form":
		form, err := r.Form()
		return form.Has(f.Name), err
	case "query":
		_, _, query := r.target()
		values, err := url.ParseQuery(query)
		return err == nil && values.Has(f.Name), nil
	}
	return false, fmt.Errorf("%s cannot be looked for: write json, form or query", f)
}

// hasMember reports whether a JSON document has a member at this path of member
// names. A document that is not JSON has none.
func hasMember(b Body, path []string) (bool, error) {
	// Providers do not escape the names of members. The search for the name is
	// many times faster than parsing, and mostly finds nothing.
	if p := b.Bytes(); p != nil && !bytes.Contains(p, []byte(strconv.Quote(path[len(path)-1]))) {
		return false, nil
	}
	r := b.Open()
	defer r.Close()
	found, err := findMember(json.NewDecoder(r), path)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	}
	return found, err
}

// findMember looks for a path in the object that comes next.
func findMember(dec *json.Decoder, path []string) (bool, error) {
	token, err := dec.Token()
	if err != nil || token != json.Delim('{') {
		return false, err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return false, err
		}
		switch {
		case name != path[0]:
			err = skipValue(dec)
		case len(path) == 1:
			return true, nil
		default:
			return findMember(dec, path[1:])
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// skipValue reads one value, without keeping it in memory.
func skipValue(dec *json.Decoder) error {
	for depth := 0; ; {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}
