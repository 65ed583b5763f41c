package caddymodule

import (
	"crypto/ed25519"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/body"
)

// TestInvariant9CopiesOfABodyCountAgainstBodyMemory: a signature over the whole
// body needs it in memory. Without room there the delivery is refused with 503,
// and a retry gets through once there is.
func TestInvariant9CopiesOfABodyCountAgainstBodyMemory(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := trial(t, `{"provider":{"name":"custom","algorithm":"ed25519","signature":{"from":"header","name":"X-Sig"},"secrets":[{"secret":"`+hex.EncodeToString(public)+`"}]}}`)
	content := strings.Repeat("x", 2<<20)
	send := func() (Outcome, int) {
		r := request(content)
		r.Header = http.Header{"X-Sig": {hex.EncodeToString(ed25519.Sign(private, []byte(content)))}}
		got := b.Send(r)
		return got.Outcome, got.Status
	}
	b.handler.app.budget = body.NewBudget(1<<20, 64<<20)
	if outcome, status := send(); outcome != Overloaded || status != http.StatusServiceUnavailable {
		t.Errorf("without room: %s, %d", outcome, status)
	}
	if memory, disk := b.handler.app.budget.InUse(); memory != 0 || disk != 0 {
		t.Errorf("%d bytes of memory and %d of disk are still held", memory, disk)
	}
	b.handler.app.budget = body.NewBudget(8<<20, 64<<20)
	if outcome, status := send(); outcome != Verified || status != http.StatusOK {
		t.Errorf("with room: %s, %d", outcome, status)
	}
	if memory, disk := b.handler.app.budget.InUse(); memory != 0 || disk != 0 {
		t.Errorf("%d bytes of memory and %d of disk are still held", memory, disk)
	}
}
