package provider

import (
	"encoding/json"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// segmentValues returns the first event of a batch as it was written, which is
// all that Segment signs of it.
// segmentio/action-destinations, destinations/webhook
func segmentValues(m *Module, r *signature.Request) ([]map[string]string, error) {
	if m.variant.Name != "batch" {
		return []map[string]string{nil}, nil
	}
	body, err := signature.BodyBytes(r.Body)
	if err != nil {
		return nil, err
	}
	var batch []json.RawMessage
	if err := json.Unmarshal(body, &batch); err != nil || len(batch) == 0 {
		return nil, signature.Refuse(signature.Malformed, "the body is not a batch of events")
	}
	return []map[string]string{{"first": string(batch[0])}}, nil
}
