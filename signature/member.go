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
func (r *Request) Has(f Field) (bool, error) { return r.HasAny([]Field{f}) }

// HasAny reports whether a request has any of the fields, as [Request.Has]
// does for one. A JSON body is parsed at most once.
func (r *Request) HasAny(fields []Field) (bool, error) {
	var paths [][]string
	for _, f := range fields {
		var found bool
		var err error
		switch f.From {
		case "json":
			if path := splitPath(r.Body, f.Name); path != nil {
				paths = append(paths, path)
			}
		case "form":
			var form url.Values
			form, err = r.Form()
			found = form.Has(f.Name)
		case "query":
			_, _, query := r.target()
			values, refused := url.ParseQuery(query)
			found = refused == nil && values.Has(f.Name)
		default:
			err = fmt.Errorf("%s cannot be looked for: write json, form or query", f)
		}
		if found || err != nil {
			return found, err
		}
	}
	if len(paths) == 0 {
		return false, nil
	}
	return hasMember(r.Body, paths)
}

// splitPath returns the parts of a JSON path, or nil if the body cannot have
// it. Providers do not escape the names of members. The search for a name is
// many times faster than parsing, and mostly finds nothing.
func splitPath(b Body, name string) []string {
	last := name
	for {
		i := strings.LastIndexByte(last, '.')
		if i < 0 || arrayIndex(last[i+1:]) < 0 {
			last = last[i+1:]
			break
		}
		last = last[:i]
	}
	var room [64]byte
	if p := b.Bytes(); p != nil && arrayIndex(last) < 0 && !bytes.Contains(p, strconv.AppendQuote(room[:0], last)) {
		return nil
	}
	return strings.Split(name, ".")
}

// hasMember reports whether a JSON document has a member at any of these paths
// of member names and array indexes. A document that is not JSON has none.
func hasMember(b Body, paths [][]string) (bool, error) {
	r := b.Open()
	defer r.Close()
	found, err := findMember(json.NewDecoder(r), paths)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	}
	return found, err
}

// findMember looks for the paths in the value that comes next, and reads all of
// it unless it finds one.
func findMember(dec *json.Decoder, paths [][]string) (bool, error) {
	if len(paths) == 0 {
		return false, skipValue(dec)
	}
	token, err := dec.Token()
	if err != nil || token != json.Delim('{') && token != json.Delim('[') {
		return false, err
	}
	for i := 0; dec.More(); i++ {
		name := strconv.Itoa(i)
		if token == json.Delim('{') {
			member, err := dec.Token()
			if err != nil {
				return false, err
			}
			name, _ = member.(string)
		}
		rest, found := below(paths, name)
		if found {
			return true, nil
		}
		if found, err := findMember(dec, rest); found || err != nil {
			return found, err
		}
	}
	_, err = dec.Token()
	return false, err
}

// below returns what is left of the paths that begin with name, and whether
// nothing is left of one.
func below(paths [][]string, name string) (rest [][]string, found bool) {
	for _, path := range paths {
		switch {
		case path[0] != name:
		case len(path) == 1:
			return nil, true
		default:
			rest = append(rest, path[1:])
		}
	}
	return rest, false
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
