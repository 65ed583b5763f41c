package caddymodule

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/body"
)

// A signature over the whole body needs the body in memory. If body_memory is
// exhausted, the delivery is refused with 503, and a later retry is forwarded.
func TestInvariant09CopiesOfABodyCountAgainstBodyMemory(t *testing.T) {
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
		t.Errorf("without memory: %s, %d", outcome, status)
	}
	if memory, disk := b.handler.app.budget.InUse(); memory != 0 || disk != 0 {
		t.Errorf("%d bytes of memory and %d of disk are not released", memory, disk)
	}
	b.handler.app.budget = body.NewBudget(8<<20, 64<<20)
	if outcome, status := send(); outcome != Verified || status != http.StatusOK {
		t.Errorf("with memory: %s, %d", outcome, status)
	}
	if memory, disk := b.handler.app.budget.InUse(); memory != 0 || disk != 0 {
		t.Errorf("%d bytes of memory and %d of disk are not released", memory, disk)
	}
}

// The largest emails that providers accept are larger than other deliveries, and
// are sent as forms or JSON.
func TestLargeEmailsAreForwarded(t *testing.T) {
	b := trial(t, `{"provider":{"name":"mandrill","secrets":[{"secret":"mandrill-secret"}]}}`)
	mail := strings.Repeat("x", 30<<20)
	mac := hmac.New(sha1.New, []byte("mandrill-secret"))
	mac.Write([]byte("https://hooks.example.com/inmandrill_events" + mail))
	r := request("mandrill_events="+mail,
		"Content-Type", "application/x-www-form-urlencoded", "X-Mandrill-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	b.expect(t, r, Verified, http.StatusOK)
	if memory, disk := b.handler.app.budget.InUse(); memory != 0 || disk != 0 {
		t.Errorf("%d bytes of memory and %d of disk are not released", memory, disk)
	}
}
