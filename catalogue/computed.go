package catalogue

import (
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// computed are the providers whose signed content requires code. The scheme still
// handles keys, comparison and refusals. A function, in the file named after the
// provider, computes {value.NAME}.
var computed = []provider.Preset{
	{
		Name: "adyen", Title: "Adyen", CheckVerified: checkAdyen, Distinction: unique,
		Window: 30 * day, Code: newAdyen, // retries continue for as long
		Signs: "eight fields of the item, of which there must be exactly one, in JSON or as a form", Unsigned: []string{"eventDate", "live", "reason", "paymentMethod"},
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
		Signs:  "the notification, as a JWS with certificates that chain to Apple's root",
		IDHelp: "`json notificationUUID`", IDSigned: true, Docs: "https://developer.apple.com/documentation/appstoreservernotifications", SecretHelp: "none: the delivery contains the certificates",
	},
	{
		Name: "aws-sns", Title: "Amazon SNS", Distinction: unique,
		Code: newSNS, NoSecret: true, Needs: []string{"topic"}, Takes: []string{"certificate", "root", "algorithm", "accept_handshake"},
		Window: 2 * day, Signs: "Message, MessageId, Subject, Timestamp, TopicArn and Type; for confirmations also SubscribeURL and Token", Unsigned: []string{"UnsubscribeURL", "MessageAttributes"}, Handshakes: "SubscriptionConfirmation: SubscribeURL is fetched, while `accept_handshake` is set",
		IDHelp: "`json MessageId`", IDSigned: true, Docs: "https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html", SecretHelp: "none: certificates are fetched from Amazon",
		Weakness: "UnsubscribeURL and MessageAttributes are not signed: anyone who sees a message before it is handled can change them",
	},
	{
		Name: "braintree", Title: "Braintree", Distinction: unique,
		KeyText: braintreeKey, Values: braintreeValues, CheckVerified: signature.CheckSignedForm,
		Schemes:   only(signature.HMACSHA1, signature.SignatureField{Field: signature.Field{From: "value", Name: "signature"}}, key("hex", ""), signed("{value.payload}"), valuesCoverBody, keyID(signature.Field{From: "value", Name: "key"})),
		Challenge: braintreeChallenge, Handshakes: "GET with `bt_challenge`",
		Docs: "https://developer.paypal.com/braintree/docs/guides/webhooks/parse", SecretHelp: "private key, with the public key as label",
	},
	// A retry is signed with a new time. Version 1 also signs the event ID.
	{Name: "coinbase-cdp", Title: "Coinbase Developer Platform", Distinction: unique, Variants: []provider.Variant{
		{Name: "v1", Help: "also signs the headers that it lists", DigestBody: true, Schemes: only(signature.HMACSHA256, listIn("X-Hook0-Signature", ",", "v1"), signed("{timestamp}.{element.h}.{value.headers}.{body}"), jsonBody, timestamp(inElement("t"), "unix", 0), id(inHeader("X-Event-Id")), event(inHeader("X-Event-Type")))},
		{Name: "v0", Help: "signs time and body", Schemes: only(signature.HMACSHA256, listIn("X-Hook0-Signature", ",", "v0"), signed("{timestamp}.{body}"), timestamp(inElement("t"), "unix", 0), id(inHeader("X-Event-Id")), event(inHeader("X-Event-Type")))},
	}, Values: coinbaseValues, Docs: "https://docs.cdp.coinbase.com/webhooks/verify-signatures", SecretHelp: "secret of the subscription"},
	// Retries are sent every 30 seconds.
	{
		Name: "contentful", Title: "Contentful", Distinction: unique,
		Values: contentfulValues, Schemes: only(signature.HMACSHA256, hexIn("x-contentful-signature", ""), signed("{method}{lf}{value.path}{lf}{value.headers}{lf}{body}"),
			timestamp(inHeader("x-contentful-timestamp"), "unix_ms", 120), id(inHeader("X-Contentful-Idempotency-Key")), event(inHeader("X-Contentful-Topic")), valuesCover(inHeader("x-contentful-timestamp"))),
		Docs: "https://www.contentful.com/developers/docs/webhooks/request-verification/", SecretHelp: "signing secret, 64 characters, under Webhooks > Settings",
	},
	{
		Name: "dropbox-sign", Title: "Dropbox Sign", Distinction: unique,
		Values: dropboxSignValues, CheckVerified: checkDropboxSign, DigestBody: true, Signs: "time and type of the event",
		Schemes:    only(signature.HMACSHA256, signature.SignatureField{Field: signature.Field{From: "value", Name: "hash"}}, signed("{value.time}{value.type}"), event(signature.Field{From: "value", Name: "type"})),
		Handshakes: "none: the app must respond to every event with the text `Hello API Event Received`",
		Docs:       "https://developers.hellosign.com/docs/events/walkthrough/", SecretHelp: "Primary API key",
		Weakness: "only the time and type of the event are signed: anyone who sees a delivery can change everything else, so fetch the details from the API",
	},
	// A retry has a different publishDate and attempt count in its body, but the same
	// ID.
	{
		Name: "ebay", Title: "eBay", Distinction: unique,
		Code: newEbay, NoSecret: true, Takes: []string{"client_id", "client_secret", "environment", "jwks", "verify_token"}, Signs: "the body",
		Challenge: ebayChallenge, Handshakes: "GET with `challenge_code`, if `verify_token` is set",
		IDHelp: "`json notification.notificationId`", IDSigned: true, Docs: "https://developer.ebay.com/api-docs/commerce/notification/overview.html", SecretHelp: "none: keys are fetched from eBay with `client_id` and `client_secret`; set `public_url` to the endpoint's URL, which is part of the response to the challenge",
		Weakness: "eBay signs with the same keys for all developers: check that the account in the body is yours",
	},
	{
		Name: "github-secret-scanning", Title: "GitHub secret scanning alerts", Distinction: unique,
		Code: newSecretScanning, NoSecret: true, Signs: "the body",
		Docs: "https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partnership-program/secret-scanning-partner-program", SecretHelp: "none: keys are fetched from GitHub; or public keys in PEM, with the key identifier as label",
	},
	// Version 2 is used to fetch cards. It signs no time.
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
		Window: 2 * day, Docs: "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks", SecretHelp: "HTTP webhook signing key; for events of subaccounts, the key of the account or of the primary account",
		Weakness: "only time and token are signed, not the event, the mail or its attachments: anyone who sees a delivery before it is handled can replace the event or mail",
	},
	// x-request-id is signed, but the body is not. It is not documented whether a
	// retry has a different x-request-id. The body has an ID and a time.
	{
		Name: "mercado-pago", Title: "Mercado Pago", Distinction: unique, DigestBody: true, AlsoContent: true,
		Values: mercadoPagoValues, Schemes: only(signature.HMACSHA256, spaced(listIn("x-signature", ",", "v1")), signed("{value.manifest}ts:{element.ts};"), id(inHeader("x-request-id")), event(inJSON("type")), action(inJSON("action")), valuesCover(inHeader("x-request-id"))),
		Window: 30 * day, Signs: "`data.id` of the URL, x-request-id and a time; not the body", Docs: "https://www.mercadopago.com.br/developers/en/docs/your-integrations/notifications/webhooks", SecretHelp: "secret signature of the application, under Webhooks",
		Weakness: "the body is not signed and no age is checked: anyone who sees a delivery before it is handled can replace its body, so fetch the details from the API",
	},
	// Notifications of OneDrive and SharePoint say only that something changed.
	// value.0.id is optional, and identifies one of several notifications.
	{
		Name: "microsoft-graph", Title: "Microsoft Graph", Distinction: repeats,
		Values: graphValues, Schemes: only(signature.Token, signature.SignatureField{Field: signature.Field{From: "value", Name: "client_state"}}), Weakness: tokenWeakness,
		CheckVerified: checkGraph,
		Challenge:     graphChallenge, Handshakes: "`validationToken`, in the query",
		Docs: "https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks", SecretHelp: "clientState of the subscription",
	},
	{
		Name: "paddle-classic", Title: "Paddle Classic", Distinction: unique,
		Values: paddleClassicValues, CheckVerified: signature.CheckSignedForm, Schemes: only(signature.RSASHA1, signature.SignatureField{Field: inForm("p_signature"), Encoding: signature.Base64}, signed("{value.serialized}"), id(inForm("alert_id")), event(inForm("alert_name")), valuesCoverBody),
		Window: 4 * day, Docs: "https://classic.paddle.com/webhooks/verifying-webhooks/", SecretHelp: "Public Key, under Developer Tools",
	},
	// A retry or a manual redelivery can have a different transmission ID. The body
	// contains the event ID, but is not enough to identify a delivery, because only
	// its CRC-32 is signed.
	{
		Name: "paypal", Title: "PayPal", Distinction: unique, DigestBody: true, AlsoContent: true,
		Code: newPayPal, NoSecret: true, Needs: []string{"webhook_id"}, Takes: []string{"environment", "certificate", "root"}, Signs: "transmission ID, time, webhook ID and CRC-32 of the body",
		IDHelp: "`header PAYPAL-TRANSMISSION-ID`", IDSigned: true, Docs: "https://developer.paypal.com/api/rest/webhooks/rest/", SecretHelp: "none: certificates are fetched from PayPal; `webhook_id` is under Webhooks of the app",
		Weakness: "only the CRC-32 of the body is signed: anyone who sees a delivery before it is handled can replace its body",
	},
	{Name: "plivo", Title: "Plivo", Distinction: unique, Values: plivoValues, Variants: []provider.Variant{
		{Name: "v3", Help: "X-Plivo-Signature-V3", Weakness: formWeakness, Schemes: only(signature.HMACSHA256, plivoSignature("V3"), signed("{value.content}.{id}"), id(inHeader("X-Plivo-Signature-V3-Nonce")))},
		{
			Name: "v2", Help: "X-Plivo-Signature-V2", Weakness: "only the URL and a nonce are signed, neither query nor body: anyone who sees a delivery can change both",
			Schemes: only(signature.HMACSHA256, plivoSignature("V2"), signed("{value.address}{id}"), id(inHeader("X-Plivo-Signature-V2-Nonce"))),
		},
	}, Window: 2 * day, Docs: "https://www.plivo.com/docs/voice/concepts/signature-validation", SecretHelp: "Auth Token of the account"},
	{
		Name: "rfc9421", Title: "HTTP Message Signatures (RFC 9421)", Distinction: unique,
		Code: newMessageSignatures, Takes: []string{"component"}, Signs: "the components that the signature lists, at least those in `component`",
		Docs: "https://www.rfc-editor.org/rfc/rfc9421", SecretHelp: "ALGORITHM:KEY, with the key ID as label; the algorithms are hmac-sha256 (key in base64), ed25519, ecdsa-p256-sha256, rsa-v1_5-sha256 and rsa-pss-sha512 (public key)",
	},
	// The MD5 of the body is signed. The body contains the call, its event and a time.
	{
		Name: "sinch-voice", Title: "Sinch Voice and Verification", Distinction: unique, DigestBody: true,
		Values: sinchVoiceValues, Schemes: only(signature.HMACSHA256, signature.SignatureField{Field: inHeader("Authorization"), Prefix: "Application ", Encoding: signature.Base64, Separator: ":", Positional: 1}, key("base64", ""), refuseEmpty,
			signed("{method}{lf}{value.md5}{lf}{header.Content-Type}{lf}x-timestamp:{timestamp}{lf}{path}"), timestamp(inHeader("x-timestamp"), "rfc3339", 0), keyID(inElement("1")), event(inJSON("event")), valuesCoverBody),
		Signs: "method, MD5 of the body, Content-Type, time and path", Docs: "https://developers.sinch.com/docs/voice/api-reference/authentication/callback-signed-request", SecretHelp: "application secret, in base64 as shown, with the application key as label",
		Weakness: "the body is signed only through its MD5: an attacker who can choose a part of a body can create two bodies with the same signature",
	},
	// Pressing 1 twice in the same menu sends equal forms.
	{
		Name: "twilio", Title: "Twilio", Distinction: repeats,
		Values: twilioValues, Schemes: []signature.Scheme{twilioScheme(signature.HMACSHA1, signature.KeyFormat{OtherPrefix: twilioSharedKey}), twilioScheme(signature.HMACSHA256, signature.KeyFormat{Prefix: twilioSharedKey, PrefixRequired: true})},
		Weakness: repeatingFormWeakness, Window: 2 * day, Docs: "https://www.twilio.com/docs/usage/webhooks/webhooks-security",
		SecretHelp: "Auth Token of the account; or the secret of a SharedKey with HMAC_SHA256 in its Setting, as hmac-sha256:SECRET",
		Hint:       twilioHint, Streams: "Media Streams, ConversationRelay",
		Unsupported: "WebSockets (Media Streams, ConversationRelay) are refused: Twilio signs only the request that opens one",
	},
}

