package catalogue

import (
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// urlSigned are the providers that sign the URL and the body. The URL is the one that
// the provider calls. If proxies in front of Caddy change it, set `public_url`.
var urlSigned = []provider.Preset{
	// Retries continue for 8 hours. It is not documented whether they are signed with
	// a new time.
	{
		Name: "bird", Title: "Bird", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("messagebird-signature", ""), signed("{timestamp}{lf}{url}{lf}{body_sha256}"), timestamp(inHeader("messagebird-request-timestamp"), "unix", 9*3600), event(inJSON("event"))),
		Docs:    "https://docs.bird.com/api/notifications-api/api-reference/webhooks/verifying-a-webhook", SecretHelp: "signing key of the webhook subscription",
	},
	// Confirmed at mandrill.zendesk.com, How to Authenticate Webhook Requests.
	{
		Name: "mandrill", Title: "Mailchimp Transactional (Mandrill)", Distinction: unique,
		Schemes: only(signature.HMACSHA1, base64In("X-Mandrill-Signature", ""), signed("{url}{form_sorted}"), answers(headRequest)), Weakness: formWeakness,
		Takes: []string{"accept_handshake"}, SecretLater: true, // the secret is created with the webhook
		Docs: "https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/", SecretHelp: "Key of the webhook",
	},
	{
		Name: "square", Title: "Square", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("x-square-hmacsha256-signature", ""), signed("{url}{body}"), id(inJSON("event_id")), event(inJSON("type"))),
		Window:  3 * day, Docs: "https://developer.squareup.com/docs/webhooks/step3validate", SecretHelp: "Signature key of the subscription",
	},
	// An action is sent to every webhook on the board, card or member. They share
	// json action.id, but not the signed URL.
	// https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks
	{
		Name: "trello", Title: "Trello", Distinction: unique,
		Schemes: only(signature.HMACSHA1, base64In("X-Trello-Webhook", ""), signed("{body}{url}"), event(inJSON("action.type")), answers(headRequest)),
		Docs:    "https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks", SecretHelp: "OAuth secret of the application (not the API token)",
	},
}

const formWeakness = "form names and values are signed without separators: anyone who sees a delivery before it is handled can move characters between them"

// repeatingFormWeakness is for deliveries whose content repeats: with another ID, a
// handled delivery can be modified as well.
const repeatingFormWeakness = "form names and values are signed without separators: anyone who sees a delivery can move characters between them and send the result with another ID"
