package catalogue

import (
	"cmp"
	"errors"
	"net/http"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// graphValues reads the first clientState, which is the secret.
// https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks
func graphValues(_ *provider.Module, r *signature.Request) ([]map[string]string, error) {
	body, err := bodyUpTo(r, graphMost)
	if err != nil {
		return nil, err
	}
	state := ""
	err = eachClientState(body, func(first string) error {
		state = first
		return errStop
	})
	if state == "" {
		return nil, cmp.Or(err, errGraph)
	}
	return []map[string]string{{"client_state": state}}, nil
}

// checkGraph refuses notifications with a missing or different clientState, and JSON
// that the app could read differently. It runs last, because it is slow.
func checkGraph(r *signature.Request) error {
	body, err := bodyUpTo(r, graphMost)
	if err != nil {
		return err
	}
	if err := checkNames(body, graphNames); err != nil {
		return signature.Refuse(signature.Malformed, "%v", err)
	}
	first := ""
	return eachClientState(body, func(state string) error {
		switch {
		case state == "":
			return errGraph
		case first != "" && !sameText(state, first):
			return signature.Refuse(signature.InvalidSignature, "the notifications have different values of clientState")
		}
		first = state
		return nil
	})
}

// graphNames are the members that the code reads.
var graphNames = knownNames(2, "value", "clientState")

// eachClientState calls each with the clientState of every notification, or "" if it
// is missing.
func eachClientState(body []byte, each func(state string) error) error {
	w := &jsonWalk{buf: body}
	err := w.members(func(name []byte) error {
		if !isNamed(name, "value") {
			return w.skip()
		}
		return w.elements(func() error {
			state, err := w.notificationState()
			if err != nil {
				return err
			}
			return each(state)
		})
	})
	switch {
	case errors.Is(err, errStop):
		return nil
	case errors.Is(err, errNotJSON), errors.Is(err, errManyNames):
		return signature.Refuse(signature.Malformed, "%v", err)
	}
	return err
}

var errGraph = signature.Refuse(signature.Malformed, "the body is not a list of notifications with clientState")

// maxClientState exceeds Microsoft's limit for clientState, in characters.
const maxClientState = 4 * 128

// notificationState consumes a notification and returns its clientState, or "" if it
// is missing.
func (w *jsonWalk) notificationState() (string, error) {
	state, found := "", false
	err := w.members(func(name []byte) error {
		value, err := w.take()
		if err == nil && !found && len(value) <= maxClientState && isNamed(name, "clientState") {
			state, _ = jsonString(value, false)
			found = true
		}
		return err
	})
	return state, err
}

// graphChallenge echoes validationToken as text.
var graphChallenge = &provider.Challenge{
	ReadsBody: true,
	Possible: func(_ *provider.Module, r *signature.Request) bool {
		return r.Method == http.MethodPost && provider.Query(r).Has("validationToken")
	},
	Answer: func(_ *provider.Module, r *signature.Request) (*signature.Answer, error) {
		if r.Body.Size() > 0 {
			return nil, nil // a notification
		}
		return echo(single(provider.Query(r), "validationToken"))
	},
}
