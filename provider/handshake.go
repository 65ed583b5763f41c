package provider

import (
	"encoding/json"
	"net/http"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// echoChallenge answers a signed JSON delivery whose member has the value
// kind: with its challenge, as JSON under the same name.
func echoChallenge(member, kind, challenge string) Handshake {
	paths, err := signature.NewJSONPaths([]string{member, challenge})
	if err != nil {
		panic(err) // a typing mistake in the catalogue
	}
	return func(_ *Module, r *signature.Request, _ *signature.Delivery) (*signature.Answer, error) {
		found, err := paths.Find(r.Body)
		if err != nil || found[0] != kind {
			return nil, err
		}
		body, err := json.Marshal(map[string]string{challenge: found[1]})
		return &signature.Answer{Status: http.StatusOK, ContentType: "application/json", Body: body}, err
	}
}
