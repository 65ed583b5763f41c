package catalogue

import (
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// timestamped are the providers that sign a time with the body. If no tolerance is
// documented, the default is 5 minutes.
var timestamped = []provider.Preset{
	// The body is signed before it is compressed.
	{
		Name: "airship", Title: "Airship open channels", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-UA-SIGNATURE", ""), signed("{timestamp}:{body_inflated}"), timestamp(inHeader("X-UA-TIMESTAMP"), "unix", 0)),
		Takes:   []string{"verify_token"}, Handshake: airshipValidation, Handshakes: "the signed GET of …/validate, if `verify_token` is set to the Validation Code that Airship shows",
		Docs: "https://support.airship.com/hc/en-us/articles/360032501831", SecretHelp: "signature secret of the open platform",
	},
	// Retries continue for 3 days. It is not documented whether they are signed with
	// a new time. The ID is signed.
	{
		Name: "airwallex", Title: "Airwallex", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("x-signature", ""), signed("{timestamp}{body}"), timestamp(inHeader("x-timestamp"), "unix_ms", 73*3600), id(inJSON("id")), event(inJSON("name"))),
		Docs:    "https://www.airwallex.com/docs/developer-tools/webhooks/listen-for-webhook-events", SecretHelp: "Secret of the webhook subscription",
	},
	// BOX-DELIVERY-ID identifies an attempt: "When Box retries a webhook this ID will
	// change". https://developer.box.com/guides/webhooks/v2/
	{
		Name: "box", Title: "Box", Distinction: unique,
		Schemes: []signature.Scheme{boxScheme("BOX-SIGNATURE-PRIMARY"), boxScheme("BOX-SIGNATURE-SECONDARY")}, SecretPerScheme: true,
		Docs: "https://developer.box.com/guides/webhooks/v2/signatures-v2/", SecretHelp: "primary key and, as a second secret, secondary key, under Webhooks of the app",
	},
	{Name: "buildkite", Title: "Buildkite", Distinction: unique, Variants: []provider.Variant{
		{Name: "signature", Help: "Buildkite signs", Schemes: only(signature.HMACSHA256, orderedBuildkite(), signed("{timestamp}.{body}"), timestamp(inElement("1"), "unix", 0), event(inHeader("X-Buildkite-Event")))},
		{
			Name: "token", Help: "Buildkite sends the token", Weakness: tokenWeakness,
			Schemes: only(signature.Token, plainIn("X-Buildkite-Token"), event(inHeader("X-Buildkite-Event"))),
		},
	}, Docs: "https://buildkite.com/docs/apis/webhooks", SecretHelp: "Token of the webhook notification service"},
	// Retries continue for a day and are signed with a new time. The body has
	// created_at.
	{
		Name: "calendly", Title: "Calendly", DigestBody: true, Distinction: unique,
		Schemes: only(signature.HMACSHA256, listIn("Calendly-Webhook-Signature", ",", "v1"), signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix", 180), event(inJSON("event"))),
		Docs:    "https://developer.calendly.com/api-docs/overview/webhooks/webhook-signatures", SecretHelp: "signing_key of the subscription",
	},
	// The merchant configures the retries. It is not documented whether they are
	// signed with a new time. The body has event_time.
	{
		Name: "cashfree", Title: "Cashfree Payments", DigestBody: true, Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("x-webhook-signature", ""), signed("{timestamp}{body}"), timestamp(inHeader("x-webhook-timestamp"), "unix_ms", 25*3600), event(inJSON("type"))),
		Docs:    "https://www.cashfree.com/docs/payments/online/webhooks/signature-verification", SecretHelp: "client secret (secret key) of the account",
	},
	// Retries are signed with a new time and keep the delivery ID. Typing events have
	// equal content.
	{
		Name: "chatwoot", Title: "Chatwoot", DigestBody: true, Distinction: repeats,
		Schemes: only(signature.HMACSHA256, hexIn("X-Chatwoot-Signature", "sha256="), signed("{timestamp}.{body}"), timestamp(inHeader("X-Chatwoot-Timestamp"), "unix", 0), id(inHeader("X-Chatwoot-Delivery")), event(inJSON("event"))),
		Docs:    "https://www.chatwoot.com/hc/user-guide/articles/1677693021-how-to-use-webhooks", SecretHelp: "secret of the webhook or of the agent bot, on its page",
	},
	// uid identifies the video. time is the time of sending. The body has `modified`.
	{
		Name: "cloudflare-stream", Title: "Cloudflare Stream", DigestBody: true, Distinction: unique,
		Schemes: only(signature.HMACSHA256, listIn("Webhook-Signature", ",", "sig1"), signed("{timestamp}.{body}"), timestamp(inElement("time"), "unix", 0), event(inJSON("status.state"))),
		Docs:    "https://developers.cloudflare.com/stream/manage-video-library/using-webhooks/", SecretHelp: "secret in the response of the API call that creates the webhook",
	},
	// The account setting is SHA-1 or SHA-256. It is not documented whether retries
	// are signed with a new time. The tolerance of two hours is that of the vendor's
	// libraries. The body has timestamp and request_id.
	{Name: "cloudinary", Title: "Cloudinary", DigestBody: true, Distinction: unique, Variants: []provider.Variant{
		{Name: "sha1", Help: "SHA-1, as with most accounts", Schemes: cloudinaryScheme(signature.SHA1Suffix), Weakness: suffixWeakness},
		{Name: "sha256", Help: "the account is set to SHA-256", Schemes: cloudinaryScheme(signature.SHA256Suffix), Weakness: suffixWeakness},
	}, Docs: "https://cloudinary.com/documentation/notification_signatures", SecretHelp: "API secret of the key that signs notifications, under Settings > Webhook Notifications"},
	// Retries continue for 24 hours. It is not documented whether they are signed with
	// a new time. data.id identifies the message. The body has its status and times.
	{
		Name: "courier", Title: "Courier", DigestBody: true, Distinction: unique,
		Schemes: only(signature.HMACSHA256, listIn("courier-signature", ",", "signature"), signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix_ms", 25*3600), event(inJSON("type"))),
		Docs:    "https://www.courier.com/docs/platform/workspaces/outbound-webhooks", SecretHelp: "signing secret of the outbound webhook",
	},
	// Confirmed at docs.customer.io/api/webhooks.
	{
		Name: "customerio", Title: "Customer.io", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-CIO-Signature", ""), signed("v0:{timestamp}:{body}"), timestamp(inHeader("X-CIO-Timestamp"), "unix", 0), id(inJSON("event_id")), event(inJSON("object_type")), action(inJSON("metric"))),
		Window:  8 * day, Docs: "https://docs.customer.io/api/webhooks/", SecretHelp: "Signing key of the reporting webhook",
	},
	// The tolerance of half an hour is that of the vendor's libraries. The events of a
	// conversation share conversation_id. The body has event_timestamp.
	{
		Name: "elevenlabs", Title: "ElevenLabs", DigestBody: true, Distinction: unique,
		Schemes: only(signature.HMACSHA256, listIn("ElevenLabs-Signature", ",", "v0"), signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix", 1800), event(inJSON("type"))),
		Docs:    "https://elevenlabs.io/docs/eleven-agents/workflows/post-call-webhooks", SecretHelp: "HMAC secret of the webhook, wsec_…",
	},
	// Standard Webhooks with different header names.
	{
		Name: "finch", Title: "Finch", Distinction: unique,
		Schemes: only(signature.HMACSHA256, signature.SignatureField{Field: inHeader("Finch-Signature"), Encoding: signature.Base64, Separator: " ", Assign: ",", Element: "v1"}, key("base64", ""),
			signed("{id}.{timestamp}.{body}"), timestamp(inHeader("Finch-Timestamp"), "unix", 0), id(inHeader("Finch-Event-Id")), event(inJSON("event_type"))),
		Docs: "https://developer.tryfinch.com/developer-resources/Webhooks", SecretHelp: "secret of the webhook",
	},
	// The body has neither an ID nor a time: one asset that is updated twice in a
	// second is announced with equal content.
	{
		Name: "frameio", Title: "Frame.io", Distinction: repeats,
		Schemes: only(signature.HMACSHA256, hexIn("X-Frameio-Signature", "v0="), signed("v0:{timestamp}:{body}"), timestamp(inHeader("X-Frameio-Request-Timestamp"), "unix", 0), event(inJSON("type"))),
		Docs:    "https://developer.frame.io/platform/docs/guides/webhooks", SecretHelp: "signing secret, shown when the webhook or custom action is created",
	},
	{
		Name: "front", Title: "Front (application webhooks)", Distinction: unique,
		Schemes: []signature.Scheme{
			// Front Connector signs the word "undefined" where there is no body.
			scheme(signature.HMACSHA256, base64In("X-Front-Signature", ""), signed("{timestamp}:undefined"), noBody, timestamp(inHeader("X-Front-Request-Timestamp"), "unix_ms", 0), when(signature.Condition{Methods: []string{"GET", "DELETE"}})),
			scheme(signature.HMACSHA256, base64In("X-Front-Signature", ""), signed("{timestamp}:{body}"), timestamp(inHeader("X-Front-Request-Timestamp"), "unix_ms", 0), event(inJSON("type"))),
		}, Handshake: frontChallenge, Handshakes: "X-Front-Challenge, signed",
		Docs: "https://dev.frontapp.com/docs/application-webhooks", SecretHelp: "signing key of the app",
	},
	{
		Name: "go1", Title: "Go1", Distinction: unique,
		Schemes: only(signature.HMACSHA256, listIn("Go1-Signature", ",", "v1"), signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix", 60), event(inJSON("type"))),
		Docs:    "https://www.go1.com/developers/partners/concepts/webhook-signature-authentification", SecretHelp: "secret of the webhook, as typed",
	},
	// Whether its 8 attempts are signed with a new time is not documented. data.id
	// is the message; the body has created_at in microseconds.
	{
		Name: "knock", Title: "Knock", DigestBody: true, Distinction: unique,
		Schemes: only(signature.HMACSHA256, knockSignature(), signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix_ms", 25*3600), event(inJSON("type"))),
		Docs:    "https://docs.knock.app/developer-tools/outbound-webhooks/overview#verifying-the-signature", SecretHelp: "signing key on the page of the webhook",
	},
	// The minute is that of Linear's library and documentation, although retries
	// come after a minute, an hour and 6 hours.
	{
		Name: "linear", Title: "Linear", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("Linear-Signature", ""), timestamp(inJSON("webhookTimestamp"), "unix_ms", 60), id(inHeader("Linear-Delivery")), event(inJSON("type")), action(inJSON("action"))),
		Window:  2 * day, Docs: "https://linear.app/developers/webhooks", SecretHelp: "Signing secret of the webhook",
	},
	// Whether the secret is used as text or decoded from base64 is not documented:
	// it is used as both. Onboarding webhooks have no ID, but their own content.
	{
		Name: "mercury", Title: "Mercury", SecretsFitAll: true, Distinction: unique,
		Schemes: []signature.Scheme{mercuryScheme(""), mercuryScheme("base64")},
		Docs:    "https://docs.mercury.com/reference/webhooks", SecretHelp: "secret of the webhook endpoint, shown when it is created, as it is",
	},
	{
		Name: "mux", Title: "Mux", Distinction: unique,
		Schemes: only(signature.HMACSHA256, listIn("Mux-Signature", ",", "v1"), signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix", 0), id(inJSON("id")), event(inJSON("type"))),
		Docs:    "https://www.mux.com/docs/core/verify-webhook-signatures", SecretHelp: "Signing Secret of the webhook",
	},
	{
		Name: "orb", Title: "Orb", Distinction: unique,
		Schemes: only(signature.HMACSHA256, listIn("X-Orb-Signature", " ", "v1"), signed("v1:{timestamp}:{body}"), timestamp(inHeader("X-Orb-Timestamp"), "iso8601", 0), id(inJSON("id")), event(inJSON("type"))),
		Docs:    "https://docs.withorb.com/guides/integrations-and-exports/webhooks", SecretHelp: "Signing secret of the endpoint",
	},
	{
		Name: "paddle", Title: "Paddle Billing", Distinction: unique,
		Schemes: only(signature.HMACSHA256, listIn("Paddle-Signature", ";", "h1"), signed("{timestamp}:{body}"), timestamp(inElement("ts"), "unix", 5), id(inJSON("event_id")), event(inJSON("event_type"))),
		Docs:    "https://developer.paddle.com/webhooks/signature-verification", SecretHelp: "secret key of the notification destination, pdl_ntfset_…",
	},
	// A webhook belongs to live or test mode, and the element of the other mode is
	// empty. It is not documented whether its 12 retries are signed with a new time.
	{
		Name: "paymongo", Title: "PayMongo", SecretsFitAll: true, Distinction: unique,
		Schemes: []signature.Scheme{paymongoScheme("li"), paymongoScheme("te")},
		Docs:    "https://developers.paymongo.com/docs/securing-webhook", SecretHelp: "secret_key of the webhook, whsk_…",
	},
	{
		Name: "persona", Title: "Persona", Distinction: unique,
		Schemes: only(signature.HMACSHA256, personaSignature(), signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix", 0), id(inJSON("data.id")), event(inJSON("data.attributes.name"))),
		Docs:    "https://docs.withpersona.com/docs/webhooks-best-practices", SecretHelp: "Webhook secret, wbhsec_…",
	},
	// Confirmed at docs.pinwheelapi.com/docs/webhook-signature-verification.
	{
		Name: "pinwheel", Title: "Pinwheel", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-Pinwheel-Signature", "v2="), signed("v2:{timestamp}:{body}"), timestamp(inHeader("X-Timestamp"), "unix", 0), id(inJSON("event_id")), event(inJSON("event"))),
		Docs:    "https://docs.pinwheelapi.com/docs/webhook-signature-verification", SecretHelp: "API secret",
	},
	{
		Name: "quicknode", Title: "QuickNode", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("X-QN-Signature", ""), signed("{id}{timestamp}{body_inflated}"), jsonBody, timestamp(inHeader("X-QN-Timestamp"), "unix", 0), id(inHeader("X-QN-Nonce"))),
		Docs:    "https://www.quicknode.com/guides/quicknode-products/streams/validating-incoming-streams-webhook-messages", SecretHelp: "Security Token of the stream, qnsec_…",
	},
	// Retries are signed with a new time. The body has event_time. json id identifies
	// the account or the subscription.
	{
		Name: "recurly", Title: "Recurly", DigestBody: true, Distinction: unique,
		Schemes: only(signature.HMACSHA256, signature.SignatureField{Field: inHeader("recurly-signature"), Separator: ",", Positional: 1}, signed("{timestamp}.{body}"), timestamp(inElement("1"), "unix_ms", 0),
			id(inHeader("recurly-notification-id")), event(inJSON("object_type")), action(inJSON("event_type"))),
		Docs: "https://docs.recurly.com/recurly-subscriptions/docs/signature-verification", SecretHelp: "Secret key of the endpoint, as text",
	},
	// call_id identifies the call. The body has its times and its transcript.
	{
		Name: "retell", Title: "Retell AI", DigestBody: true, Distinction: unique,
		Schemes: only(signature.HMACSHA256, listIn("X-Retell-Signature", ",", "d"), refuseEmpty, signed("{body}{timestamp}"), timestamp(inElement("v"), "unix_ms", 0), event(inJSON("event"))),
		Docs:    "https://docs.retellai.com/features/secure-webhook", SecretHelp: "the API key with the webhook badge",
	},
	// Bodies of the Merchant API have no time: two declined payments of an order
	// differ only in the signed time.
	{
		Name: "revolut", Title: "Revolut", Distinction: unique,
		Schemes: only(signature.HMACSHA256, spaced(listIn("Revolut-Signature", ",", "v1")), signed("v1.{timestamp}.{body}"), timestamp(inHeader("Revolut-Request-Timestamp"), "unix_ms", 0), event(inJSON("event"))),
		Docs:    "https://developer.revolut.com/docs/guides/merchant/monitor-and-observe/webhooks/verify-the-payload-signature", SecretHelp: "signing_secret of the webhook, wsk_…",
	},
	// Until 2026, retries continued for 30 minutes. Sanity's own library does not
	// check the age.
	{
		Name: "sanity", Title: "Sanity", Distinction: unique,
		Schemes: only(signature.HMACSHA256, sanitySignature(), refuseEmpty, signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix_ms", 1800), id(inHeader("idempotency-key")), event(inHeader("sanity-operation"))),
		Docs:    "https://www.sanity.io/docs/content-lake/webhook-best-practices", SecretHelp: "Secret of the webhook, as entered",
	},
	// The nonce identifies a signature. It is not documented whether retries are
	// signed with a new time. The body has event_time.
	{
		Name: "sinch-conversation", Title: "Sinch Conversation API", DigestBody: true, Distinction: unique,
		Schemes: only(signature.HMACSHA256, base64In("x-sinch-webhook-signature", ""), signed("{body}.{header.x-sinch-webhook-signature-nonce}.{timestamp}"), timestamp(inHeader("x-sinch-webhook-signature-timestamp"), "unix", 25*3600), jsonBody),
		Docs:    "https://developers.sinch.com/docs/conversation/callbacks/", SecretHelp: "secret of the webhook, as entered",
	},
	{
		Name: "slack", Title: "Slack", CheckVerified: checkDeclared, Distinction: unique,
		Schemes:    only(signature.HMACSHA256, hexIn("X-Slack-Signature", "v0="), signed("v0:{timestamp}:{body}"), timestamp(inHeader("X-Slack-Request-Timestamp"), "unix", 0), id(inJSON("event_id")), event(inJSON("event.type")), answers(ping(inForm("ssl_check"), "1"))),
		OtherEvent: slackEvent, Window: 2 * day, Handshake: echoChallenge("type", "url_verification", "challenge"), Handshakes: "url_verification, signed",
		Docs: "https://docs.slack.dev/authentication/verifying-requests-from-slack", SecretHelp: "Signing Secret, under Basic Information of the app",
	},
	{
		Name: "stripe", Title: "Stripe", Distinction: unique,
		Schemes: only(signature.HMACSHA256, listIn("Stripe-Signature", ",", "v1"), signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix", 0), id(inJSON("id")), event(inJSON("type"))),
		Window:  week, // retries continue for 3 days
		Docs:    "https://docs.stripe.com/webhooks/signature", SecretHelp: "Signing secret of the endpoint, whsec_…",
	},
	// Bodies are lists of events, each with a time.
	{
		Name: "tailscale", Title: "Tailscale", DigestBody: true, Distinction: unique,
		Schemes: only(signature.HMACSHA256, listIn("Tailscale-Webhook-Signature", ",", "v1"), signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix", 0), event(inJSON("0.type"))),
		Docs:    "https://tailscale.com/kb/1213/webhooks", SecretHelp: "Secret of the webhook, tskey-webhook-…",
	},
	// Retries continue for 72 hours. The body has create_time.
	{
		Name: "tiktok", Title: "TikTok for Developers", DigestBody: true, Distinction: unique,
		Schemes: only(signature.HMACSHA256, listIn("TikTok-Signature", ",", "s"), signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix", 0), event(inJSON("event"))),
		Docs:    "https://developers.tiktok.com/doc/webhooks-verification", SecretHelp: "client_secret of the app",
	},
	{
		Name: "twitch", Title: "Twitch EventSub", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("Twitch-Eventsub-Message-Signature", "sha256="), signed("{id}{timestamp}{body}"), timestamp(inHeader("Twitch-Eventsub-Message-Timestamp"), "rfc3339", 600), id(inHeader("Twitch-Eventsub-Message-Id")), event(inJSON("subscription.type"))),
		Window:  2 * day, Handshake: twitchChallenge, Handshakes: "webhook_callback_verification, signed",
		Docs: "https://dev.twitch.tv/docs/eventsub/handling-webhook-events", SecretHelp: "secret of the subscription, as entered",
	},
	{
		Name: "webflow", Title: "Webflow", Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("x-webflow-signature", ""), signed("{timestamp}:{body}"), timestamp(inHeader("x-webflow-timestamp"), "unix_ms", 0), event(inJSON("triggerType"))),
		Docs:    "https://developers.webflow.com/data/docs/working-with-webhooks", SecretHelp: "secretKey of the webhook; for apps the client secret",
	},
	{
		Name: "workos", Title: "WorkOS", Distinction: unique,
		Schemes: only(signature.HMACSHA256, laidOut("t={t}, v1={signature}", spaced(listIn("WorkOS-Signature", ",", "v1"))), signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix_ms", 180), id(inJSON("id")), event(inJSON("event"))),
		Docs:    "https://workos.com/docs/events/data-syncing/webhooks", SecretHelp: "Secret of the endpoint",
	},
	// Bodies about two tickets that a bulk update changes in one second can be equal.
	{
		Name: "zendesk", Title: "Zendesk", Distinction: repeats,
		Schemes: only(signature.HMACSHA256, base64In("X-Zendesk-Webhook-Signature", ""), signed("{timestamp}{body}"), timestamp(inHeader("X-Zendesk-Webhook-Signature-Timestamp"), "rfc3339", 0), id(inHeader("X-Zendesk-Webhook-Invocation-Id")), event(inJSON("type"))),
		Docs:    "https://developer.zendesk.com/documentation/webhooks/verifying/", SecretHelp: "signing secret of the webhook, as text",
	},
	// Calls before and after an API request contain only that request, which can
	// occur twice in a second. Events have a sequence.
	{
		Name: "zitadel", Title: "ZITADEL Actions", Distinction: uniqueWhen(inJSON("sequence")),
		Schemes: only(signature.HMACSHA256, listIn("ZITADEL-Signature", ",", "v1"), signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix", 0), event(inJSON("event_type"))),
		Docs:    "https://zitadel.com/docs/guides/integrate/actions/usage", SecretHelp: "signing key of the target",
	},
	// Retries are sent after 5, 25 and 85 minutes. It is not documented whether they
	// are signed with a new time. The body has event_ts.
	{
		Name: "zoom", Title: "Zoom", DigestBody: true, Distinction: unique,
		Schemes: only(signature.HMACSHA256, hexIn("x-zm-signature", "v0="), signed("v0:{timestamp}:{body}"), timestamp(inHeader("x-zm-request-timestamp"), "unix", 90*60), event(inJSON("event"))),
		Window:  2 * day, Handshake: zoomChallenge, Handshakes: "endpoint.url_validation, signed",
		Docs: "https://developers.zoom.us/docs/api/webhooks", SecretHelp: "Secret Token, under Features of the app",
	},
}

const suffixWeakness = "the signature is a plain hash of content and secret, not an HMAC: two bodies with equal hashes have the same signature"

func cloudinaryScheme(algorithm signature.Algorithm) []signature.Scheme {
	return only(algorithm, hexIn("X-Cld-Signature", ""), signed("{body}{timestamp}"), timestamp(inHeader("X-Cld-Timestamp"), "unix", 7200), event(inJSON("notification_type")))
}

// boxScheme: each of the two keys has its own header.
func boxScheme(header string) signature.Scheme {
	return scheme(signature.HMACSHA256, base64In(header, ""), signed("{body}{timestamp}"), timestamp(inHeader("BOX-DELIVERY-TIMESTAMP"), "rfc3339", 600),
		id(inJSON("id")), event(inJSON("trigger")), require("BOX-SIGNATURE-VERSION", "1"), require("BOX-SIGNATURE-ALGORITHM", "HmacSHA256"))
}

// orderedBuildkite: Buildkite's own library requires this order.
func orderedBuildkite() signature.SignatureField {
	f := spaced(listIn("X-Buildkite-Signature", ",", "signature"))
	f.Prefix = "timestamp="
	f.Positional = 1
	return f
}

func personaSignature() signature.SignatureField {
	f := listIn("Persona-Signature", ",", "v1")
	f.SetSeparator = " "
	return f
}

func sanitySignature() signature.SignatureField {
	f := listIn("sanity-webhook-signature", ",", "v1")
	f.Encoding = signature.Base64URL
	return f
}

func knockSignature() signature.SignatureField {
	f := listIn("x-knock-signature", ",", "s")
	f.Encoding = signature.Base64
	return f
}

func mercuryScheme(encoding string) signature.Scheme {
	return scheme(signature.HMACSHA256, listIn("Mercury-Signature", ",", "v1"), key(encoding, ""), signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix", 0),
		id(inJSON("id")), event(inJSON("resourceType")), action(inJSON("operationType")))
}

func paymongoScheme(element string) signature.Scheme {
	return scheme(signature.HMACSHA256, laidOut(paymongoLayout[element], listIn("Paymongo-Signature", ",", element)), signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix", 25*3600),
		id(inJSON("data.id")), event(inJSON("data.attributes.type")))
}

// paymongoLayout is the header layout of a live or test webhook.
var paymongoLayout = map[string]string{"li": "t={t},te=,li={signature}", "te": "t={t},te={signature},li="}
