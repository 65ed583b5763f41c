package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// graphValues reads clientState, the same secret in every notification of a
// delivery. One without it, or with another, makes the whole worthless.
// https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks
func graphValues(_ *Module, r *signature.Request) ([]map[string]string, error) {
	body, err := wholeBody(r)
	if err != nil {
		return nil, err
	}
	states, err := clientStates(body)
	if err != nil {
		return nil, signature.Refuse(signature.Malformed, "%v", err)
	}
	for _, state := range states[1:] {
		if !sameText(state, states[0]) {
			return nil, signature.Refuse(signature.InvalidSignature, "the notifications have different values of clientState")
		}
	}
	return []map[string]string{{"client_state": states[0]}}, nil
}

var errGraph = errors.New("the body is not a list of notifications with a clientState each")

// clientStates returns the clientState of every notification, at least one.
func clientStates(body []byte) ([]string, error) {
	if err := checkUniqueNames(body, foldName); err != nil {
		return nil, err
	}
	var document struct {
		Value []struct {
			ClientState string `json:"clientState"`
		} `json:"value"`
	}
	if err := json.Unmarshal(body, &document); err != nil || len(document.Value) == 0 {
		return nil, errGraph
	}
	var states []string
	for _, n := range document.Value {
		if n.ClientState == "" {
			return nil, errGraph
		}
		states = append(states, n.ClientState)
	}
	return states, nil
}

// checkUniqueNames refuses a document in which an object has a name twice: the
// app's parser might take the other one. same maps names that count as one to
// one; encoding/json takes names for the same whatever their case.
func checkUniqueNames(body []byte, same func(string) string) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := uniqueNames(dec, 0, same); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON document")
	}
	return nil
}

func uniqueNames(dec *json.Decoder, depth int, same func(string) string) error {
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
	names := make(map[string]bool)
	for dec.More() {
		if object {
			name, err := dec.Token()
			if err != nil {
				return errors.New("the body is not JSON")
			}
			folded := same(name.(string))
			if names[folded] {
				return errors.New("a name comes twice in one JSON object")
			}
			names[folded] = true
		}
		if err := uniqueNames(dec, depth+1, same); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return errors.New("the body is not JSON")
	}
	return nil
}

// exactName keeps names apart that differ in case.
func exactName(name string) string { return name }

// foldName maps names that encoding/json takes for the same to one.
func foldName(name string) string { return string(bytes.ToLower(bytes.ToUpper([]byte(name)))) }

// graphChallenge sends validationToken back as text.
var graphChallenge = &Challenge{
	ReadsBody: true,
	Possible: func(_ *Module, r *signature.Request) bool {
		return r.Method == http.MethodPost && query(r).Has("validationToken")
	},
	Answer: func(_ *Module, r *signature.Request) (*signature.Answer, error) {
		if r.Body.Size() > 0 {
			return nil, nil // a notification
		}
		return echo(only1(query(r), "validationToken"))
	},
}
