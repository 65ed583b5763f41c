package signature

import (
	"bytes"
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
	fields []Field // of forms and queries
	paths  []memberPath
}

// memberPath is the path of a member in a JSON document.
type memberPath struct {
	parts []string
	// quoted is the last name as it is written, nil if the last parts are
	// array indexes and nothing else.
	quoted []byte
}

// NewMembers compiles fields. JSON paths are member names and array indexes
// joined by dots.
func NewMembers(fields []Field) (*Members, error) {
	m := new(Members)
	for _, f := range fields {
		switch f.From {
		case "json":
			m.paths = append(m.paths, newMemberPath(f.Name))
		case "form", "query":
			m.fields = append(m.fields, f)
		default:
			return nil, fmt.Errorf("%s cannot be looked for: write json, form or query", f)
		}
	}
	return m, nil
}

func newMemberPath(path string) memberPath {
	p := memberPath{parts: strings.Split(path, ".")}
	for _, part := range slices.Backward(p.parts) {
		if arrayIndex(part) < 0 {
			p.quoted = []byte(strconv.Quote(part))
			break
		}
	}
	return p
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
	if !slices.ContainsFunc(m.paths, func(p memberPath) bool { return p.possible(b) }) {
		return false, nil
	}
	paths := make([][]string, len(m.paths))
	for i, p := range m.paths {
		paths[i] = p.parts
	}
	return hasMember(b, paths)
}

// possible reports whether a document could have the member. Providers do not
// escape the names of members; the search for one is many times faster than
// parsing, and mostly finds nothing.
func (p memberPath) possible(b Body) bool {
	raw := b.Bytes()
	return raw == nil || p.quoted == nil || bytes.Contains(raw, p.quoted)
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
