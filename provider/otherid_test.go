package provider

import (
	"net/http"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// TestOtherIDIsUsedIfTheFirstIsMissing also checks its maximum length.
func TestOtherIDIsUsedIfTheFirstIsMissing(t *testing.T) {
	m := NewModule(&Preset{OtherID: "x-goog-pubsub-message-id"})
	for _, c := range []struct{ inBody, header, want string }{{"", "7", "7"}, {"8", "7", "8"}, {"", "", ""}, {"", strings.Repeat("7", 513), ""}} {
		d := &signature.Delivery{ID: c.inBody}
		r := &signature.Request{Method: http.MethodPost, Header: http.Header{}}
		if c.header != "" {
			r.Header.Set("x-goog-pubsub-message-id", c.header)
		}
		if m.addOtherID(r, d); d.ID != c.want {
			t.Errorf("%q in the body, %.9q in the header: %q", c.inBody, c.header, d.ID)
		}
	}
}
