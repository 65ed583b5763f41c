package conformance_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/internal/nolog"
)

var formatsNow = time.Unix(1760000000, 0)

// openHandler provisions a handler from its JSON, with now as its clock.
func openHandler(t *testing.T, config string, now *time.Time) *dryrun.Endpoint {
	t.Helper()
	endpoint, err := dryrun.Open(nolog.Context(t.Context()), json.RawMessage(config), func() time.Time { return *now })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(endpoint.Close)
	return endpoint
}

func hexMAC(key, text string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

// Mailgun signs only the time and the token of an email. The app gets the whole
// body, with Webhook-Verified-Unsigned.
func TestInvariant13EmailWithAttachmentsIsForwardedAsUnsigned(t *testing.T) {
	now := formatsNow
	endpoint := openHandler(t, `{"provider":{"name":"mailgun","secrets":[{"secret":"key"}]}}`, &now)
	block := [][2]string{{"timestamp", "1760000000"}, {"token", "t1"}, {"signature", hexMAC("key", "1760000000t1")}, {"subject", "s"}}
	mail := func(attachment string) (*http.Request, []byte) {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		for _, field := range block {
			if err := w.WriteField(field[0], field[1]); err != nil {
				t.Fatal(err)
			}
		}
		part, err := w.CreateFormFile("attachment-1", "a.bin")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write([]byte(attachment)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "https://h.test/m", bytes.NewReader(body.Bytes()))
		r.Header.Set("Content-Type", w.FormDataContentType())
		return r, body.Bytes()
	}
	r, sent := mail(strings.Repeat("attached\r\n", 400_000))
	got := endpoint.Send(r)
	if got.Outcome != "verified" || !bytes.Equal(got.ReachedBody, sent) || got.ReachedHeader.Get("Webhook-Verified-Id") != "t1" {
		t.Fatalf("an email with an attachment: %s, %s", got.Outcome, got.Reason)
	}
	if unsigned := got.ReachedHeader.Get("Webhook-Verified-Unsigned"); !strings.Contains(unsigned, "body") {
		t.Errorf("Webhook-Verified-Unsigned is %q", unsigned)
	}
	now = now.Add(8 * time.Hour)
	r, _ = mail("another attachment")
	if got := endpoint.Send(r); got.Outcome != "duplicate" || got.Reached {
		t.Errorf("a copy with another attachment: %s", got.Outcome)
	}
	form := url.Values{}
	for _, field := range block {
		form.Set(field[0], field[1])
	}
	r = httptest.NewRequest(http.MethodPost, "https://h.test/m", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if got := endpoint.Send(r); got.Outcome != "duplicate" || got.Reached {
		t.Errorf("a copy as a form: %s", got.Outcome)
	}
}

// The filter must not drop all events.
func TestSlackEventsAreFilteredByTheTypeInTheForm(t *testing.T) {
	now := formatsNow
	endpoint := openHandler(t, `{"provider":{"name":"slack","secrets":[{"secret":"key"}]},"events":["block_actions","/weather"]}`, &now)
	for body, want := range map[string]string{
		url.Values{"payload": {`{"type":"block_actions","trigger_id":"1"}`}}.Encode(): "verified",
		url.Values{"payload": {`{"type":"shortcut","trigger_id":"2"}`}}.Encode():      "ignored",
		url.Values{"command": {"/weather"}, "trigger_id": {"3"}}.Encode():             "verified",
	} {
		r := httptest.NewRequest(http.MethodPost, "https://h.test/s", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Slack-Request-Timestamp", "1760000000")
		r.Header.Set("X-Slack-Signature", "v0="+hexMAC("key", "v0:1760000000:"+body))
		if got := endpoint.Send(r); got.Outcome != want {
			t.Errorf("%s: %s, %s", body, got.Outcome, got.Reason)
		}
	}
}

// The reason must name WebSocket.
func TestWebSocketRequestsAreRefused(t *testing.T) {
	now := formatsNow
	for _, provider := range []string{
		`{"name":"twilio","secrets":[{"secret":"key"}]}`,
		`{"name":"custom","secrets":[{"secret":"key"}],"algorithm":"token","signature":{"from":"header","name":"X-Token"}}`,
	} {
		endpoint := openHandler(t, fmt.Sprintf(`{"provider":%s}`, provider), &now)
		r := httptest.NewRequest(http.MethodGet, "https://h.test/media", nil)
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x", "X-Twilio-Signature": "AAAA", "X-Token": "key"} {
			r.Header.Set(name, value)
		}
		if got := endpoint.Send(r); got.Outcome != "malformed" || got.Status != http.StatusBadRequest || got.Reached || !strings.Contains(got.Reason, "WebSocket") {
			t.Errorf("%s: %s, %d, %s", provider, got.Outcome, got.Status, got.Reason)
		}
	}
}
