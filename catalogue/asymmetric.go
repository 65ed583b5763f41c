package catalogue

import (
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// asymmetric are the providers that sign with a private key. The configured secret is
// the public key.
var asymmetric = []provider.Preset{
	// The merchant chooses which fields are sent, so checking a cart twice sends equal
	// bodies. Commerce waits for the response.
	{
		Name: "adobe-commerce", Title: "Adobe Commerce webhooks", Distinction: repeats,
		Schemes: only(signature.RSASHA256, base64In("X-Adobe-Commerce-Webhook-Signature", ""), signed("{body_base64}")),
		Docs:    "https://developer.adobe.com/commerce/extensibility/webhooks/signature-verification/", SecretHelp: "public key, under Stores > Configuration > Adobe Services > Webhooks",
	},
	{
		Name: "discord", Title: "Discord", Distinction: unique,
		Variants: []provider.Variant{
			{Name: "interactions", Help: "the interactions endpoint", Schemes: discordSchemes(inJSON("type"), 0)},
			{Name: "webhook-events", Help: "webhook events", Schemes: discordSchemes(inJSON("event.type"), 660)},
		}, Handshake: discordPing, Handshakes: "PING, signed",
		Docs: "https://docs.discord.com/developers/interactions/overview", SecretHelp: "Public Key, under General Information of the app",
	},
	// Each request ends once, and its ID is signed. There are 10 retries in 2 hours.
	// It is not documented whether they are signed with a new time.
	{
		Name: "fal", Title: "fal.ai", Distinction: unique,
		Schemes: only(signature.Ed25519, hexIn("X-Fal-Webhook-Signature", ""), signed("{id}{lf}{header.X-Fal-Webhook-User-Id}{lf}{timestamp}{lf}{body_sha256_hex}"),
			timestamp(inHeader("X-Fal-Webhook-Timestamp"), "unix", 3*3600), id(inHeader("X-Fal-Webhook-Request-Id")), event(inJSON("status"))),
		Docs: "https://docs.fal.ai/documentation/model-apis/inference/webhooks", SecretHelp: "`x` of a key in the key set that the documentation links to",
		Weakness: "fal.ai signs with one key for all customers: check that X-Fal-Webhook-User-Id is yours",
	},
	{
		Name: "fireblocks", Title: "Fireblocks (legacy signature)", Distinction: unique,
		Schemes: only(signature.RSASHA512, base64In("Fireblocks-Signature", ""), id(inJSON("id")), event(inJSON("eventType"))),
		Docs:    "https://developers.fireblocks.com/reference/validating-webhooks", SecretHelp: "the public key that Fireblocks publishes for the environment",
		Weakness: "Fireblocks signs with one key for all customers: check that the workspace in the body is yours",
	},
	// Each attempt has a new date, and the attempt count is in the body. The ID does
	// not change. 15 retries take about 3 days.
	{
		Name: "keygen", Title: "Keygen", Distinction: unique,
		Schemes: only(signature.Ed25519, signature.SignatureField{Field: inHeader("Keygen-Signature"), Encoding: signature.Base64, Separator: ",", Spaces: true, Assign: "=", Element: "signature", Quoted: true},
			signed("(request-target): post {request_target}{lf}host: {host}{lf}date: {timestamp}{lf}digest: sha-256={body_sha256_base64}"), timestamp(inHeader("Date"), "http_date", 0), id(inJSON("data.id")), event(inJSON("data.attributes.event"))),
		Check: checkKeygen, Docs: "https://keygen.sh/docs/api/signatures/", SecretHelp: "Ed25519 public key of the account, in hex; keep ed25519 as the endpoint's signature algorithm",
	},
	// A retry has the same uuid and the same signature.
	{
		Name: "postal", Title: "Postal", Distinction: unique,
		Schemes: only(signature.RSASHA256, base64In("X-Postal-Signature-256", ""), id(inJSON("uuid")), event(inJSON("event"))),
		Docs:    "https://docs.postalserver.io/developer/webhooks", SecretHelp: "the installation's public key in PEM, or a key of its /.well-known/jwks.json",
	},
	// Retries continue for a day. It is not documented whether they are signed with a
	// new time. Every event has an sg_event_id.
	{
		Name: "sendgrid", Title: "SendGrid Event Webhook", DigestBody: true, Distinction: unique,
		Schemes: only(signature.ECDSAP256SHA256, base64In("X-Twilio-Email-Event-Webhook-Signature", ""), signed("{timestamp}{body}"), timestamp(inHeader("X-Twilio-Email-Event-Webhook-Timestamp"), "unix", 25*3600)),
		Window:  3 * day, Docs: "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features", SecretHelp: "Verification Key, under Mail Settings > Event Webhook",
	},
	{
		Name: "telnyx", Title: "Telnyx", Distinction: unique,
		Schemes: only(signature.Ed25519, base64In("telnyx-signature-ed25519", ""), signed("{timestamp}|{body}"), timestamp(inHeader("telnyx-timestamp"), "unix", 0), id(inJSON("data.id")), event(inJSON("data.event_type"))),
		Docs:    "https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks", SecretHelp: "Public Key, under Keys & Credentials",
	},
	{
		Name: "travis-ci", Title: "Travis CI", Distinction: unique,
		Schemes: only(signature.RSASHA1, base64In("Signature", ""), signed("{form.payload}"), wholeForm), OtherEvent: travisEvent,
		Docs: "https://docs.travis-ci.com/user/notifications/#configuring-webhook-notifications", SecretHelp: "config.notifications.webhook.public_key in https://api.travis-ci.com/config",
		Weakness: "Travis CI signs with one key for all users: check that the repository in the payload is yours",
	},
	{
		Name: "turnkey", Title: "Turnkey", Distinction: unique,
		Schemes: only(signature.Ed25519, hexIn("X-Turnkey-Signature", ""), keyID(inHeader("X-Turnkey-Signature-Key-Id")), signed("v1.ed25519.{header.X-Turnkey-Signature-Key-Id}.{timestamp}.{id}.{body}"),
			timestamp(inHeader("X-Turnkey-Timestamp"), "unix_ms", 0), id(inHeader("X-Turnkey-Event-Id")), event(inHeader("X-Turnkey-Event-Type")),
			require("X-Turnkey-Signature-Version", "v1"), require("X-Turnkey-Signature-Algorithm", "ed25519")),
		Docs: "https://docs.turnkey.com/features/webhooks/verify-signatures", SecretHelp: "x of a key in https://api.turnkey.com/public/v1/discovery/webhooks/jwks, with its kid as label",
		Weakness: "Turnkey signs with one key for all customers: check that the organization in the body is yours",
	},
	{
		Name: "wise", Title: "Wise", Distinction: unique,
		Schemes: only(signature.RSASHA256, base64In("X-Signature-SHA256", ""), id(inHeader("X-Delivery-Id")), event(inJSON("event_type"))),
		Window:  15 * day, Docs: "https://docs.wise.com/guides/developer/webhooks/event-handling", SecretHelp: "the public key that Wise publishes, for production or for the sandbox",
		Weakness: "Wise signs with one key for all customers: check that the profile in the body is yours",
	},
}

// discordSchemes: webhook events are retried for 10 minutes, interactions are not.
func discordSchemes(eventType signature.Field, tolerance int) []signature.Scheme {
	return only(signature.Ed25519, hexIn("X-Signature-Ed25519", ""), signed("{timestamp}{body}"), timestamp(inHeader("X-Signature-Timestamp"), "unix", tolerance), id(inJSON("id")), event(eventType))
}
