package catalogue

import (
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// urlSigned are the providers that sign the URL with the body. It is the URL
// that the provider calls. If proxies in front of Caddy change it, `public_url`
// contains it.
var urlSigned = []provider.Preset{
	// Retries run for 8 hours. Whether their time is new is not documented.
	{
		Name: "bird", Title: "Bird", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("messagebird-signature", ""), signed("{timestamp}{lf}{url}{lf}{body_sha256}"), timestamp(inHeader("messagebird-request-timestamp"), "unix", 9*3600), event(inJSON("event"))),
		Docs:    "https://docs.bird.com/api/notifications-api/api-reference/webhooks/verifying-a-webhook", SecretHelp: "signing key of the webhook subscription",
	},
	// Confirmed at mandrill.zendesk.com, How to Authenticate Webhook Requests.
	{
		Name: "mandrill", Title: "Mailchimp Transactional (Mandrill)", Distinction: unique,
		Schemes: only(signature.HMACSHA1, base64In("X-Mandrill-Signature", ""), signed("{url}{form_sorted}"), answers(headRequest)), Weakness: formWeakness,
		Takes: []string{"accept_handshake"}, SecretLater: true, // which is created with the webhook
		Docs: "https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/", SecretHelp: "Key of the webhook",
	},
	{
		Name: "square", Title: "Square", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("x-square-hmacsha256-signature", ""), signed("{url}{body}"), id(inJSON("event_id")), event(inJSON("type"))),
		Window:  3 * day, Docs: "https://developer.squareup.com/docs/webhooks/step3validate", SecretHelp: "Signature key of the subscription",
	},
	// An action is sent to every webhook that watches the board, card or member:
	// json action.id is the same in all of them, the signed URL is not.
	// https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks
	{
		Name: "trello", Title: "Trello", Distinction: unique,
		Schemes: only(signature.HMACSHA1, base64In("X-Trello-Webhook", ""), signed("{body}{url}"), event(inJSON("action.type")), answers(headRequest)),
		Docs:    "https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks", SecretHelp: "OAuth secret of the application (not the API token)",
	},
}

const formWeakness = "names and values of the form are signed without anything between them: anyone who sees a delivery that was not handled yet can move letters from one to the next"

// repeatingFormWeakness is for deliveries whose content repeats: under another ID
// the letters can be moved in one that was handled, too.
const repeatingFormWeakness = "names and values of the form are signed without anything between them: anyone who sees a delivery can move letters from one to the next and send that under another ID"
