// Package external shows how another repository adds providers to
// verify_webhook: acme as data, and globex in code. Copy it and build Caddy
// with both modules:
//
//	xcaddy build --with github.com/verify-webhook/caddy-verify-webhook --with example.com/external-provider
package external

import (
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func init() {
	provider.Register(provider.Preset{
		Name:  "acme",
		Title: "Acme",
		Schemes: []signature.Scheme{{
			Algorithm: signature.HMACSHA256,
			Signature: signature.SignatureField{Field: header("X-Acme-Signature"), Prefix: "v1="},
			Signed:    "{timestamp}.{body}",
			Timestamp: &signature.TimestampField{Field: header("X-Acme-Timestamp"), Format: "unix"},
			ID:        new(header("X-Acme-Delivery")),
			Event:     &signature.Field{From: "json", Name: "type"},
		}},
		// The content identifies a delivery: each event has an ID in its body.
		Distinction: provider.Distinction{Content: provider.ContentUnique},
		Docs:        "https://acme.example/docs/webhooks",
		SecretHelp:  "signing secret of the endpoint",
	})
}

func header(name string) signature.Field { return signature.Field{From: "header", Name: name} }
