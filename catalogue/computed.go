package catalogue

import (
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// computed are the providers whose signed content takes code to spell. The scheme
// still holds keys, comparison and refusals; only what stands in {value.NAME}
// comes from a function, in the file of the provider's name.
var computed = []provider.Preset{
	{
		Name: "adyen", Title: "Adyen", Distinction: unique,
		Window: 30 * day, Code: newAdyen, // it retries for as long
		Signs: "eight fields of the item, of which there must be one, in JSON or as a form", Unsigned: []string{"eventDate", "live", "reason", "paymentMethod"},
		Docs: "https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures", SecretHelp: "HMAC key of the webhook, in hex as shown",
		Weakness: "only eight fields of an item are signed: anyone who sees a delivery can change all others, such as reason, live and paymentMethod",
	},
	// event_id and the recipient are in the signed body.
	{
		Name: "adobe-io-events", Title: "Adobe I/O Events", Distinction: unique,
		Code: newAdobeEvents, NoSecret: true, Needs: []string{"audience"}, Takes: []string{"jwks"}, Signs: "the body",
		Challenge: echoQuery("challenge"), Handshakes: "GET with `challenge`",
		IDHelp: "`json event_id`", IDSigned: true, Docs: "https://developer.adobe.com/events/docs/guides/sdk/sdk_signature_verification/", SecretHelp: "none: keys are fetched from Adobe; `audience` is the client ID of the project",
	},
	{
		Name: "apple-app-store", Title: "Apple App Store Server Notifications v2", Distinction: unique,
		Code: newAppleAppStore, NoSecret: true, Window: 2 * appleTolerance, Needs: []string{"bundle_id"}, Takes: []string{"app_id", "environment", "root"},
		Signs:  "the notification, as a JWS whose certificates lead to Apple's root",
		IDHelp: "`json notificationUUID`", IDSigned: true, Docs: "https://developer.apple.com/documentation/appstoreservernotifications", SecretHelp: "none: certificates come with the delivery",
	},
	{
		Name: "aws-sns", Title: "Amazon SNS", Distinction: unique,
		Code: newSNS, NoSecret: true, Needs: []string{"topic"}, Takes: []string{"certificate", "root", "algorithm", "accept_handshake"},
		Window: 2 * day, Signs: "Message, MessageId, Subject, Timestamp, TopicArn and Type; of confirmations SubscribeURL and Token, too", Unsigned: []string{"UnsubscribeURL", "MessageAttributes"}, Handshakes: "SubscriptionConfirmation: SubscribeURL is fetched, while `accept_handshake` is set",
		IDHelp: "`json MessageId`", IDSigned: true, Docs: "https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html", SecretHelp: "none: certificates are fetched from Amazon",
		Weakness: "UnsubscribeURL and MessageAttributes are not signed: anyone who sees a message that was not handled yet can change them",
	},
	{
		Name: "braintree", Title: "Braintree", Distinction: unique,
		KeyText: braintreeKey, Values: braintreeValues,
		Schemes:   only(signature.HMACSHA1, signature.SignatureField{Field: signature.Field{From: "value", Name: "signature"}}, key("hex", ""), signed("{value.payload}"), valuesCoverBody, keyID(signature.Field{From: "value", Name: "key"})),
		Challenge: braintreeChallenge, Handshakes: "GET with `bt_challenge`",
		Docs: "https://developer.paypal.com/braintree/docs/guides/webhooks/parse", SecretHelp: "private key, with the public key as label",
	},
	// A retry is signed with a new time; version 1 signs the event ID, too.
	{Name: "coinbase-cdp", Title: "Coinbase Developer Platform", Distinction: unique, Variants: []provider.Variant{
		{Name: "v1", Help: "signs the headers that it lists, too", DigestBody: true, Schemes: only(signature.HMACSHA256, listIn("X-Hook0-Signature", ",", "v1"), signed("{timestamp}.{element.h}.{value.headers}.{body}"), jsonBody, timestamp(inElement("t"), "unix", 0), id(inHeader("X-Event-Id")), event(inHeader("X-Event-Type")))},
		{Name: "v0", Help: "signs time and body", Schemes: only(signature.HMACSHA256, listIn("X-Hook0-Signature", ",", "v0"), signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix", 0), id(inHeader("X-Event-Id")), event(inHeader("X-Event-Type")))},
	}, Values: coinbaseValues, Docs: "https://docs.cdp.coinbase.com/webhooks/verify-signatures", SecretHelp: "secret of the subscription"},
	// Retries come 30 seconds after one another.
	{
		Name: "contentful", Title: "Contentful", Distinction: unique,
		Values: contentfulValues, Schemes: only(signature.HMACSHA256, hexIn("x-contentful-signature", ""), signed("{method}{lf}{value.path}{lf}{value.headers}{lf}{body}"),
			timestamp(inHeader("x-contentful-timestamp"), "unix_ms", 120), id(inHeader("X-Contentful-Idempotency-Key")), event(inHeader("X-Contentful-Topic")), valuesCover(inHeader("x-contentful-timestamp"))),
		Docs: "https://www.contentful.com/developers/docs/webhooks/request-verification/", SecretHelp: "signing secret, 64 characters, under Webhooks > Settings",
	},
	{
		Name: "dropbox-sign", Title: "Dropbox Sign", Distinction: unique,
		Values: dropboxSignValues, DigestBody: true, Signs: "time and type of the event",
		Schemes:    only(signature.HMACSHA256, signature.SignatureField{Field: signature.Field{From: "value", Name: "hash"}}, signed("{value.time}{value.type}"), event(signature.Field{From: "value", Name: "type"})),
		Handshakes: "none: the app itself must answer every event with the text `Hello API Event Received`",
		Docs:       "https://developers.hellosign.com/docs/events/walkthrough/", SecretHelp: "Primary API key",
		Weakness: "only time and type of the event are signed: anyone who sees a delivery can change everything else, so look up the details with the API",
	},
	// A retry has another publishDate and attempt count in its body: the ID stays.
	{
		Name: "ebay", Title: "eBay", Distinction: unique,
		Code: newEbay, NoSecret: true, Takes: []string{"client_id", "client_secret", "environment", "jwks", "verify_token"}, Signs: "the body",
		Challenge: ebayChallenge, Handshakes: "GET with `challenge_code`, if `verify_token` is set",
		IDHelp: "`json notification.notificationId`", IDSigned: true, Docs: "https://developer.ebay.com/api-docs/commerce/notification/overview.html", SecretHelp: "none: keys are fetched from eBay with `client_id` and `client_secret`; set `public_url` to the endpoint's URL, which the challenge's answer holds",
		Weakness: "the same keys sign for all of eBay's developers: check that the account in the body is yours",
	},
	{
		Name: "github-secret-scanning", Title: "GitHub secret scanning alerts", Distinction: unique,
		Code: newSecretScanning, NoSecret: true, Signs: "the body",
		Docs: "https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partnership-program/secret-scanning-partner-program", SecretHelp: "none: keys are fetched from GitHub; or public keys in PEM, with the key identifier as label",
	},
	// With version 2 an app fetches cards, for which no time is signed.
	{Name: "hubspot", Title: "HubSpot", Distinction: unique, Values: hubspotValues, Variants: []provider.Variant{
		{Name: "v3", Help: "X-HubSpot-Signature-v3", DigestBody: true, Schemes: only(signature.HMACSHA256, base64In("X-HubSpot-Signature-v3", ""), signed("{method}{value.url}{body}{timestamp}"), jsonBody, timestamp(inHeader("X-HubSpot-Request-Timestamp"), "unix_ms", 0))},
		{Name: "v2", Help: "X-HubSpot-Signature with version v2", Distinction: &repeats, Schemes: only(signature.SHA256Prefix, hexIn("X-HubSpot-Signature", ""), signed("{method}{url}{body}"), jsonBody, require("X-HubSpot-Signature-Version", "v2")), Weakness: prefixWeakness},
		{Name: "v1", Help: "X-HubSpot-Signature with version v1", Schemes: only(signature.SHA256Prefix, hexIn("X-HubSpot-Signature", ""), require("X-HubSpot-Signature-Version", "v1")), Weakness: prefixWeakness},
	}, Window: 2 * day, Docs: "https://developers.hubspot.com/docs/api/webhooks/validating-requests", SecretHelp: "Client secret of the app"},
	{
		Name: "hygraph", Title: "Hygraph", Distinction: unique,
		Values: hygraphValues, Schemes: only(signature.HMACSHA256, hygraphSignature(), signed(`{value.before}{body_escaped}{value.between}{element.env}{value.after}{timestamp}{value.end}`),
			timestamp(inElement("t"), "unix_ms", 0), event(inJSON("operation")), valuesCoverBody),
		Docs: "https://hygraph.com/docs/api-reference/basics/webhooks", SecretHelp: "Secret key of the webhook",
	},
	{
		Name: "mailgun", Title: "Mailgun", Distinction: unique,
		Schemes: mailgunSchemes(), SecretsFitAll: true, Values: mailgunValues, Check: checkMailgun,
		Window: 2 * day, Docs: "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks", SecretHelp: "HTTP webhook signing key; for events of subaccounts that of the account or that of the primary account",
		Weakness: "only time and token are signed, neither the event nor the mail and its attachments: anyone who sees a delivery that was not handled yet can replace the event or mail",
	},
	// x-request-id is signed, and the body is not. Whether a retry has another one is
	// not documented: the body has an ID and a time.
	{
		Name: "mercado-pago", Title: "Mercado Pago", Distinction: unique, DigestBody: true, AlsoContent: true,
		Values: mercadoPagoValues, Schemes: only(signature.HMACSHA256, spaced(listIn("x-signature", ",", "v1")), signed("{value.manifest}ts:{element.ts};"), id(inHeader("x-request-id")), event(inJSON("type")), action(inJSON("action")), valuesCover(inHeader("x-request-id"))),
		Window: 30 * day, Signs: "`data.id` of the URL, x-request-id and a time; not the body", Docs: "https://www.mercadopago.com.br/developers/en/docs/your-integrations/notifications/webhooks", SecretHelp: "secret signature of the application, under Webhooks",
		Weakness: "the body is not signed and no age is checked: anyone who sees a delivery that was not handled yet can replace its body, so fetch the details from the API",
	},
	// Notifications of OneDrive and SharePoint say that something changed, no more.
	// value.0.id is optional, and of one notification of many.
	{
		Name: "microsoft-graph", Title: "Microsoft Graph", Distinction: repeats,
		Values: graphValues, Schemes: only(signature.Token, signature.SignatureField{Field: signature.Field{From: "value", Name: "client_state"}}), Weakness: tokenWeakness,
		CheckVerified: checkGraph,
		Challenge:     graphChallenge, Handshakes: "`validationToken`, in the query",
		Docs: "https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks", SecretHelp: "clientState of the subscription",
	},
	{
		Name: "paddle-classic", Title: "Paddle Classic", Distinction: unique,
		Values: paddleClassicValues, Schemes: only(signature.RSASHA1, signature.SignatureField{Field: inForm("p_signature"), Encoding: signature.Base64}, signed("{value.serialized}"), id(inForm("alert_id")), event(inForm("alert_name")), valuesCoverBody),
		Window: 4 * day, Docs: "https://classic.paddle.com/webhooks/verifying-webhooks/", SecretHelp: "Public Key, under Developer Tools",
	},
	// A retry or a redelivery by hand may have another transmission ID; the body
	// holds the ID of the event. The body alone is not enough, since of it only
	// the CRC-32 is signed.
	{
		Name: "paypal", Title: "PayPal", Distinction: unique, DigestBody: true, AlsoContent: true,
		Code: newPayPal, NoSecret: true, Needs: []string{"webhook_id"}, Takes: []string{"environment", "certificate", "root"}, Signs: "transmission ID, time, webhook ID and CRC-32 of the body",
		IDHelp: "`header PAYPAL-TRANSMISSION-ID`", IDSigned: true, Docs: "https://developer.paypal.com/api/rest/webhooks/rest/", SecretHelp: "none: certificates are fetched from PayPal; `webhook_id` is under Webhooks of the app",
		Weakness: "of the body only the CRC-32 is signed: anyone who sees a delivery that was not handled yet can replace its body",
	},
	{Name: "plivo", Title: "Plivo", Distinction: unique, Values: plivoValues, Variants: []provider.Variant{
		{Name: "v3", Help: "X-Plivo-Signature-V3", Weakness: formWeakness, Schemes: only(signature.HMACSHA256, plivoSignature("V3"), signed("{value.content}.{id}"), id(inHeader("X-Plivo-Signature-V3-Nonce")))},
		{
			Name: "v2", Help: "X-Plivo-Signature-V2", Weakness: "only the URL and a nonce are signed, neither query nor body: anyone who sees a delivery can change it",
			Schemes: only(signature.HMACSHA256, plivoSignature("V2"), signed("{value.address}{id}"), id(inHeader("X-Plivo-Signature-V2-Nonce"))),
		},
	}, Window: 2 * day, Docs: "https://www.plivo.com/docs/voice/concepts/signature-validation", SecretHelp: "Auth Token of the account"},
	{
		Name: "rfc9421", Title: "HTTP Message Signatures (RFC 9421)", Distinction: unique,
		Code: newMessageSignatures, Takes: []string{"component"}, Signs: "what the signature lists; at least `component`",
		Docs: "https://www.rfc-editor.org/rfc/rfc9421", SecretHelp: "ALGORITHM:KEY, with the key ID as label; the algorithms are hmac-sha256 (key in base64), ed25519, ecdsa-p256-sha256, rsa-v1_5-sha256 and rsa-pss-sha512 (public key)",
	},
	// The MD5 of the body is signed. The body has the call, its event and a time.
	{
		Name: "sinch-voice", Title: "Sinch Voice and Verification", Distinction: unique, DigestBody: true,
		Values: sinchVoiceValues, Schemes: only(signature.HMACSHA256, signature.SignatureField{Field: inHeader("Authorization"), Prefix: "Application ", Encoding: signature.Base64, Separator: ":", Positional: 1}, key("base64", ""), refuseEmpty,
			signed("{method}{lf}{value.md5}{lf}{header.Content-Type}{lf}x-timestamp:{timestamp}{lf}{path}"), timestamp(inHeader("x-timestamp"), "rfc3339", 0), keyID(inElement("1")), event(inJSON("event")), valuesCoverBody),
		Signs: "method, MD5 of the body, Content-Type, time and path", Docs: "https://developers.sinch.com/docs/voice/api-reference/authentication/callback-signed-request", SecretHelp: "application secret, in base64 as shown, with the application key as label",
		Weakness: "the body is signed only through its MD5: an attacker who can choose a part of a body can make two bodies with the same signature",
	},
	// A caller who presses 1 in the same menu twice sends equal forms.
	{
		Name: "twilio", Title: "Twilio", Distinction: repeats,
		Values: twilioValues, Schemes: []signature.Scheme{twilioScheme(signature.HMACSHA1, signature.KeyFormat{OtherPrefix: twilioSharedKey}), twilioScheme(signature.HMACSHA256, signature.KeyFormat{Prefix: twilioSharedKey, PrefixRequired: true})},
		Weakness: repeatingFormWeakness, Window: 2 * day, Docs: "https://www.twilio.com/docs/usage/webhooks/webhooks-security",
		SecretHelp: "Auth Token of the account; or the secret of a SharedKey whose Setting has HMAC_SHA256, as hmac-sha256:SECRET",
		Hint:       twilioHint, Streams: "Media Streams, ConversationRelay",
		Unsupported: "WebSockets (Media Streams, ConversationRelay) are refused: Twilio signs the request that opens one, and nothing of what follows",
	},
}

const prefixWeakness = "the signature is a hash of secret and content without HMAC: anyone who sees a delivery can append to its body and sign that; use v3"

// valuesCoverBody: the values are made of the whole body.
func valuesCoverBody(s *signature.Scheme) { s.ValuesCoverBody = true }

// mayBeEmpty names the {value.NAME} that may be empty.
func mayBeEmpty(name string) with {
	return func(s *signature.Scheme) { s.OptionalValue = name }
}

// valuesCover names what else the values are made of.
func valuesCover(f signature.Field) with {
	return func(s *signature.Scheme) { s.ValuesCover = append(s.ValuesCover, f) }
}

// wholeBody returns the body, which a provider's code looks into only up to
// 1 MiB: it would be in memory several times over.
func wholeBody(r *signature.Request) ([]byte, error) { return bodyUpTo(r, wholeMost) }

// bodyUpTo is wholeBody with another limit.
func bodyUpTo(r *signature.Request, most int64) ([]byte, error) {
	if r.Body.Size() > most {
		return nil, signature.Refuse(signature.Malformed, "a body of %d bytes is larger than any that the provider sends", r.Body.Size())
	}
	// What is decoded is copied, at most twice.
	if err := signature.Charge(r.Body, 2*r.Body.Size()); err != nil {
		return nil, err
	}
	return signature.BodyBytes(r.Body)
}
