package catalogue

import (
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// mercadoPagoValues formats the signed text before the time. The ID is that of the
// query, and is omitted if there is none. An ID with letters is signed in lower case.
// npm mercadopago, dist/utils/webhook
func mercadoPagoValues(_ *provider.Module, r *signature.Request) ([]map[string]string, error) {
	request, err := oneHeader(r, "X-Request-Id")
	if err != nil {
		return nil, err
	}
	object, err := mercadoPagoObject(r)
	if err != nil {
		return nil, err
	}
	if strings.Contains(object+request, ";") {
		return nil, signature.Refuse(signature.Malformed, "data.id or x-request-id contains the separator of the signed text")
	}
	var candidates []map[string]string
	for _, spelled := range []string{object, strings.ToLower(object)} {
		manifest := "request-id:" + request + ";"
		if spelled != "" {
			manifest = "id:" + spelled + ";" + manifest
		}
		candidates = append(candidates, map[string]string{"manifest": manifest})
		if spelled == strings.ToLower(object) {
			break
		}
	}
	return candidates, nil
}

// mercadoPagoObject returns data.id of the query. Other parameters that an app could
// read instead are refused.
func mercadoPagoObject(r *signature.Request) (string, error) {
	const name = "data.id"
	_, raw, _ := strings.Cut(r.RequestURI, "?")
	query, err := signature.ParseQuery(raw)
	if err != nil {
		return "", signature.Refuse(signature.Malformed, "the query string cannot be parsed")
	}
	for other := range query {
		if other != name && signature.SameToSomeParser(other, name) {
			return "", signature.Refuse(signature.Malformed, "the query has a parameter that an app could read instead of data.id")
		}
	}
	if len(query[name]) > 1 {
		return "", signature.Refuse(signature.Malformed, "duplicate data.id in the query")
	}
	return query.Get(name), nil
}
