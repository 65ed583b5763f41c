package catalogue

import (
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// bodyHMACFromN is the second part of bodyHMAC, in alphabetical order.
var bodyHMACFromN = []provider.Preset{
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
	// Merchant is the public key. It is signed before and after the body, and is
	// another one in a retry after a rotation.
	{
		Name: "solidgate", Title: "Solidgate", Distinction: unique, DigestBody: true,
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
