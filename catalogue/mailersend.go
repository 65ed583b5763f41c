package catalogue

import (
	"net/http"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// mailerSendSchemes: sources differ about the name of the header.
var mailerSendSchemes = only(signature.HMACSHA256, signature.SignatureField{Field: inHeader("Signature"), Also: []string{"X-MailerSend-Signature"}}, refuseEmpty, event(inJSON("type")))

// mailerSendTestKey is the published key that signs only webhook.test.
const mailerSendTestKey = "test_Am3L1GuOIc4blLUuHqAPxxwkZaJyEk8G"

var mailerSendTest = publishedVerifier(mailerSendSchemes[0], mailerSendTestKey)

// publishedVerifier returns a verifier with a published key. A typo panics at startup.
func publishedVerifier(s signature.Scheme, key string) *signature.Verifier {
	secret, err := signature.NewSecret(key, "")
	if err != nil {
		panic(err)
	}
	v, err := s.Compile([]signature.Secret{secret}, 0)
	if err != nil {
		panic(err)
	}
	return v
}

var mailerSendMembers = members("type")

// mailerSendPing answers webhook.test, which MailerSend requires to save a webhook.
// Anyone can sign it, and it is not forwarded. One signed with the secret is a
// delivery.
// https://developers.mailersend.com/api/v1/webhooks.html#webhooks-overview, and
// symfony/mailer-send-mailer, Webhook/MailerSendRequestParser.php
var mailerSendPing = &provider.Challenge{
	ReadsBody: true,
	Possible: func(_ *provider.Module, r *signature.Request) bool {
		return r.Method == http.MethodPost && provider.MayBeSmall(r) && mailerSendTest.Present(r)
	},
	Answer: func(_ *provider.Module, r *signature.Request) (*signature.Answer, error) {
		if r.Body.Size() > 2*provider.MaxChallenge {
			return nil, nil
		}
		found, err := mailerSendMembers(r)
		if err != nil || found[0] != "webhook.test" {
			return nil, err
		}
		if _, err := mailerSendTest.Verify(r); err != nil {
			return nil, nil // the configured secret decides
		}
		return emptyAnswer(http.StatusOK), nil
	},
}
