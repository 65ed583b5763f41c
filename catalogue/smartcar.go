package catalogue

import (
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// smartcarMembers are the members of version 4, followed by those of version 2.
var smartcarMembers = members("eventType", "data.challenge", "eventName", "payload.challenge")

// smartcarVerify returns the challenge of a VERIFY event, or "" if the body is not
// one, and the event type.
func smartcarVerify(r *signature.Request) (challenge, event string, err error) {
	found, err := smartcarMembers(r)
	switch {
	case err != nil:
		return "", "", err
	case found[0] == "VERIFY":
		return found[1], found[0], nil
	case found[0] == "" && found[2] == "verify":
		return found[3], found[2], nil
	case found[0] == "":
		return "", found[2], nil
	}
	return "", found[0], nil
}

// smartcarChallenge answers an unsigned VERIFY event with an HMAC under the key that
// signs deliveries. Deliveries are JSON objects, which the scheme requires, and a
// challenge with a brace or a bracket is refused, so no response is a valid signature
// of a delivery.
// https://smartcar.com/docs/integrations/webhooks/callback-verification
var smartcarChallenge = &provider.Challenge{
	ReadsBody: true,
	Possible: func(_ *provider.Module, r *signature.Request) bool {
		return r.Method == http.MethodPost && provider.MayBeSmall(r) && r.Header.Get("SC-Signature") == ""
	},
	Answer: func(m *provider.Module, r *signature.Request) (*signature.Answer, error) {
		challenge, _, err := smartcarVerify(r)
		if err != nil || challenge == "" {
			return nil, err
		}
		return smartcarAnswer(m.Keys()[0], challenge)
	},
}

// smartcarHandshake answers a signed VERIFY event, and reads the event type of version
// 2.
func smartcarHandshake(m *provider.Module, r *signature.Request, d *signature.Delivery) (*signature.Answer, error) {
	challenge, event, err := smartcarVerify(r)
	if err != nil {
		return nil, err
	}
	d.Event = event
	if challenge == "" {
		return nil, nil
	}
	for _, secret := range m.Keys() {
		if secret.Identity().Fingerprint == d.Matches[0].Secret.Fingerprint {
			return smartcarAnswer(secret, challenge)
		}
	}
	return nil, signature.Refuse(signature.InvalidSignature, "signature mismatch")
}

func smartcarAnswer(secret signature.Secret, challenge string) (*signature.Answer, error) {
	if !provider.Printable(challenge) || strings.ContainsAny(challenge, "{[") {
		return nil, signature.Refuse(signature.Malformed, "invalid challenge")
	}
	return jsonAnswer(map[string]string{"challenge": hex.EncodeToString(mac(secret, challenge))})
}
