package catalogue

import (
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// bodyHMAC are the providers that sign only the body. Headers and time are unsigned,
// so a delivery can be replayed after the window.
var bodyHMAC = []provider.Preset{
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
	// Results of a sync contain times. Failed refreshes and forwarded "changed"
	// notifications are equal: https://nango.dev/docs/guides/platform/webhooks-from-nango
	{
		Name: "nango", Title: "Nango", Distinction: uniqueWhen(inJSON("modifiedAfter"), inJSON("startedAt")),
		Schemes: only(signature.HMACSHA256, hexIn("X-Nango-Hmac-Sha256", ""), event(inJSON("type"))),
		Docs:    "https://nango.dev/docs/implementation-guides/platform/webhooks-from-nango", SecretHelp: "Webhook signing key, under Environment settings",
	},
	{
		Name: "notion", Title: "Notion", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Notion-Signature", "sha256="), id(inJSON("id")), event(inJSON("type")), answers(sendsSecret(inJSON("verification_token")))),
		Takes:   []string{"accept_handshake"}, SecretLater: true,
		Docs: "https://developers.notion.com/reference/webhooks", SecretHelp: "verification_token, secret_…, which Notion sends when the subscription is created",
	},
	{
		Name: "npm", Title: "npm hooks", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Npm-Signature", "sha256="), event(inJSON("event"))),
		Docs:    "https://github.com/npm/npm-hook-receiver", SecretHelp: "the secret passed to `npm hook add`",
	},
	// webhook_delivery_attempt changes the body of a retry, but not the ID.
	{
		Name: "nylas", Title: "Nylas", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Nylas-Signature", ""), id(inJSON("id")), event(inJSON("type")), answers(echoes(inQuery("challenge")))),
		Takes:   []string{"accept_handshake"}, SecretLater: true,
		Docs: "https://developer.nylas.com/docs/v3/notifications/", SecretHelp: "webhook_secret of the webhook; leave compressed_delivery off",
	},
	// check.reopened, report.resumed and others contain no time, only the object's ID.
	{
		Name: "onfido", Title: "Onfido", Distinction: uniqueWhen(inJSON("payload.object.completed_at_iso8601"), inJSON("payload.object.started_at_iso8601")),
		Schemes: only(signature.HMACSHA256, hexIn("X-SHA2-Signature", ""), event(inJSON("payload.action"))),
		Docs:    "https://documentation.onfido.com/#verifying-webhook-signatures", SecretHelp: "Token of the webhook",
	},
	// taskId identifies the task. The body has a time in milliseconds.
	{
		Name: "onfleet", Title: "Onfleet", Distinction: unique,
		Schemes: only(signature.HMACSHA512, hexIn("X-Onfleet-Signature", ""), key("hex", ""), event(inJSON("triggerName")), answers(echoes(inQuery("check")))),
		Docs:    "https://docs.onfleet.com/reference/secrets", SecretHelp: "webhook secret, in hex as the dashboard shows it",
	},
	{
		Name: "pagerduty", Title: "PagerDuty v3", Distinction: unique,
		Schemes: only(signature.HMACSHA256, spaced(listIn("X-PagerDuty-Signature", ",", "v1")), refuseEmpty, id(inJSON("event.id")), event(inJSON("event.event_type"))),
		Docs:    "https://developer.pagerduty.com/docs/verifying-webhook-signatures", SecretHelp: "secret of the webhook subscription",
	},
	{
		Name: "pandadoc", Title: "PandaDoc", Distinction: unique,
		Schemes: only(signature.HMACSHA256, signature.SignatureField{Field: inQuery("signature")}, id(inHeader("X-PandaDoc-Webhook-Event-Id"))),
		Docs:    "https://developers.pandadoc.com/docs/webhook-verification", SecretHelp: "Shared key of the webhook",
	},
	// data.id identifies the transaction. The body has its status and times.
	{
		Name: "paystack", Title: "Paystack", Distinction: unique,
		Schemes: only(signature.HMACSHA512, hexIn("x-paystack-signature", ""), event(inJSON("event"))),
		Docs:    "https://paystack.com/docs/payments/webhooks/#verify-event-origin", SecretHelp: "secret key of the integration, sk_live_… or sk_test_… (it gives access to the account: protect it)",
	},
	// Bodies contain no time, and the updates of a recreated stack begin with 1.
	// https://www.pulumi.com/docs/deployments/webhooks/
	{
		Name: "pulumi", Title: "Pulumi Cloud", Distinction: repeats.Varying("Pulumi-Webhook-Kind"),
		Schemes: only(signature.HMACSHA256, hexIn("Pulumi-Webhook-Signature", ""), id(inHeader("Pulumi-Webhook-ID")), event(inHeader("Pulumi-Webhook-Kind"))),
		Docs:    "https://www.pulumi.com/docs/pulumi-cloud/webhooks/", SecretHelp: "Secret of the webhook, as entered",
	},
	{
		Name: "pusher", Title: "Pusher Channels", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Pusher-Signature", ""), keyID(inHeader("X-Pusher-Key"))),
		Docs:    "https://pusher.com/docs/channels/server_api/webhooks/", SecretHelp: "the app's secret, with its key as label",
	},
	// The URL and the salt are signed without a separator. It is not documented
	// whether retries are signed with a new time. The ID is signed.
	{
		Name: "rapyd", Title: "Rapyd", Distinction: unique,
		Schemes: only(signature.HMACSHA256, signature.SignatureField{Field: inHeader("signature"), Encoding: signature.Base64Hex}, signed("{url}{header.salt}{timestamp}{key_name}{key}{body}"), key("pair", ""), jsonBody, timestamp(inHeader("timestamp"), "unix", 24*3600), id(inJSON("id")), event(inJSON("type"))),
		Docs:    "https://docs.rapyd.net/en/webhook-authentication.html", SecretHelp: "access key and secret key, as `ACCESS:SECRET`; set `public_url` to the URL that is configured there",
		Weakness: "an attacker can move the end of the URL into the salt: the app must not rely on the query of the URL",
	},
	{
		Name: "razorpay", Title: "Razorpay", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Razorpay-Signature", ""), id(inHeader("X-Razorpay-Event-Id")), event(inJSON("event"))),
		Window:  2 * day, Docs: "https://razorpay.com/docs/webhooks/validate-test/", SecretHelp: "Secret of the webhook, as entered",
	},
	// The app chooses the contents of the body: see saleor.
	{
		Name: "saleor-hmac", Title: "Saleor (webhooks with a secretKey)", Distinction: repeats.Varying("Saleor-Event"),
		Schemes: only(signature.HMACSHA256, hexIn("Saleor-Signature", ""), event(inHeader("Saleor-Event"))),
		Docs:    "https://docs.saleor.io/developer/extending/webhooks/payload-signature", SecretHelp: "secretKey of the webhook (deprecated); without one, use `saleor`",
	},
	{
		Name: "segment", Title: "Segment", Distinction: unique,
		Variants: []provider.Variant{
			{Name: "single", Help: "batching is off", Schemes: only(signature.HMACSHA1, hexIn("X-Signature", ""), event(inJSON("type")))},
			{
				Name: "batch", Help: "batching is on", Schemes: only(signature.HMACSHA1, hexIn("X-Signature", ""), signed("{value.first}")),
				DigestBody: true, Weakness: "only the first event of a batch is signed: anyone who sees a delivery can change or add the others",
			},
		}, Values: segmentValues, Signs: "the body; for a batch, only the first event",
		Docs: "https://segment.com/docs/connections/destinations/catalog/actions-webhook/", SecretHelp: "Shared Secret of the destination",
	},
	// user:block and user:unblock contain no time, and neither do push preferences.
	{
		Name: "sendbird", Title: "Sendbird", Distinction: repeatsWhen(inJSON("blocker"), inJSON("unblocker"), inJSON("push_trigger_option")),
		Schemes: only(signature.HMACSHA256, hexIn("X-Sendbird-Signature", ""), event(inJSON("category"))),
		Docs:    "https://sendbird.com/docs/chat/v3/platform-api/webhook/webhook-overview", SecretHelp: "Master API token, under Settings > General (it gives access to everything: protect it)",
	},
	// Resolving, reopening and resolving an issue sends equal bodies. So does using a
	// UI component twice, whose requests contain installationId. A retry has a
	// different Request-ID.
	{
		Name: "sentry", Title: "Sentry", Distinction: repeatsWhen(inJSON("data.issue"), inJSON("installationId")),
		Schemes: sentrySchemes(), SecretsFitAll: true, Hint: sentrySelect,
		Docs: "https://docs.sentry.io/organization/integrations/integration-platform/webhooks/", SecretHelp: "Client Secret of the integration",
	},
	// An order can be sent for two topics, and with include_fields ["id"] all changes
	// of a product send equal bodies. All shops of an app share one secret.
	// https://shopify.dev/docs/apps/build/webhooks
	{
		Name: "shopify", Title: "Shopify", Distinction: repeats.Varying("*Topic", "*Shop-Domain"),
		Schemes:  only(signature.HMACSHA256, base64In("*Hmac-Sha256", ""), id(inHeader("*Webhook-Id")), event(inHeader("*Topic"))),
		Families: []string{"X-Shopify-", "Shopify-"}, Window: 2 * day, // 8 retries in 4 hours
		Docs: "https://shopify.dev/docs/apps/build/webhooks/subscribe/https", SecretHelp: "Client secret of the app; for webhooks created in the admin, the secret shown there",
	},
	{
		Name: "signal-sciences", Title: "Signal Sciences (Fastly Next-Gen WAF)", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-SigSci-Signature", ""), event(inJSON("type"))),
		Docs:    "https://docs.fastly.com/signalsciences/integrations/generic-webhooks/", SecretHelp: "Signing key of the integration",
	},
	{
		Name: "sinch-numbers", Title: "Sinch Numbers", Distinction: unique,
		Schemes: only(signature.HMACSHA1, hexIn("X-Sinch-Signature", ""), id(inJSON("eventId")), event(inJSON("eventType"))),
		Docs:    "https://developers.sinch.com/docs/numbers/api-reference/numbers/tag/Numbers-Callbacks/", SecretHelp: "hmacSecret of the callback configuration",
	},
	{
		Name: "smartcar", Title: "Smartcar", Distinction: unique,
		Schemes:   only(signature.HMACSHA256, hexIn("SC-Signature", ""), jsonBody, id(inJSON("eventId")), event(inJSON("eventType"))),
		Challenge: smartcarChallenge, Handshake: smartcarHandshake, Handshakes: "VERIFY, signed or not",
		Docs: "https://smartcar.com/docs/integrations/webhooks/overview", SecretHelp: "Application management token",
	},
	{
		Name: "snyk", Title: "Snyk", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Hub-Signature", "sha256="), id(inHeader("X-Snyk-Transport-ID")), event(inHeader("X-Snyk-Event"))),
		Docs:    "https://docs.snyk.io/snyk-api/using-specific-snyk-apis/webhooks-apis", SecretHelp: "secret of the webhook",
	},
	// Merchant is the public key. It is signed before and after the body.
	{
		Name: "solidgate", Title: "Solidgate", Distinction: unique,
		Schemes: only(signature.HMACSHA512, signature.SignatureField{Field: inHeader("Signature"), Encoding: signature.Base64Hex}, signed("{header.Merchant}{body}{header.Merchant}"), jsonBody, keyID(inHeader("Merchant"))),
		Docs:    "https://docs.solidgate.com/payments/integrate/access-to-api/", SecretHelp: "webhook secret key, wh_sk_…, with the webhook public key, wh_pk_…, as label",
	},
	{
		Name: "sonarqube", Title: "SonarQube and SonarCloud", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Sonar-Webhook-HMAC-SHA256", ""), id(inJSON("taskId"))),
		Docs:    "https://docs.sonarsource.com/sonarqube-server/project-administration/webhooks/", SecretHelp: "Secret of the webhook",
	},
	{
		Name: "sonatype-nexus", Title: "Sonatype Nexus Repository", Distinction: unique,
		Schemes: only(signature.HMACSHA1, hexIn("X-Nexus-Webhook-Signature", ""), id(inHeader("X-Nexus-Webhook-Delivery")), event(inHeader("X-Nexus-Webhook-ID"))),
		Docs:    "https://help.sonatype.com/en/webhooks.html", SecretHelp: "Secret Key of the webhook capability",
	},
	{
		Name: "squarespace", Title: "Squarespace", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("Squarespace-Signature", ""), key("hex", ""), id(inJSON("id")), event(inJSON("topic"))),
		Docs:    "https://developers.squarespace.com/webhooks/verifying-notifications", SecretHelp: "secret of the webhook subscription, in hex as shown",
	},
	// Publishing a story twice sends equal content.
	{
		Name: "storyblok", Title: "Storyblok", Distinction: repeats,
		Schemes: only(signature.HMACSHA1, hexIn("webhook-signature", ""), event(inJSON("action"))),
		Docs:    "https://www.storyblok.com/docs/concepts/webhooks", SecretHelp: "Webhook secret, as entered",
	},
	// x-payload-digest-alg is ignored: the config sets the algorithm.
	{Name: "sumsub", Title: "Sumsub", Distinction: unique, Variants: []provider.Variant{
		{Name: "sha256", Help: "HMAC_SHA256_HEX", Schemes: only(signature.HMACSHA256, hexIn("x-payload-digest", ""), event(inJSON("type")))},
		{Name: "sha512", Help: "HMAC_SHA512_HEX", Schemes: only(signature.HMACSHA512, hexIn("x-payload-digest", ""), event(inJSON("type")))},
		{Name: "sha1", Help: "HMAC_SHA1_HEX, for old webhooks", Schemes: only(signature.HMACSHA1, hexIn("x-payload-digest", ""), event(inJSON("type")))},
	}, Docs: "https://docs.sumsub.com/docs/webhooks", SecretHelp: "Secret key of the webhook, not of an app token"},
	// Retries continue for 32 hours.
	{
		Name: "tally", Title: "Tally", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("Tally-Signature", ""), id(inJSON("eventId")), event(inJSON("eventType"))),
		Docs:    "https://tally.so/help/webhooks", SecretHelp: "Signing secret of the webhook, as entered",
	},
	{
		Name: "terraform", Title: "HCP Terraform notifications", Distinction: unique,
		Schemes: only(signature.HMACSHA512, hexIn("X-TFE-Notification-Signature", ""), event(inJSON("notifications.0.trigger"))),
		Docs:    "https://developer.hashicorp.com/terraform/cloud-docs/api-docs/notification-configurations", SecretHelp: "Token of the notification",
	},
	{
		Name: "terraform-run-task", Title: "HCP Terraform run tasks", Distinction: unique,
		Schemes: only(signature.HMACSHA512, hexIn("X-Tfc-Task-Signature", "")),
		Docs:    "https://developer.hashicorp.com/terraform/cloud-docs/integrations/run-tasks", SecretHelp: "HMAC key of the run task",
	},
	{
		Name: "trendmicro-conformity", Title: "Trend Micro Cloud One Conformity", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Conformity-Signature", "")),
		Docs:    "https://cloudone.trendmicro.com/docs/conformity/webhook-communication/", SecretHelp: "Security token of the channel, as text",
	},
	{
		Name: "typeform", Title: "Typeform", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("Typeform-Signature", "sha256="), id(inJSON("event_id")), event(inJSON("event_type"))),
		Docs:    "https://www.typeform.com/developers/webhooks/secure-your-webhooks/", SecretHelp: "secret of the webhook, as typed",
	},
	// A list of events, each with an ID. A webhook becomes unavailable after 7
	// days of failures.
	{
		Name: "unit", Title: "Unit", Distinction: unique,
		Schemes: only(signature.HMACSHA1, base64In("x-unit-signature", ""), event(inJSON("data.0.type"))),
		Window:  8 * day, Docs: "https://www.unit.co/docs/api/webhooks", SecretHelp: "Token of the webhook",
	},
	{
		Name: "vercel", Title: "Vercel", Distinction: unique,
		Schemes: only(signature.HMACSHA1, hexIn("x-vercel-signature", ""), id(inJSON("id")), event(inJSON("type"))),
		Window:  2 * day, Docs: "https://vercel.com/docs/webhooks/webhooks-api", SecretHelp: "Secret of the webhook; for integrations the Client Secret",
	},
	// verification.id is the session.
	{
		Name: "veriff", Title: "Veriff", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Hmac-Signature", ""), event(inJSON("action"))),
		Docs:    "https://devdocs.veriff.com/docs/hmac-authentication-and-endpoint-security", SecretHelp: "Shared secret key of the integration",
	},
	// message_token identifies the message, the same for delivered and seen.
	// https://developers.viber.com/docs/api/rest-bot-api/#callbacks
	{
		Name: "viber", Title: "Viber", Distinction: unique,
		Schemes: []signature.Scheme{
			scheme(signature.HMACSHA256, hexIn("X-Viber-Content-Signature", ""), event(inJSON("event"))),
			scheme(signature.HMACSHA256, signature.SignatureField{Field: inQuery("sig")}, event(inJSON("event"))),
		}, SecretsFitAll: true,
		Docs: "https://developers.viber.com/docs/api/rest-bot-api/#callbacks", SecretHelp: "Authentication token of the bot",
	},
	// Confirmed at developer.webex.com/blog/using-a-webhook-secret.
	// data.created is the time of joining, so making a member a moderator twice sends
	// equal content.
	{
		Name: "webex", Title: "Webex", Distinction: repeatsWhen(inJSON("data.isModerator")),
		Schemes: only(signature.HMACSHA1, hexIn("X-Spark-Signature", ""), event(inJSON("resource")), action(inJSON("event"))),
		Docs:    "https://developer.webex.com/docs/api/guides/webhooks", SecretHelp: "secret of the webhook, as entered",
	},
	// Two topics of a subscriber can have equal content, such as an empty list.
	{
		Name: "websub", Title: "WebSub, YouTube", Distinction: unique.Varying("Link"),
		Schemes: webSubSchemes, SecretsFitAll: true, Takes: []string{"algorithm", "topic", "verify_token", "accept_handshake"},
		Challenge: webSubChallenge, Handshakes: "GET with `hub.challenge` for a `topic`: `subscribe` while `accept_handshake` is set; with `verify_token`, requests that contain it",
		Docs: "https://www.w3.org/TR/websub/", SecretHelp: "hub.secret of the subscription; hubs that sign with SHA-1, such as YouTube's, require `algorithm sha1`",
	},
	// The delivery ID consists of the webhook and the current second. An order has
	// equal JSON for two topics: includes/class-wc-webhook.php
	{
		Name: "woocommerce", Title: "WooCommerce", Distinction: repeats.Varying("X-WC-Webhook-Topic", "X-WC-Webhook-ID", "X-WC-Webhook-Source"),
		Schemes:   only(signature.HMACSHA256, base64In("X-WC-Webhook-Signature", ""), id(inHeader("X-WC-Webhook-Delivery-ID")), event(inHeader("X-WC-Webhook-Topic"))),
		Challenge: wooCommercePing, Handshakes: "the unsigned ping when a webhook is saved",
		Docs: "https://woocommerce.com/document/webhooks/", SecretHelp: "Secret of the webhook",
	},
	{
		Name: "worldline", Title: "Worldline", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("X-GCS-Signature", ""), keyID(inHeader("X-GCS-KeyId")), id(inJSON("id")), event(inJSON("type")), answers(echoes(inHeader("X-GCS-Webhooks-Endpoint-Verification")))),
		Docs:    "https://docs.direct.worldline-solutions.com/en/integration/api-developer-guide/webhooks", SecretHelp: "secret key, with its key ID as label",
	},
	// Each signature follows the number of its key and the name of the hash. It is
	// not documented whether the secret is text or hex, so both are tried.
	{
		Name: "worldpay-access", Title: "Access Worldpay", SecretsFitAll: true, Distinction: unique,
		Schemes: []signature.Scheme{worldpayScheme(""), worldpayScheme("hex")},
		Docs:    "https://docs.worldpay.com/access/products/events/signature", SecretHelp: "shared secret, from the implementation manager, with its key ID as label",
	},
	// Changing a profile from A to B, back to A and to B again sends equal content.
	// https://docs.x.com/x-api/activity/introduction
	{
		Name: "x", Title: "X (Twitter)", Distinction: repeatsWhen(inJSON("data.event_type")),
		Schemes:   only(signature.HMACSHA256, base64In("x-twitter-webhooks-signature", "sha256=")),
		Challenge: xChallenge, Handshake: xDelivery, Handshakes: "GET with `crc_token`",
		Docs: "https://docs.x.com/x-api/webhooks/quickstart", SecretHelp: "API secret key (consumer secret)",
	},
	{
		Name: "xero", Title: "Xero", Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("x-xero-signature", "")),
		Window:  2 * day, Handshakes: "none needed: intent to receive is signed like any delivery",
		Docs: "https://developer.xero.com/documentation/guides/webhooks/configuring-your-server/", SecretHelp: "Webhooks key, as text",
	},
}

