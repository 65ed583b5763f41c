package catalogue

import (
	"encoding/json"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// figmaValues is the document without its count of attempts, which a retry changes.
// https://github.com/figma/rest-api-spec, openapi/openapi.yaml
func figmaValues(_ *provider.Module, r *signature.Request) ([]map[string]string, error) {
	body, err := wholeBody(r)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return nil, signature.Refuse(signature.Malformed, "the body is not a JSON object")
	}
	delete(members, "retries")
	document, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	return []map[string]string{{"document": string(document)}}, nil
}
