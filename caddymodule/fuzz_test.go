package caddymodule

import (
	"bytes"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"unicode"
)

// folded returns a name as the least strict app reads it: letters and digits, and
// every other character as the same one.
func folded(name string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			return unicode.ToLower(c)
		}
		return '_'
	}, name)
}

func FuzzStripHeaders(f *testing.F) {
	for _, name := range spoofs() {
		f.Add(name)
	}
	f.Add("Webhook-Verifie")
	f.Add("X-Webhook-Verified-Id")
	f.Fuzz(func(t *testing.T, name string) {
		h := http.Header{name: {"spoofed"}, "Content-Type": {"application/json"}}
		stripUntrusted(h)
		for name := range h {
			if strings.HasPrefix(folded(name), "webhook_verified") {
				t.Errorf("%q survives", name)
			}
		}
		if h.Get("Content-Type") == "" && name != "Content-Type" {
			t.Error("another header is missing")
		}
		ours := strings.HasPrefix(folded(name), "webhook_verified") || isControl(name)
		if _, there := h[name]; !there && !ours {
			t.Errorf("%q is missing", name)
		}
	})
}

// FuzzHandler sends arbitrary requests to a handler. It must not panic, and must
// forward only requests that are signed with the secret.
func FuzzHandler(f *testing.F) {
	signature := "sha256=" + sign(secret, content)
	f.Add("X-Hub-Signature-256", signature, "X-Github-Delivery", "1", []byte(content), int64(30), byte(0))
	f.Add("X-Hub-Signature-256", strings.ToUpper(signature), "Webhook_Verified_Id", "1", []byte(content), int64(-1), byte(0))
	f.Add("Stripe-Signature", "t=1700000000,v1="+sign(secret, "1700000000."+content), "Connection", "close", []byte(content), int64(30), byte(1))
	f.Add("X-Slack-Signature", "v0="+sign(secret, "v0:1700000000:"+content), "X-Slack-Request-Timestamp", "1700000000", []byte(content), int64(30), byte(2))
	f.Add("X-Shopify-Hmac-Sha256", sign64(secret, content), "X-Shopify-Topic", "orders/create", []byte(content), int64(30), byte(3))
	var benches []*bench
	for _, provider := range []string{"github", "stripe", "slack", "shopify"} {
		benches = append(benches, trial(f, config(provider, `"max_body":100000,"replay":{"store":{"type":"memory","name":"fuzz","max_entries":10000}}`)))
	}
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string, body []byte, length int64, which byte) {
		b := benches[int(which)%len(benches)]
		r := request(string(body))
		r.ContentLength = max(length, -1)
		r.Header = http.Header{}
		r.Header[http.CanonicalHeaderKey(name1)] = []string{value1}
		r.Header[http.CanonicalHeaderKey(name2)] = append(r.Header[http.CanonicalHeaderKey(name2)], value2)
		got := b.Send(r)
		if got.Reached && !reallySigned(b.handler.info().Name, r.Header, got.ReachedBody) {
			t.Errorf("a forged delivery reached the app: %q", r.Header)
		}
		if got.Reached && !bytes.Equal(got.ReachedBody, body) {
			t.Error("the app received other bytes")
		}
		if memory, disk := b.handler.app.budget.InUse(); memory != 0 || disk != 0 {
			t.Errorf("%d bytes of memory and %d of disk are not released", memory, disk)
		}
		b.logs.TakeAll()
	})
}

// reallySigned reports whether any header contains the correct MAC.
func reallySigned(provider string, h http.Header, body []byte) bool {
	signed := map[string]string{
		"github": string(body), "shopify": string(body),
		"stripe": stripeTime(h) + "." + string(body),
		"slack":  "v0:" + strings.TrimSpace(h.Get("X-Slack-Request-Timestamp")) + ":" + string(body),
	}[provider]
	mac := hmacSHA256(secret, signed)
	for _, values := range h {
		for _, value := range values {
			if strings.Contains(strings.ToLower(value), hex.EncodeToString(mac)) || strings.Contains(value, sign64(secret, signed)) {
				return true
			}
		}
	}
	return false
}

func stripeTime(h http.Header) string {
	for part := range strings.SplitSeq(h.Get("Stripe-Signature"), ",") {
		if t, ok := strings.CutPrefix(strings.TrimSpace(part), "t="); ok {
			return t
		}
	}
	return ""
}
