package provider

import (
	"encoding/json"
	"errors"
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

// graphNames are the members that are read.
var graphNames = knownNames(2, "value", "clientState")

var errGraph = errors.New("the body is not a list of notifications with a clientState each")

// clientStates returns the clientState of every notification, at least one.
func clientStates(body []byte) ([]string, error) {
	if err := checkNames(body, graphNames); err != nil {
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
