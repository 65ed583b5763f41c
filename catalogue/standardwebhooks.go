package catalogue

import (
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// standardWebhooks are the providers that implement Standard Webhooks:
// https://github.com/standard-webhooks/standard-webhooks. Svix signs for many of them
// with its own header names. A request can use either set of names.
var standardWebhooks = []provider.Preset{
	svix("beehiiv", "beehiiv", "https://developers.beehiiv.com/webhooks"),
	svix("brex", "Brex", "https://developer.brex.com/docs/webhooks/"),
	svix("guesty", "Guesty", "https://open-api-docs.guesty.com/docs/webhooks"),
	svix("nash", "Nash", svixDocs),
	svix("pleo", "Pleo", svixDocs),
	svix("psi-fi", "PsiFi", svixDocs),
	svix("render", "Render", "https://render.com/docs/webhooks"),
	svix("safebase", "SafeBase", svixDocs),
	svix("sardine", "Sardine", svixDocs),
	svix("stytch", "Stytch", "https://stytch.com/docs/guides/webhooks"),
	// type is always "event".
	{
		Name: "anthropic", Title: "Anthropic (Claude API)", Distinction: unique,
		Schemes: []signature.Scheme{standard(whsec, inJSON("data.type"))}, Families: standardNames,
		Docs: "https://platform.claude.com/docs/en/managed-agents/webhooks", SecretHelp: "signing key of the webhook endpoint, whsec_…",
	},
	{
		Name: "bigcommerce", Title: "BigCommerce", Distinction: unique,
		Schemes: []signature.Scheme{standard(signature.KeyFormat{}, inJSON("scope"))}, Families: standardNames,
		Window: 3 * day, Docs: "https://developer.bigcommerce.com/docs/integrations/webhooks", SecretHelp: "client_secret of the app",
	},
	{
		Name: "clerk", Title: "Clerk", Distinction: unique,
		Schemes: []signature.Scheme{standard(whsec, inJSON("type"))}, Families: []string{"svix-"},
		Docs: "https://clerk.com/docs/guides/development/webhooks/overview", SecretHelp: "Signing Secret of the endpoint, whsec_…",
	},
	// The older creem-signature signs the body with the secret as text. The ID is in
	// the body, so removing one of two signatures does not change it.
	{
		Name: "creem", Title: "Creem", SecretsFitAll: true, Distinction: unique,
		Schemes: []signature.Scheme{
			creemScheme(),
			scheme(signature.HMACSHA256, hexIn("creem-signature", ""), id(inJSON("id")), event(inJSON("eventType"))),
		},
		Docs: "https://docs.creem.io/code/webhooks", SecretHelp: "Webhook Secret, whsec_…",
		Weakness: "the older creem-signature signs no time: a delivery with it can be replayed after the window",
	},
	// A retry has the latest payload and the same ID.
	{
		Name: "dodo-payments", Title: "Dodo Payments", Distinction: unique,
		Schemes: []signature.Scheme{standard(whsec, inJSON("type"))}, Families: standardNames,
		Docs: "https://docs.dodopayments.com/developer-resources/webhooks", SecretHelp: "Secret Key of the webhook, whsec_…",
	},
	{
		Name: "formbricks", Title: "Formbricks", Distinction: unique,
		Schemes: []signature.Scheme{standard(whsec, inJSON("event"))}, Families: standardNames,
		Docs: "https://formbricks.com/docs/xm-and-surveys/core-features/integrations/webhooks", SecretHelp: "Webhook secret, whsec_…",
	},
	{
		Name: "incident-io", Title: "incident.io", Distinction: unique,
		Schemes: []signature.Scheme{standard(whsec, inJSON("event_type"))}, Families: svixNames,
		Docs: "https://docs.incident.io/integrations/webhooks", SecretHelp: "Signing Secret of the endpoint, whsec_…",
	},
	// The key is the complete text of the secret: PyPI increase, resources/webhooks.
	{
		Name: "increase", Title: "Increase", Distinction: unique,
		Schemes: []signature.Scheme{standard(signature.KeyFormat{}, inJSON("category"))}, Families: standardNames,
		Docs: "https://increase.com/documentation/webhooks", SecretHelp: "shared_secret of the event subscription",
	},
	{
		Name: "lithic", Title: "Lithic", Distinction: unique,
		Schemes: []signature.Scheme{standard(whsec, inJSON("event_type"))}, Families: standardNames,
		Docs: "https://docs.lithic.com/docs/events-api", SecretHelp: "secret of the event subscription, whsec_…",
	},
	{
		Name: "loops", Title: "Loops", Distinction: unique,
		Schemes: []signature.Scheme{standard(whsec, inJSON("eventName"))}, Families: standardNames,
		Docs: "https://loops.so/docs/webhooks", SecretHelp: "Signing secret, under Settings > Webhooks, whsec_…",
	},
	// A secret without whsec_ is used as text: npm openai, resources/webhooks.
	{
		Name: "openai", Title: "OpenAI", Distinction: unique,
		Schemes: []signature.Scheme{standard(required(whsec), inJSON("type")), standard(signature.KeyFormat{}, inJSON("type"))}, Families: standardNames,
		Docs: "https://platform.openai.com/docs/guides/webhooks", SecretHelp: "Signing secret of the endpoint, whsec_…",
	},
	// Secrets created before 2026-09-08 are text, newer ones base64, with no way to
	// distinguish them: polarsource/polar, server/polar/webhook.
	{
		Name: "polar", Title: "Polar", Distinction: unique,
		Schemes: []signature.Scheme{standard(required(whsec), inJSON("type")), standard(signature.KeyFormat{}, inJSON("type"))}, SecretsFitAll: true, Families: standardNames,
		Docs: "https://polar.sh/docs/integrate/webhooks/delivery", SecretHelp: "Secret of the endpoint, whsec_… or polar_whs_…",
	},
	{
		Name: "replicate", Title: "Replicate", Distinction: unique,
		Schemes: []signature.Scheme{standard(whsec, inJSON("status"))}, Families: standardNames,
		Docs: "https://replicate.com/docs/topics/webhooks/verify-webhook", SecretHelp: "signing key from the API (webhooks.default.secret), whsec_…",
	},
	{
		Name: "resend", Title: "Resend", Distinction: unique,
		Schemes: []signature.Scheme{standard(whsec, inJSON("type"))}, Families: []string{"svix-"},
		Docs: "https://resend.com/docs/webhooks/verify-webhooks-requests", SecretHelp: "Signing Secret of the webhook, whsec_…",
	},
	{
		Name: "shipbob", Title: "ShipBob", Distinction: unique,
		Schemes: []signature.Scheme{standard(whsec, inHeader("x-webhook-topic"))}, Families: standardNames,
		Docs: "https://developer.shipbob.com/webhooks", SecretHelp: "secret of the subscription, whsec_…",
	},
	{
		Name: "standard-webhooks", Title: "Standard Webhooks", Distinction: unique,
		Schemes: []signature.Scheme{standardEd25519(), standard(whsec, inJSON("type"))}, Families: standardNames,
		Docs: "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md", SecretHelp: "whsec_… for shared secrets, whpk_… for public keys",
	},
	{
		Name: "supabase", Title: "Supabase Auth Hooks", Distinction: unique,
		Schemes: []signature.Scheme{supabaseScheme()}, Families: standardNames,
		Docs: "https://supabase.com/docs/guides/auth/auth-hooks", SecretHelp: "secret of the hook, v1,whsec_…; if several are joined with |, write one option for each",
	},
	{
		Name: "svix", Title: "Svix", Distinction: unique,
		Schemes: []signature.Scheme{standardEd25519(), standard(whsec, inJSON("type"))}, Families: svixNames,
		Docs: "https://docs.svix.com/receiving/verifying-payloads/how-manual", SecretHelp: "Signing Secret of the endpoint, whsec_…",
	},
}

var (
	standardNames = []string{"webhook-"}
	svixNames     = []string{"svix-", "webhook-"}
	whsec         = signature.KeyFormat{Encoding: "base64", Prefix: "whsec_"}
)

func required(f signature.KeyFormat) signature.KeyFormat {
	f.PrefixRequired = true
	return f
}

// svixDocs is for providers whose documentation refers to Svix.
const svixDocs = "https://docs.svix.com/receiving/verifying-payloads/how-manual"

// svix returns a provider that uses Svix.
func svix(name, title, docs string) provider.Preset {
	return provider.Preset{
		Name: name, Title: title, Distinction: unique, Schemes: []signature.Scheme{standard(whsec, inJSON("type"))}, Families: svixNames,
		Docs: docs, SecretHelp: "Signing Secret of the endpoint, whsec_…",
	}
}

// standard returns version v1 of Standard Webhooks.
func standard(k signature.KeyFormat, eventType signature.Field) signature.Scheme {
	return signature.Scheme{
		Algorithm: signature.HMACSHA256,
		Key:       k,
		Signature: signature.SignatureField{Field: inHeader("*signature"), Encoding: signature.Base64, Separator: " ", Assign: ",", Element: "v1"},
		Signed:    "{id}.{timestamp}.{body}",
		Timestamp: &signature.TimestampField{Field: inHeader("*timestamp")},
		ID:        new(inHeader("*id")),
		Event:     &eventType,
	}
}

// standardEd25519 returns version v1a.
func standardEd25519() signature.Scheme {
	s := standard(signature.KeyFormat{Encoding: "base64", Prefix: "whpk_", PrefixRequired: true}, inJSON("type"))
	s.Algorithm = signature.Ed25519
	s.Signature.Element = "v1a"
	return s
}

// creemScheme is version v1 with the event ID instead of the message ID.
func creemScheme() signature.Scheme {
	return scheme(signature.HMACSHA256, signature.SignatureField{Field: inHeader("webhook-signature"), Encoding: signature.Base64, Separator: " ", Assign: ",", Element: "v1"}, key("base64", "whsec_"),
		signed("{header.webhook-id}.{timestamp}.{body}"), timestamp(inHeader("webhook-timestamp"), "unix", 0), id(inJSON("id")), event(inJSON("eventType")))
}

// supabaseScheme has signatures joined with a comma and a space: supabase/auth,
// internal/hooks/hookshttp.
func supabaseScheme() signature.Scheme {
	s := standard(signature.KeyFormat{Encoding: "base64", Prefix: "v1,whsec_"}, inJSON("type"))
	s.Signature.Separator = ", "
	s.Event = nil
	return s
}