const prefixWeakness = "the signature is a plain hash of secret and content, not an HMAC: anyone who sees a delivery can extend its body and sign the result; use v3"

// valuesCoverBody: the values cover the whole body.
func valuesCoverBody(s *signature.Scheme) { s.ValuesCoverBody = true }

// mayBeEmpty names the {value.NAME} that can be empty.
func mayBeEmpty(name string) with {
	return func(s *signature.Scheme) { s.OptionalValue = name }
}

// valuesCover names the fields that the values also cover.
func valuesCover(f signature.Field) with {
	return func(s *signature.Scheme) { s.ValuesCover = append(s.ValuesCover, f) }
}

// wholeBody returns the body. A preset's code reads at most 1 MiB, because parsing
// needs several times that memory.
func wholeBody(r *signature.Request) ([]byte, error) { return bodyUpTo(r, wholeMost) }

// bodyUpTo is wholeBody with a different limit.
func bodyUpTo(r *signature.Request, most int64) ([]byte, error) {
	if r.Body.Size() > most {
		return nil, signature.Refuse(signature.Malformed, "body too large: the provider never sends %d bytes", r.Body.Size())
	}
	// Decoding copies the body at most twice.
	if err := signature.Charge(r.Body, 2*r.Body.Size()); err != nil {
		return nil, err
	}
	return signature.BodyBytes(r.Body)
}
