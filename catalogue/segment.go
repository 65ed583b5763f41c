package catalogue

import (
	"fmt"
	"io"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// segmentValues returns the first event of a batch as written. Segment signs nothing
// else.
// segmentio/action-destinations, destinations/webhook
func segmentValues(m *provider.Module, r *signature.Request) ([]map[string]string, error) {
	if m.Variant() != "batch" {
		return []map[string]string{nil}, nil
	}
	start, err := bodyStart(r.Body, maxSegmentEvent)
	if err != nil {
		return nil, err
	}
	for first := range jsonElements(start) {
		return []map[string]string{{"first": string(first)}}, nil
	}
	return nil, signature.Refuse(signature.Malformed, "the body is not a batch of events, or the first event is longer than %d bytes", maxSegmentEvent)
}

// maxSegmentEvent is the maximum length of the first event in bytes. Segment accepts
// events of up to 32 KiB.
const maxSegmentEvent = 256 << 10

// bodyStart returns the first n bytes of a body, or fewer.
func bodyStart(b signature.Body, most int64) ([]byte, error) {
	if p := b.Bytes(); p != nil {
		return p[:min(int64(len(p)), most)], nil
	}
	if err := signature.Charge(b, most); err != nil {
		return nil, err
	}
	r := b.Open()
	defer r.Close()
	start := make([]byte, min(b.Size(), most))
	n, err := io.ReadFull(r, start)
	if err != nil {
		return nil, fmt.Errorf("rereading body: %w", err)
	}
	return start[:n], nil
}
