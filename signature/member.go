package signature

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Members looks for fields in requests: members of a JSON body, whatever their
// values, form fields and query parameters. It is meant for verified requests:
// a JSON body may be parsed to its end.
type Members struct {
	fields []Field    // of forms and queries
	paths  [][]string // of members of a JSON document, in parts
	first  []string   // the first part of each
}

// NewMembers compiles fields. JSON paths are member names and array indexes
// joined by dots.
func NewMembers(fields []Field) (*Members, error) {
	m := new(Members)
	for _, f := range fields {
		switch f.From {
		case "json":
			parts := strings.Split(f.Name, ".")
			m.paths, m.first = append(m.paths, parts), append(m.first, parts[0])
		case "form", "query":
			m.fields = append(m.fields, f)
		default:
			return nil, fmt.Errorf("%s cannot be looked for: write json, form or query", f)
		}
	}
	return m, nil
}

// In reports whether a request has any of the fields.
func (m *Members) In(r *Request) (bool, error) {
	for _, f := range m.fields {
		if found, err := r.hasField(f); found || err != nil {
			return found, err
		}
	}
	return m.InJSON(r.Body)
}

// InJSON reports whether a JSON document has any of the members.
func (m *Members) InJSON(b Body) (bool, error) {
	if len(m.paths) == 0 {
		return false, nil
	}
	if raw := b.Bytes(); raw != nil && !mayHaveMember(raw, m.first) {
		return false, nil
	}
	return hasMember(b, m.paths)
}

// mayHaveMember reports whether a JSON document is an array or has one of these
// names at its top level. If it reports false, the document has no member at a
// path that begins with one of them. It reads the document once, skips the
// values, and is many times faster than a parser.
func mayHaveMember(doc []byte, names []string) bool {
	s := jsonScan{buf: doc}
	c, ok := s.token()
	if !ok || c != '{' {
		return c == '['
	}
	s.pos++
	for c, ok = s.token(); ok && c == '"'; c, ok = s.token() {
		name, ok := s.str()
		if !ok {
			return false
		}
		if slices.ContainsFunc(names, func(n string) bool { return n == string(name) }) {
			return true
		}
		if c, ok := s.token(); !ok || c != ':' {
			return false
		}
		s.pos++
		if c, ok := s.token(); !ok || !s.skip(c) {
			return false
		}
		if more, _ := s.separator('}'); !more {
			return false
		}
	}
	return false
}

// hasField reports whether a request has a form field or a query parameter.
func (r *Request) hasField(f Field) (bool, error) {
	if f.From == "form" {
		form, err := r.Form()
		return form.Has(f.Name), err
	}
	_, _, query := r.target()
	values, err := ParseQuery(query)
	return err == nil && values.Has(f.Name), nil
}

// hasMember reports whether a JSON document has a member at any of these paths
// of member names and array indexes. A document that is not JSON has none.
func hasMember(b Body, paths [][]string) (bool, error) {
	r := b.Open()
	defer r.Close()
	dec := json.NewDecoder(r)
	dec.UseNumber() // a number may be larger than a float64
	found, err := findMember(dec, paths)
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
