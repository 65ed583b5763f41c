package catalogue

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func plivoSignature(version string) signature.SignatureField {
	f := base64In("X-Plivo-Signature-"+version, "")
	f.Separator = ","
	return f
}

// plivoValues formats the URL and the form as version 3 signs them: the URL without
// query, the sorted query, then the sorted form without separators. `public_url` has
// no query, because the query differs from call to call.
// npm plivo, dist/utils/v3Security.js
func plivoValues(_ *provider.Module, r *signature.Request) ([]map[string]string, error) {
	address, _, _ := strings.Cut(r.URL(), "?")
	_, raw, _ := strings.Cut(r.RequestURI, "?")
	params, err := signature.ParseQuery(raw)
	if err != nil {
		return nil, signature.Refuse(signature.Malformed, "the query string cannot be parsed")
	}
	form, err := r.Form()
	if err != nil {
		return nil, err
	}
	if len(form) == 0 && r.Body.Size() > 0 {
		return nil, signature.Refuse(signature.Malformed, "the body is not a form with fields, so it is not signed")
	}
	var content strings.Builder
	content.Grow(len(address) + len(raw) + int(r.Body.Size()) + 2)
	content.WriteString(address)
	if len(params) > 0 || len(form) > 0 {
		content.WriteByte('?')
		writeSorted(&content, params, "=", "&")
	}
	if len(params) > 0 && len(form) > 0 {
		content.WriteByte('.')
	}
	writeSorted(&content, form, "", "")
	return []map[string]string{{"address": address, "content": content.String()}}, nil
}

// writeSorted joins parameters, sorted by name and then by value.
func writeSorted(b *strings.Builder, values url.Values, assign, separator string) {
	first := true
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range slices.Sorted(slices.Values(values[name])) {
			if !first {
				b.WriteString(separator)
			}
			first = false
			b.WriteString(name)
			b.WriteString(assign)
			b.WriteString(value)
		}
	}
}
