package queue

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	_ "github.com/verify-webhook/caddy-verify-webhook/caddymodule/relay" // the directive webhook_relay
	_ "github.com/verify-webhook/caddy-verify-webhook/caddymodule/sign"  // the directive webhook_sign
)

// webhook_sign signs only verified deliveries, which those of a queue are.
func TestEachAttemptIsSigned(t *testing.T) {
	const key = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	for name, options := range map[string]string{"with a key": "", "without one": " {\nreplay {\ncontent repeats\n}\n}"} {
		t.Run(name, func(t *testing.T) {
			s := start(t, `verify_webhook github {env.`+secretVariable+`}`+options+`
				webhook_queue orders {
					deliver {
						webhook_sign whsec_`+key+`
						reverse_proxy APP
					}
					retry 10ms
				}`)
			s.app.answers(statuses(500, 200))
			d := event("1")
			if options != "" {
				d.id = ""
			}
			if resp := s.send(d); resp.StatusCode != http.StatusAccepted {
				t.Fatalf("the provider got %d", resp.StatusCode)
			}
			one, two := s.app.next(t), s.app.next(t)
			for _, got := range []arrival{one, two} {
				raw, err := base64.StdEncoding.DecodeString(key)
				if err != nil {
					t.Fatal(err)
				}
				mac := hmac.New(sha256.New, raw)
				mac.Write([]byte(got.header.Get("Webhook-Id") + "." + got.header.Get("Webhook-Timestamp") + "." + got.body))
				if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); got.header.Get("Webhook-Signature") != want {
					t.Errorf("the signature is %q, want %q", got.header.Get("Webhook-Signature"), want)
				}
				if id := got.header.Get("Webhook-Id"); id == "" || id != got.header.Get("Webhook-Verified-Key") {
					t.Errorf("webhook-id is %q, the key %q", id, got.header.Get("Webhook-Verified-Key"))
				}
			}
			if a, b := one.header.Get("Webhook-Id"), two.header.Get("Webhook-Id"); a != b {
				t.Errorf("the ID of the second attempt is %q, was %q", b, a)
			}
		})
	}
}

// No machine listens to the relay, so attempts are handled by the next handler.
func TestAttemptsUseTheNextHandlerWithoutAListener(t *testing.T) {
	s := start(t, `verify_webhook github {env.`+secretVariable+`}
		webhook_queue orders {
			deliver {
				webhook_relay dev
				reverse_proxy APP
			}
			retry 10ms
		}`)
	s.mustSend("1", http.StatusAccepted)
	if got := s.app.next(t); got.id() != "1" || !strings.Contains(got.body, "1") {
		t.Errorf("the app received %+v", got)
	}
	s.delivered("orders", 1)
}

// The respond handler must not acknowledge deliveries that are not stored.
func TestRespondNextToTheQueueDoesNotRespond(t *testing.T) {
	s := start(t, usualSite("")+"\nrespond 299")
	s.mustSend("1", http.StatusAccepted)
	if got := s.app.next(t); got.id() != "1" {
		t.Errorf("the app received %+v", got)
	}
}
