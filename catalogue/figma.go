package catalogue

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// figmaValues is the document without its attempt count, which differs on a retry.
// https://github.com/figma/rest-api-spec, openapi/openapi.yaml
func figmaValues(_ *provider.Module, r *signature.Request) ([]map[string]string, error) {
	body, err := wholeBody(r)
	if err != nil {
		return nil, err
	}
	var document strings.Builder
	for written, value := range jsonMembers(body) {
		if name, ok := jsonString(written, true); ok && name == "retries" {
			continue
		}
		document.Write(written)
		document.WriteByte(':')
		document.Write(value)
		document.WriteByte(',')
	}
	return []map[string]string{{"document": document.String()}}, nil
}

// checkFigma refuses a body that is not a JSON object. It runs after verification,
// because it can take 9 ms per MiB.
func checkFigma(r *signature.Request) error {
	body, err := wholeBody(r)
	if err != nil {
		return err
	}
	if !json.Valid(body) || !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		return signature.Refuse(signature.Malformed, "the body is not a JSON object")
	}
	return nil
}
