package catalogue

import (
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

const tokenWeakness = "the provider sends the secret itself and signs nothing: anyone who sees one delivery can send any other"

// tokens are the providers that send a secret and sign nothing.
var tokens = []provider.Preset{
	{
		Name: "auth0", Title: "Auth0 log streams", Distinction: unique,
		Schemes: only(signature.Token, plainIn("Authorization")), Takes: []string{"header"}, Weakness: tokenWeakness,
		Docs: "https://auth0.com/docs/customize/log-streams/custom-log-streams", SecretHelp: "complete Authorization Token of the stream",
	},
	{
		Name: "azure-devops", Title: "Azure DevOps", Distinction: unique,
		Schemes: basic(event(inJSON("eventType"))), Weakness: tokenWeakness,
		Docs: "https://learn.microsoft.com/en-us/azure/devops/service-hooks/services/webhooks", SecretHelp: "Basic authentication of the service hook, as user:password",
	},
	{Name: "brevo", Title: "Brevo", Distinction: unique, Variants: []provider.Variant{
		{Name: "basic", Help: "user:password in the URL of the webhook", Schemes: basic(event(inJSON("event"))), Weakness: tokenWeakness},
		{Name: "bearer", Help: "a bearer token", Schemes: only(signature.Token, signature.SignatureField{Field: inHeader("Authorization"), Prefix: "Bearer "}, event(inJSON("event"))), Weakness: tokenWeakness},
	}, Docs: "https://developers.brevo.com/docs/secured-webhooks", SecretHelp: "user:password or the token, as entered"},
	{
		Name: "chargebee", Title: "Chargebee", Distinction: unique,
		Schemes: basic(id(inJSON("id")), event(inJSON("event_type"))), Weakness: tokenWeakness,
		Window: 3 * day, Docs: "https://www.chargebee.com/docs/billing/2.0/site-configuration/webhook_settings", SecretHelp: "basic authentication of the webhook, as user:password",
	},
	{
		Name: "cloudflare-notifications", Title: "Cloudflare Notifications", Distinction: unique,
		Schemes: only(signature.Token, plainIn("cf-webhook-auth")), Weakness: tokenWeakness,
		Docs: "https://developers.cloudflare.com/notifications/get-started/configure-webhooks/", SecretHelp: "Secret of the webhook destination",
	},
	{
		Name: "documenso", Title: "Documenso", Distinction: unique,
		Schemes: only(signature.Token, plainIn("X-Documenso-Secret"), event(inJSON("event"))), Weakness: tokenWeakness,
		Docs: "https://docs.documenso.com/docs/developers/webhooks/verification", SecretHelp: "Secret of the webhook, as entered",
	},
	// The body contains the attempt count in `retries`.
	{
		Name: "figma", Title: "Figma", Distinction: unique, DigestBody: true, Values: figmaValues, CheckVerified: checkFigma,
		Schemes: only(signature.Token, signature.SignatureField{Field: inJSON("passcode")}, event(inJSON("event_type"))), Weakness: "the provider sends the secret itself, in the body, and signs nothing: anyone who sees one delivery can send any other, and the app can log the secret",
		Docs: "https://developers.figma.com/docs/rest-api/webhooks-security/", SecretHelp: "passcode of the webhook, as entered",
	},
	{
		Name: "flutterwave", Title: "Flutterwave v3", Distinction: unique,
		Schemes: only(signature.Token, plainIn("verif-hash"), event(inJSON("event"))), Weakness: tokenWeakness,
		Docs: "https://developer.flutterwave.com/docs/webhooks", SecretHelp: "Secret hash, under Settings > Webhooks",
	},
	// A delivery with a signature does not fall back to the token.
	// Deleting a tag and pushing it again at the same commit sends equal bodies.
	{
		Name: "gitlab", Title: "GitLab", Distinction: repeats,
		Schemes: []signature.Scheme{
			standard(required(whsec), inHeader("X-Gitlab-Event")),
			scheme(signature.Token, plainIn("X-Gitlab-Token"), id(inHeader("Idempotency-Key")), event(inHeader("X-Gitlab-Event"))),
		}, Families: standardNames, Weakness: "with a secret token, GitLab signs nothing: anyone who sees one delivery can send any other; use a signing token (whsec_…) instead",
		Docs: "https://docs.gitlab.com/user/project/integrations/webhooks/", SecretHelp: "Signing token whsec_…, or Secret token",
	},
	// Confirmed at developers.google.com/workspace/drive/api/guides/push.
	{
		Name: "google-drive", Title: "Google Drive and Calendar", Distinction: driveDistinction,
		Schemes: only(signature.Token, plainIn("X-Goog-Channel-Token"), event(inHeader("X-Goog-Resource-State"))), Weakness: tokenWeakness,
		Docs: "https://developers.google.com/workspace/drive/api/guides/push", SecretHelp: "token of the channel, as passed to watch",
	},
	// The default format has a time in seconds: pulling an image twice in a second
	// sends equal content. The CloudEvents format has an ID.
	{
		Name: "harbor", Title: "Harbor", Distinction: uniqueWhen(inJSON("specversion")),
		Schemes: only(signature.Token, plainIn("Authorization"), event(inJSON("type"))), Weakness: tokenWeakness,
		Docs: "https://goharbor.io/docs/main/working-with-projects/project-configuration/configure-webhooks/", SecretHelp: "complete Auth Header of the webhook",
	},
	{
		Name: "okta", Title: "Okta event hooks", Distinction: unique,
		Schemes: only(signature.Token, plainIn("Authorization"), id(inJSON("eventId"))), Takes: []string{"header"}, Weakness: tokenWeakness,
		Handshake: oktaChallenge, Handshakes: "GET with X-Okta-Verification-Challenge and the token",
		Docs: "https://developer.okta.com/docs/concepts/event-hooks/", SecretHelp: "Authentication secret of the hook",
	},
	// The operator defines the body, which may have neither an ID nor a time. A flow
	// may wait for the response.
	{Name: "ory", Title: "Ory actions", Distinction: repeats, Takes: []string{"header"}, Variants: []provider.Variant{
		{Name: "api_key", Help: "an API key in a header", Schemes: only(signature.Token, plainIn("Authorization")), Weakness: tokenWeakness},
		{Name: "basic", Help: "user and password", Schemes: basic(), Weakness: tokenWeakness},
	}, Docs: "https://www.ory.sh/docs/guides/integrate-with-ory-cloud-through-webhooks#request-authentication", SecretHelp: "the complete value of the API key; or user:password"},
	{
		Name: "pipedrive", Title: "Pipedrive", Distinction: unique,
		Schemes: basic(event(inJSON("meta.entity")), action(inJSON("meta.action"))), Weakness: tokenWeakness,
		Docs: "https://pipedrive.readme.io/docs/guide-for-webhooks-v2", SecretHelp: "HTTP Auth username and password of the webhook, as user:password",
	},
	// Confirmed at postmarkapp.com/developer/webhooks/webhooks-overview.
	{
		Name: "postmark", Title: "Postmark", Distinction: unique,
		Schemes: basic(event(inJSON("RecordType"))), Weakness: tokenWeakness,
		Docs: "https://postmarkapp.com/developer/webhooks/webhooks-overview", SecretHelp: "basic authentication of the webhook, as user:password",
	},
	{
		Name: "telegram", Title: "Telegram Bot API", Distinction: unique,
		Schemes: only(signature.Token, plainIn("X-Telegram-Bot-Api-Secret-Token"), id(inJSON("update_id"))), Weakness: tokenWeakness,
		Docs: "https://core.telegram.org/bots/api#setwebhook", SecretHelp: "secret_token, as passed to setWebhook",
	},
	// Tool calls wait for the response, and not all have a time.
	{Name: "vapi", Title: "Vapi", Distinction: repeats, Takes: []string{"header"}, Variants: []provider.Variant{
		{Name: "secret", Help: "X-Vapi-Secret", Schemes: only(signature.Token, plainIn("X-Vapi-Secret"), event(inJSON("message.type"))), Weakness: tokenWeakness},
		{Name: "bearer", Help: "a bearer token credential", Schemes: only(signature.Token, signature.SignatureField{Field: inHeader("Authorization"), Prefix: "Bearer "}, event(inJSON("message.type"))), Weakness: tokenWeakness},
	}, Docs: "https://docs.vapi.ai/server-url/server-authentication", SecretHelp: "secret of the server URL, or token of the credential"},
}

// plainIn is a header that contains the secret itself.
func plainIn(header string) signature.SignatureField {
	return signature.SignatureField{Field: inHeader(header)}
}

func basic(more ...with) []signature.Scheme {
	return only(signature.Basic, plainIn("Authorization"), more...)
}

// driveDistinction: bodies are empty, and headers number the messages of a channel.
// The expiration distinguishes a channel from an earlier one with the same ID.
// https://developers.google.com/workspace/drive/api/guides/push
var driveDistinction = unique.Varying("X-Goog-Channel-ID", "X-Goog-Message-Number", "X-Goog-Resource-ID", "X-Goog-Resource-State", "X-Goog-Changed", "X-Goog-Channel-Expiration")
