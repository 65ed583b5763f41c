package provider

import (
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

const day = 24 * time.Hour

// catalogue is every preset, in alphabetical order.
var catalogue = []Preset{
	{
		Name: "github", Title: "GitHub",
		Schemes: []signature.Scheme{{
			Algorithm: signature.HMACSHA256,
			Signature: signature.SignatureField{Field: inHeader("X-Hub-Signature-256"), Prefix: "sha256="},
			ID:        at(inHeader("X-GitHub-Delivery")),
			Event:     at(inHeader("X-GitHub-Event")),
		}},
		Window:     7 * day, // redelivery by hand reaches back 3 days
		Docs:       "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
		SecretHelp: "the Secret field of the webhook, as typed",
	},
	{
		Name: "shopify", Title: "Shopify",
		Schemes: []signature.Scheme{{
			Algorithm: signature.HMACSHA256,
			Signature: signature.SignatureField{Field: inHeader("*Hmac-Sha256"), Encoding: signature.Base64},
			ID:        at(inHeader("*Webhook-Id")),
			Event:     at(inHeader("*Topic")),
		}},
		Families:   []string{"X-Shopify-", "Shopify-"},
		Window:     2 * day,
		Docs:       "https://shopify.dev/docs/apps/build/webhooks/subscribe/https",
		SecretHelp: "the client secret of the app (or, for webhooks made in the admin, the secret shown there)",
	},
	{
		Name: "slack", Title: "Slack",
		Schemes: []signature.Scheme{{
			Algorithm: signature.HMACSHA256,
			Signature: signature.SignatureField{Field: inHeader("X-Slack-Signature"), Prefix: "v0="},
			Signed:    "v0:{timestamp}:{body}",
			Timestamp: &signature.TimestampField{Field: inHeader("X-Slack-Request-Timestamp")},
			ID:        at(inJSON("event_id")),
			Event:     at(inJSON("event.type")),
		}},
		Window:     2 * day,
		Handshake:  echoChallenge("type", "url_verification", "challenge"),
		Docs:       "https://docs.slack.dev/authentication/verifying-requests-from-slack",
		SecretHelp: "Signing Secret, under Basic Information of the app",
	},
	{
		Name: "standard-webhooks", Title: "Standard Webhooks",
		Schemes:    []signature.Scheme{standardEd25519("webhook-"), standardHMAC("webhook-")},
		Window:     7 * day,
		Docs:       "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
		SecretHelp: "whsec_… for shared secrets, whpk_… for public keys",
	},
	{
		Name: "stripe", Title: "Stripe",
		Schemes: []signature.Scheme{{
			Algorithm: signature.HMACSHA256,
			Signature: signature.SignatureField{Field: inHeader("Stripe-Signature"), Separator: ",", Assign: "=", Element: "v1"},
			Signed:    "{timestamp}.{body}",
			Timestamp: &signature.TimestampField{Field: signature.Field{From: "element", Name: "t"}},
			ID:        at(inJSON("id")),
			Event:     at(inJSON("type")),
		}},
		Window:     7 * day, // retries go on for 3 days
		Docs:       "https://docs.stripe.com/webhooks/signature",
		SecretHelp: "Signing secret of the endpoint, whsec_… as it is",
	},
}

func init() {
	for i := range catalogue {
		caddy.RegisterModule(&Module{preset: &catalogue[i]})
	}
}

// Presets returns every preset, in alphabetical order.
func Presets() []Preset { return slices.Clone(catalogue) }

// Names returns the names of all registered providers, presets or not.
func Names() []string {
	var names []string
	for _, m := range caddy.GetModules(Namespace) {
		names = append(names, strings.TrimPrefix(string(m.ID), Namespace+"."))
	}
	return names
}

func inHeader(name string) signature.Field  { return signature.Field{From: "header", Name: name} }
func inJSON(path string) signature.Field    { return signature.Field{From: "json", Name: path} }
func at(f signature.Field) *signature.Field { return &f }

// standardHMAC is version v1 of Standard Webhooks, whose headers begin with
// prefix. Source: the specification at standard-webhooks/standard-webhooks.
func standardHMAC(prefix string) signature.Scheme {
	return signature.Scheme{
		Algorithm: signature.HMACSHA256,
		Key:       signature.KeyFormat{Encoding: "base64", Prefix: "whsec_"},
		Signature: signature.SignatureField{Field: inHeader(prefix + "signature"), Encoding: signature.Base64, Separator: " ", Assign: ",", Element: "v1"},
		Signed:    "{id}.{timestamp}.{body}",
		Timestamp: &signature.TimestampField{Field: inHeader(prefix + "timestamp")},
		ID:        at(inHeader(prefix + "id")),
		Event:     at(inJSON("type")),
	}
}

// standardEd25519 is version v1a.
func standardEd25519(prefix string) signature.Scheme {
	s := standardHMAC(prefix)
	s.Algorithm = signature.Ed25519
	s.Key = signature.KeyFormat{Encoding: "base64", Prefix: "whpk_", PrefixRequired: true}
	s.Signature.Element = "v1a"
	return s
}
