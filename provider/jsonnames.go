package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// names are the JSON members that a provider's code reads.
type names struct {
	known map[string]string // by how readers that ignore letter case see them
	depth int               // how deep they are: below it customers choose names
}

func knownNames(depth int, exact ...string) names {
	n := names{make(map[string]string, len(exact)), depth}
	for _, name := range exact {
		n.known[foldName(name)] = name
	}
	return n
}

// checkNames refuses a document in which an object has a name twice, or has a
// known name in other letters: the app's reader might take the other one.
func checkNames(body []byte, n names) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := n.check(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON document")
	}
	return nil
}

func (n names) check(dec *json.Decoder, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return errors.New("the body is not JSON")
	}
	if depth > 100 {
		return errors.New("the JSON document is nested too deep")
	}
	object := token == json.Delim('{')
	if !object && token != json.Delim('[') {
		return nil
	}
	seen := make(map[string]bool)
	for dec.More() {
		if object {
			token, err := dec.Token()
			if err != nil {
				return errors.New("the body is not JSON")
			}
			name, _ := token.(string)
			if depth <= n.depth && seen[name] {
				return errors.New("a name comes twice in one JSON object")
			}
			seen[name] = true
			if exact, ok := n.known[foldName(name)]; ok && exact != name && depth <= n.depth {
				return errors.New("a name differs from " + exact + " in letter case only")
			}
		}
		if err := n.check(dec, depth+1); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return errors.New("the body is not JSON")
	}
	return nil
}

// foldName maps names that encoding/json takes for the same to one.
func foldName(name string) string { return string(bytes.ToLower(bytes.ToUpper([]byte(name)))) }