// spaced allows spaces around the parts of a list.
func spaced(f signature.SignatureField) signature.SignatureField {
	f.Spaces = true
	return f
}

func mergeScheme(encoding signature.Encoding) signature.Scheme {
	return scheme(signature.HMACSHA256, signature.SignatureField{Field: inHeader("X-Merge-Webhook-Signature"), Encoding: encoding}, event(inJSON("hook.event")))
}

// worldpayScheme: the parts are `1/SHA256/hex`, separated by commas.
func worldpayScheme(encoding string) signature.Scheme {
	return scheme(signature.HMACSHA256, signature.SignatureField{Field: inHeader("Event-Signature"), Separator: "/SHA256/", Positional: 1, SetSeparator: ","},
		key(encoding, ""), keyID(inElement("1")), id(inJSON("eventId")), event(inJSON("eventDetails.type")))
}

// laidOut sets the layout of a list in a header.
func laidOut(layout string, f signature.SignatureField) signature.SignatureField {
	f.Layout = layout
	return f
}

// githubDistinction: workflow and repository dispatches can be sent twice with
// equal content, because the caller chooses it. The other events contain no time,
// so adding, removing and adding a member sends equal content. A field counts if
// it is present, since `inputs` can be null.
// https://docs.github.com/en/webhooks/webhook-events-and-payloads
var githubDistinction = repeatsWhen(
	inJSON("client_payload"), inJSON("inputs"), inJSON("requested_action"), inJSON("member"), inJSON("membership"), inJSON("blocked_user"), inJSON("team"), inJSON("thread"),
).DocumentIn(inForm("payload"))
