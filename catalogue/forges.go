package catalogue

import (
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// forges are Gitea and its forks. They sign the JSON payload: as the body; for hooks
// with content type form, as the field `payload` before encoding; for GET, as the
// parameter `payload`. Other fields that an app could read instead are refused.
// Source: services/webhook of each.
var forges = []provider.Preset{
	forge("forgejo", "Forgejo", "https://forgejo.org/docs/latest/user/webhooks/", wikiRepeats),
	forge("gitea", "Gitea", "https://docs.gitea.com/usage/webhooks", wikiRepeats),
	forge("gogs", "Gogs", "https://gogs.io/docs/features/webhook", unique),
}

// wikiRepeats: editing a wiki page twice with the same comment sends equal content
// (modules/structs/hook.go). Gogs sends no wiki events.
var wikiRepeats = repeatsWhen(inJSON("page")).DocumentIn(inForm("payload"), inQuery("payload"))

func forge(name, title, docs string, distinction provider.Distinction) provider.Preset {
	header := "X-" + title + "-"
	s := scheme(signature.HMACSHA256, hexIn(header+"Signature", ""), id(inHeader(header+"Delivery")), event(inHeader(header+"Event")))
	s.RefuseQuery = []string{"payload"}
	inForm, query, body := s, s, s
	sent := []string{"POST", "PUT"}
	inForm.Signed, inForm.WholeForm, inForm.When = "{form.payload}", true, &signature.Condition{Methods: sent, ContentType: "application/x-www-form-urlencoded"}
	query.Signed, query.NoBody, query.RefuseQuery, query.When = "{query.payload}", true, nil, &signature.Condition{Methods: []string{"GET"}}
	body.When = &signature.Condition{Methods: sent, ContentType: "application/json"}
	return provider.Preset{
		Name: name, Title: title, Distinction: distinction, Schemes: []signature.Scheme{inForm, query, body},
		Docs: docs, SecretHelp: "Secret of the webhook, as entered",
	}
}
