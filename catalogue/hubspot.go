package catalogue

import (
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// hubspotEscapes are the only escapes that are decoded in the URL before signing.
var hubspotEscapes = strings.NewReplacer(
	"%3A", ":", "%2F", "/", "%3F", "?", "%40", "@", "%21", "!", "%24", "$",
	"%27", "'", "%28", "(", "%29", ")", "%2A", "*", "%2C", ",", "%3B", ";",
	"%3a", ":", "%2f", "/", "%3f", "?", "%2a", "*", "%2c", ",", "%3b", ";",
)

// hubspotValues formats the URL as version 3 signs it.
// https://developers.hubspot.com/docs/api/webhooks/validating-requests
func hubspotValues(_ *provider.Module, r *signature.Request) ([]map[string]string, error) {
	return []map[string]string{{"url": hubspotEscapes.Replace(r.URL())}}, nil
}
