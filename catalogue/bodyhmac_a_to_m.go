package catalogue

import (
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// bodyHMACToM is the first part of bodyHMAC, in alphabetical order.
var bodyHMACToM = []provider.Preset{
	{
		Name: "ably", Title: "Ably", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("X-Ably-Signature", ""), keyID(inHeader("X-Ably-Key"))),
		Docs:    "https://ably.com/docs/platform/integrations/webhooks", SecretHelp: "the part of the API key after the colon; use the part before it as label",
	},
	{
		Name: "adyen-platform", Title: "Adyen for Platforms", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("HmacSignature", ""), key("hex", ""), event(inJSON("type"))),
		Window:  30 * day, // retries continue for as long
		Docs:    "https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures", SecretHelp: "HMAC key of the webhook, in hex as shown",
	},
	// Confirmed at aftership.com/docs/tracking/webhook/webhook-signature.
	// 14 retries with exponential backoff take 12 days. The products sign the body in
	// the same way and have their IDs in different members: with the signature in the
	// header of another product, a copy has another ID or none, and an equal body.
	{
		Name: "aftership", Title: "AfterShip (Tracking, Returns, Warranty, Shipping)", Distinction: unique, AlsoContent: true,
		Schemes: aftershipSchemes(), SecretsFitAll: true,
		Window: 14 * day, Docs: "https://www.aftership.com/docs/tracking/webhook/webhook-signature", SecretHelp: "Webhook secret of the product, for Tracking under Settings > Webhooks",
	},
	// Notifications contain no data: the app fetches the changes. The body has a time
	// in milliseconds.
	{
		Name: "airtable", Title: "Airtable", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Airtable-Content-MAC", "hmac-sha256="), key("base64", "")),
		Docs:    "https://airtable.com/developers/web/api/webhooks-overview", SecretHelp: "macSecretBase64 in the response of the API call that creates the webhook",
	},
	{
		Name: "alchemy", Title: "Alchemy Notify", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Alchemy-Signature", ""), id(inJSON("id")), event(inJSON("type"))),
		Docs:    "https://www.alchemy.com/docs/reference/notify-api-quickstart", SecretHelp: "Signing Key of the webhook, whsec_…",
	},
	// A heartbeat, {"events":[]}, is sent every 8 hours.
	// https://developers.asana.com/docs/webhooks-guide
	{
		Name: "asana", Title: "Asana", Distinction: uniqueWhen(inJSON("events.0")),
		Schemes: only(signature.HMACSHA256, hexIn("X-Hook-Signature", ""), answers(sendsSecret(inHeader("X-Hook-Secret")))),
		Takes:   []string{"accept_handshake"}, SecretLater: true,
		Docs: "https://developers.asana.com/docs/webhooks-guide", SecretHelp: "the X-Hook-Secret header that Asana sends when the webhook is created",
	},
	// Saving an object twice without a visible change sends equal bodies. So does
	// the ping after editing a webhook.
	// https://developers.ashbyhq.com/docs/authenticating-webhooks
	{
		Name: "ashby", Title: "Ashby", Distinction: uniqueWhen(inJSON("data.application.updatedAt")),
		Schemes: only(signature.HMACSHA256, hexIn("Ashby-Signature", "sha256="), event(inJSON("action"))),
		Docs:    "https://developers.ashbyhq.com/docs/authenticating-webhooks", SecretHelp: "Secret Token of the webhook, as entered",
	},
	// Bodies have neither an ID nor a time. Both headers have the same value.
	// https://docs.attio.com/rest-api/guides/webhooks
	{
		Name: "attio", Title: "Attio", Distinction: repeats,
		Schemes: only(signature.HMACSHA256, signature.SignatureField{Field: inHeader("Attio-Signature"), Also: []string{"X-Attio-Signature"}}, id(inHeader("Idempotency-Key")), event(inJSON("events.0.event_type"))),
		Docs:    "https://docs.attio.com/rest-api/guides/webhooks", SecretHelp: "secret of the webhook, under Developers or in the response of the API call",
	},
	// Confirmed at aps.autodesk.com/blog/practice-payload-signature-webhook and
	// in autodesk-platform-services/aps-webhooks-signature.
	{
		Name: "autodesk", Title: "Autodesk Platform Services", Distinction: unique,
		Schemes: only(signature.HMACSHA1, hexIn("X-Adsk-Signature", "sha1hash="), id(inHeader("X-Adsk-Delivery-Id"))),
		Docs:    "https://aps.autodesk.com/en/docs/webhooks/v1/tutorials/how-to-verify-payload-signature/", SecretHelp: "the token registered with POST /webhooks/v1/tokens",
	},
	// repo:push of Bitbucket Cloud contains no time: a branch can move from A to B
	// twice. Approved and unapproved pull requests differ only in the header. Data
	// Center sends its ID in a different header.
	{
		Name: "bitbucket", Title: "Bitbucket", OtherID: "X-Request-Id", Distinction: repeatsWhen(inJSON("push")).Varying("X-Event-Key"),
		Schemes: only(signature.HMACSHA256, hexIn("X-Hub-Signature", "sha256="), id(inHeader("X-Request-UUID")), event(inHeader("X-Event-Key")), answers(ping(inHeader("X-Event-Key"), "diagnostics:ping"))),
		Docs:    "https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/", SecretHelp: "Secret of the webhook, as entered",
	},
	// Hooks for shipping and tax of one cart are repeated with equal bodies, and Bolt
	// waits for the response. X-Bolt-Trace-Id is not documented to be an ID.
	{
		Name: "bolt", Title: "Bolt", Distinction: repeats, Schemes: []signature.Scheme{
			scheme(signature.HMACSHA256, base64In("X-Bolt-Hmac-Sha256", ""), signed("{query}"), noBody, when(signature.Condition{Methods: []string{"GET"}})),
			scheme(signature.HMACSHA256, base64In("X-Bolt-Hmac-Sha256", ""), jsonBody), // a query is signed with the same key, so the body must be JSON
		},
		Docs: "https://help.bolt.com/developers/webhooks/hook-verification/", SecretHelp: "Signing Secret of the merchant",
	},
	{
		Name: "cal.com", Title: "Cal.com", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Cal-Signature-256", ""), event(inJSON("triggerEvent"))),
		Docs:    "https://cal.com/docs/developing/guides/automation/webhooks", SecretHelp: "Secret of the webhook, as entered",
	},
	// data.id is the ID of the list item, the same for archived and unarchived.
	{
		Name: "castle", Title: "Castle", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("X-Castle-Signature", ""), refuseEmpty, event(inJSON("type"))),
		Docs:    "https://docs.castle.io/docs/webhooks", SecretHelp: "the API secret",
	},
	{
		Name: "checkout.com", Title: "Checkout.com", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("Cko-Signature", ""), id(inJSON("id")), event(inJSON("type"))),
		Docs:    "https://www.checkout.com/docs/workflows", SecretHelp: "Signature key of the workflow's webhook action",
	},
	{
		Name: "checkr", Title: "Checkr", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Checkr-Signature", ""), id(inJSON("id")), event(inJSON("type"))),
		Docs:    "https://docs.checkr.com/#section/Webhooks", SecretHelp: "the API key of the account; for partners the client secret",
	},
	{
		Name: "circleci", Title: "CircleCI", Distinction: unique,
		Schemes: only(signature.HMACSHA256, listIn("circleci-signature", ",", "v1"), id(inJSON("id")), event(inJSON("type"))),
		Docs:    "https://circleci.com/docs/guides/integration/outbound-webhooks/", SecretHelp: "Secret token of the webhook",
	},
	// id is the webhook_id, which the caller chooses and often reuses.
	{Name: "clearbit", Title: "Clearbit", Distinction: repeats, Schemes: []signature.Scheme{
		scheme(signature.HMACSHA1, hexIn("X-Request-Signature", "sha1="), keyOnly("", "sk_"), event(inJSON("type"))),
		scheme(signature.HMACSHA1, hexIn("X-Request-Signature", "sha1="), keyOnly("", "pk_"), event(inJSON("type"))),
		scheme(signature.HMACSHA1, hexIn("X-Request-Signature", "sha1="), event(inJSON("type"))),
	}, Docs: "https://github.com/clearbit/clearbit-ruby", SecretHelp: "the API key"},
	// Events about spaces, folders, goals and deleted tasks contain no time: making
	// the same change twice sends equal bodies.
	{
		Name: "clickup", Title: "ClickUp", Distinction: uniqueWhen(inJSON("history_items.0")),
		Schemes: only(signature.HMACSHA256, hexIn("X-Signature", ""), event(inJSON("event"))),
		Docs:    "https://developer.clickup.com/docs/webhooksignature", SecretHelp: "webhook.secret in the response of the API call that creates the webhook",
	},
	// The outer id identifies the attempt, so it differs on a retry.
	{
		Name: "coinbase-commerce", Title: "Coinbase Commerce", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-CC-Webhook-Signature", ""), id(inJSON("event.id")), event(inJSON("event.type"))),
		Docs:    "https://docs.cdp.coinbase.com/commerce/api-arcitecture/webhooks-security", SecretHelp: "Webhook shared secret, under Settings",
	},
	// A notification contains the time of the change in seconds: two in the same
	// second are equal.
	// https://docs.cronofy.com/developers/push-notifications/
	{
		Name: "cronofy", Title: "Cronofy", Distinction: repeats,
		Schemes: only(signature.HMACSHA256, signature.SignatureField{Field: inHeader("Cronofy-HMAC-SHA256"), Encoding: signature.Base64, Separator: ","}, event(inJSON("notification.type"))),
		Docs:    "https://docs.cronofy.com/developers/push-notifications/authentication/", SecretHelp: "client_secret of the application",
	},
	{
		Name: "deel", Title: "Deel", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("x-deel-signature", ""), signed("{method}{body}"), jsonBody, event(inJSON("data.meta.event_type"))),
		Docs:    "https://developer.deel.com/docs/webhooks-get-started", SecretHelp: "signing key, shown when the webhook is created",
	},
	{
		Name: "docusign", Title: "DocuSign Connect", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("X-DocuSign-Signature-#", ""), event(inJSON("event"))),
		Docs:    "https://developers.docusign.com/platform/webhooks/connect/hmac/", SecretHelp: "Connect HMAC key, as shown",
	},
	// A notification contains only the accounts with changes.
	{
		Name: "dropbox", Title: "Dropbox", Distinction: repeats,
		Schemes: only(signature.HMACSHA256, hexIn("X-Dropbox-Signature", ""), answers(echoes(inQuery("challenge")))),
		Docs:    "https://www.dropbox.com/developers/reference/webhooks", SecretHelp: "App secret",
	},
	// Partner postbacks have a time but no id.
	{
		Name: "dub", Title: "Dub", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("Dub-Signature", ""), id(inJSON("id")), event(inJSON("event"))),
		Docs:    "https://dub.co/docs/concepts/webhooks/verify-webhook-requests", SecretHelp: "Secret of the webhook, whsec_…",
	},
	{
		Name: "dwolla", Title: "Dwolla", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Request-Signature-SHA-256", ""), id(inJSON("id")), event(inJSON("topic"))),
		Window:  week, // retries continue for 72 hours
		Docs:    "https://developers.dwolla.com/docs/balance/webhooks/process-validate", SecretHelp: "secret of the webhook subscription, as entered",
	},
	{
		Name: "easypost", Title: "EasyPost", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Hmac-Signature", "hmac-sha256-hex="), id(inJSON("id")), event(inJSON("description"))),
		KeyText: compatibilityDecomposed, Docs: "https://docs.easypost.com/guides/webhooks-guide", SecretHelp: "webhook_secret of the webhook, as entered",
	},
	// A delivery can contain several events, each with an ID and a time. A retry
	// contains those that were not acknowledged.
	{
		Name: "fastspring", Title: "FastSpring", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("X-FS-Signature", ""), event(inJSON("events.0.type"))),
		Docs:    "https://developer.fastspring.com/reference/message-security", SecretHelp: "HMAC SHA256 Secret of the webhook, as entered",
	},
	{
		Name: "front-rule", Title: "Front (rule webhooks)", Distinction: unique,
		Schemes: only(signature.HMACSHA1, base64In("X-Front-Signature", "")),
		Docs:    "https://dev.frontapp.com/docs/rule-webhooks", SecretHelp: "API secret, under Settings > Developers",
	},
	{
		Name: "github", Title: "GitHub", Distinction: githubDistinction,
		Schemes: only(signature.HMACSHA256, hexIn("X-Hub-Signature-256", "sha256="), id(inHeader("X-GitHub-Delivery")), event(inHeader("X-GitHub-Event"))),
		Window:  week, // manual redelivery is possible for 3 days
		Docs:    "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries", SecretHelp: "Secret of the webhook, as entered",
	},
	{
		Name: "gocardless", Title: "GoCardless", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("Webhook-Signature", ""), id(inJSON("meta.webhook_id"))),
		Docs:    "https://developer.gocardless.com/getting-started/staying-up-to-date-with-webhooks/", SecretHelp: "Secret of the webhook endpoint",
	},
	// job_updated contains no time of the change.
	{
		Name: "greenhouse", Title: "Greenhouse", Distinction: repeats,
		Schemes: only(signature.HMACSHA256, hexIn("Signature", "sha256 "), id(inHeader("Greenhouse-Event-ID")), event(inJSON("action"))),
		Docs:    "https://developers.greenhouse.io/webhooks.html", SecretHelp: "Secret key of the webhook",
	},
	// Confirmed at docs.gusto.com/app-integrations/docs/webhooks.
	{
		Name: "gusto", Title: "Gusto", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Gusto-Signature", ""), id(inJSON("uuid")), event(inJSON("event_type")), answers(sendsSecret(inJSON("verification_token")))),
		Takes:   []string{"accept_handshake"}, SecretLater: true,
		Docs: "https://docs.gusto.com/app-integrations/docs/webhooks", SecretHelp: "verification_token of the subscription",
	},
	// Confirmed at devcenter.heroku.com/articles/addon-webhooks.
	// webhook_metadata.attempt.id identifies an attempt.
	{
		Name: "heroku", Title: "Heroku", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("Heroku-Webhook-Hmac-SHA256", ""), id(inJSON("webhook_metadata.delivery.id")), event(inJSON("resource")), action(inJSON("action"))),
		Docs:    "https://devcenter.heroku.com/articles/app-webhooks", SecretHelp: "secret of the webhook, shown when it is created",
	},
	{
		Name: "intercom", Title: "Intercom", Distinction: unique,
		Schemes: only(signature.HMACSHA1, hexIn("X-Hub-Signature", "sha1="), id(inJSON("id")), event(inJSON("topic")), answers(headRequest)),
		Docs:    "https://developers.intercom.com/docs/webhooks", SecretHelp: "Client secret of the app",
	},
	{
		Name: "intuit", Title: "Intuit QuickBooks", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("intuit-signature", "")),
		Docs:    "https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks", SecretHelp: "Verifier token, under Webhooks of the app",
	},
	// Confirmed at confluence.atlassian.com/adminjiraserver/managing-webhooks-938846912.html.
	// With "Exclude body" all bodies are empty. Other bodies contain a time.
	{
		Name: "jira", Title: "Jira", Distinction: uniqueWhen(inJSON("timestamp")),
		Schemes: only(signature.HMACSHA256, hexIn("X-Hub-Signature", "sha256="), id(inHeader("X-Atlassian-Webhook-Identifier")), event(inJSON("webhookEvent"))),
		Docs:    "https://developer.atlassian.com/cloud/jira/platform/webhooks/", SecretHelp: "Secret of the webhook that an administrator creates",
	},
	// Keycloak itself has no webhooks.
	{
		Name: "keycloak-phasetwo", Title: "Keycloak with Phase Two's keycloak-events", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Keycloak-Signature", ""), id(inJSON("uid")), event(inJSON("type"))),
		Docs:    "https://github.com/p2-inc/keycloak-events#webhooks", SecretHelp: "secret of the webhook; set its algorithm to HmacSHA256",
	},
	// Confirmed at launchdarkly.com/docs/home/infrastructure/webhooks.
	{
		Name: "launchdarkly", Title: "LaunchDarkly", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-LD-Signature", ""), id(inJSON("_id"))),
		Docs:    "https://launchdarkly.com/docs/home/infrastructure/webhooks", SecretHelp: "Secret of the webhook",
	},
	{
		Name: "lemonsqueezy", Title: "Lemon Squeezy", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Signature", ""), event(inJSON("meta.event_name"))),
		Docs:    "https://docs.lemonsqueezy.com/help/webhooks/signing-requests", SecretHelp: "Signing secret of the webhook, as entered",
	},
	{
		Name: "line", Title: "LINE Messaging API", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("x-line-signature", "")),
		Docs:    "https://developers.line.biz/en/docs/messaging-api/verify-webhook-signature/", SecretHelp: "Channel secret",
	},
	// data.id identifies the activity. SMS and inbound routes have other members.
	{
		Name: "mailersend", Title: "MailerSend", Distinction: unique, Schemes: mailerSendSchemes,
		Takes: []string{"accept_handshake"}, SecretLater: true, Challenge: mailerSendPing, Handshakes: "webhook.test, signed with the key that MailerSend publishes",
		Docs: "https://developers.mailersend.com/api/v1/webhooks.html#security", SecretHelp: "Signing secret of the webhook; inbound routes have their own secrets",
	},
	// Deliveries are batches in which every event has an ID.
	{
		Name: "mailtrap", Title: "Mailtrap", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("Mailtrap-Signature", ""), refuseEmpty, event(inJSON("events.0.event"))),
		Docs:    "https://docs.mailtrap.io/email-api-smtp/advanced/webhooks", SecretHelp: "signing_secret of the webhook",
	},
	// Merge's documentation shows padding, but some receivers report none. Each
	// scheme accepts exactly one of the two.
	{
		Name: "merge", Title: "Merge", SecretsFitAll: true, Distinction: unique,
		Schemes: []signature.Scheme{mergeScheme(signature.Base64URLPad), mergeScheme(signature.Base64URL)},
		Docs:    "https://docs.merge.dev/basics/webhooks/overview/", SecretHelp: "signature key, under Webhooks > Security",
	},
	// WhatsApp retries for 7 days.
	{
		Name: "meta", Title: "Meta (Facebook, Instagram, WhatsApp)", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Hub-Signature-256", "sha256="), event(inJSON("object"))),
		Takes:   []string{"verify_token"}, Challenge: metaChallenge, Handshakes: "GET with `hub.challenge`, if `verify_token` is set",
		Window: 8 * day, Docs: "https://developers.facebook.com/docs/graph-api/webhooks/getting-started", SecretHelp: "App Secret, under App settings > Basic",
	},
	{
		Name: "microsoft-teams", Title: "Microsoft Teams outgoing webhook", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("Authorization", "HMAC "), key("base64", "")),
		Docs:    "https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-outgoing-webhook", SecretHelp: "security token shown when the webhook is created",
	},
	{
		Name: "modern-treasury", Title: "Modern Treasury", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Signature", ""), id(inHeader("X-Webhook-ID")), event(inJSON("event"))),
		Docs:    "https://docs.moderntreasury.com/platform/reference/webhooks", SecretHelp: "Webhook key of the endpoint",
	},
	{
		Name: "mollie", Title: "Mollie", Distinction: unique,
		Schemes: only(signature.HMACSHA256, signature.SignatureField{Field: inHeader("X-Mollie-Signature"), Prefix: "sha256=", PrefixOptional: true, Repeated: true}, id(inJSON("id")), event(inJSON("type"))),
		Docs:    "https://docs.mollie.com/reference/webhooks-new", SecretHelp: "Secret of the next-gen webhook; legacy webhooks are unsigned and refused",
	},
	// json id identifies the alert. Only the header shows whether it was opened or
	// closed.
	{
		Name: "mongodb-atlas", Title: "MongoDB Atlas", Distinction: unique.Varying("X-MMS-Event"),
		Schemes: only(signature.HMACSHA1, base64In("X-MMS-Signature", ""), event(inHeader("X-MMS-Event"))),
		Docs:    "https://www.mongodb.com/docs/atlas/tutorial/webhook-integration/", SecretHelp: "Webhook Secret, under Integrations",
	},
}
