package provider

import (
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
	if err := checkNames(body, graphNames); err != nil {
		return nil, signature.Refuse(signature.Malformed, "%v", err)
	}
	state, err := clientState(body)
	if err != nil {
		return nil, err
	}
	return []map[string]string{{"client_state": state}}, nil
}

// graphNames are the members that are read.
var graphNames = knownNames(2, "value", "clientState")

// clientState returns the clientState that all notifications have, of which
// there is at least one.
func clientState(body []byte) (string, error) {
	first, found := "", false
	for name, list := range jsonMembers(body) {
		if !isNamed(name, "value") {
			continue
		}
		for notification := range jsonElements(list) {
			state := notificationState(notification)
			switch {
			case state == "":
				return "", errGraph
			case found && !sameText(state, first):
				return "", signature.Refuse(signature.InvalidSignature, "the notifications have different values of clientState")
			}
			first, found = state, true
		}
	}
	if !found {
		return "", errGraph
	}
	return first, nil
}

var errGraph = signature.Refuse(signature.Malformed, "the body is not a list of notifications with a clientState each")

// maxClientState is the most that Microsoft takes for a clientState, in
// characters, and some more.
const maxClientState = 4 * 128

// notificationState returns the clientState of a notification, empty if there
// is none.
func notificationState(notification []byte) string {
	for name, value := range jsonMembers(notification) {
		if isNamed(name, "clientState") && len(value) <= maxClientState {
			state, _ := jsonString(value, false)
			return state
		}
	}
	return ""
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
