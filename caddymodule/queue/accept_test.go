package queue

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/requestbody" // the directive request_body

	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
)

func TestOnlyVerifiedDeliveriesAreStored(t *testing.T) {
	const queueOnly = `webhook_queue orders {
		deliver {
			reverse_proxy APP
		}
	}`
	gate := func(options string) string {
		return "verify_webhook github {env." + secretVariable + "} {\n" + options + "\n}\n" + queueOnly
	}
	for name, test := range map[string]struct {
		site   string
		header http.Header
		want   int
		log    string
	}{
		"mode monitor with an error route that responds 200": {
			gate("mode monitor") + "\nhandle_errors {\nrespond 200\n}", http.Header{}, 503, "in mode monitor forwarded an unverified request",
		},
		"without verify_webhook": {queueOnly, nil, 500, "write verify_webhook before it"},
		// Without verify_webhook, client-supplied headers are not stripped.
		"without verify_webhook, with spoofed headers": {queueOnly, http.Header{"Webhook-Verified-Key": {"k"}}, 500, "write verify_webhook before it"},
		"refused by verify_webhook":                    {gate(""), http.Header{"X-Hub-Signature-256": {"sha256=" + strings.Repeat("00", 32)}}, 401, ""},
		"mode monitor forwards a forged delivery": {
			gate("mode monitor"), http.Header{"X-Hub-Signature-256": {"sha256=" + strings.Repeat("00", 32)}}, 503, "in mode monitor forwarded an unverified request",
		},
		"mode monitor forwards an unsigned delivery": {gate("mode monitor"), http.Header{}, 503, "in mode monitor forwarded an unverified request"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, test.site)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address+"/in", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			if test.header != nil {
				r.Header = test.header
			}
			resp, err := s.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != test.want || len(text) > 0 {
				t.Errorf("got %d %q, %v; want %d", resp.StatusCode, text, err, test.want)
			}
			if (test.want == 503) != (resp.Header.Get("Retry-After") != "") {
				t.Errorf("Retry-After is %q", resp.Header.Get("Retry-After"))
			}
			if test.log != "" && len(s.logged(test.log)) == 0 {
				t.Errorf("the log does not contain %q", test.log)
			}
			if stats, err := s.opened().Stats(t.Context(), "orders"); err != nil || stats != (durable.Stats{}) {
				t.Errorf("the queue contains %+v, %v", stats, err)
			}
			if n := len(s.app.arrivals); n > 0 {
				t.Errorf("%d deliveries reached the app", n)
			}
		})
	}
}

func TestModeMonitorDeliversVerifiedDeliveries(t *testing.T) {
	s := start(t, strings.Replace(usualSite(""), secretVariable+"}", secretVariable+"} {\nmode monitor\n}", 1))
	s.mustSend("1", 202)
	if got := s.app.next(t); got.header.Get("Webhook-Verified-Outcome") != "verified" {
		t.Errorf("the app received %v", got.header)
	}
	s.delivered("orders", 1)
}

// Mode monitor forwards genuine deliveries that mode enforce would not forward. The
// queue must not refuse them: the provider would retry them until it gives up.
func TestModeMonitorQueuesGenuineDeliveriesOfEachOutcome(t *testing.T) {
	s := start(t, strings.Replace(usualSite(""), secretVariable+"}", secretVariable+"} {\nmode monitor\nevents push\n}", 1))
	s.mustSend("1", 202)
	if got := s.app.next(t); got.header.Get("Webhook-Verified-Outcome") != "verified" {
		t.Errorf("the app received %v", got.header)
	}
	s.delivered("orders", 1)
	if resp := s.send(event("1")); resp.StatusCode != 202 {
		t.Errorf("the provider got %d for a retry", resp.StatusCode)
	}
	other := event("2")
	other.header = http.Header{"X-Github-Event": {"issues"}}
	if resp := s.send(other); resp.StatusCode != 202 {
		t.Errorf("the provider got %d for another event type", resp.StatusCode)
	}
	if got := s.app.next(t); got.header.Get("Webhook-Verified-Outcome") != "ignored" || got.id() != "2" {
		t.Errorf("the app received %v", got.header)
	}
	s.delivered("orders", 2)
}

// The provider gets a status that makes it retry, and the claim is released.
func TestFullQueueRefusesAndRetriesSucceed(t *testing.T) {
	for name, bound := range map[string]string{"entries": "max_entries 1", "bytes": "max_bytes 12KiB"} {
		t.Run(name, func(t *testing.T) {
			s := start(t, usualSite("\n\t\t"+bound))
			release := s.app.hold(t)
			large := event("2")
			large.body += strings.Repeat(" ", 8<<10)
			first := event("1")
			first.body += strings.Repeat(" ", 8<<10)
			if resp := s.send(first); resp.StatusCode != 202 {
				t.Fatalf("the provider got %d", resp.StatusCode)
			}
			s.app.next(t)
			for range 2 {
				resp := s.send(large)
				if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
					t.Fatalf("the provider got %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
				}
			}
			release()
			s.delivered("orders", 1)
			if resp := s.send(large); resp.StatusCode != 202 {
				t.Fatalf("the provider got %d", resp.StatusCode)
			}
			if got := s.app.next(t); got.id() != "2" {
				t.Errorf("the app received %s", got.id())
			}
			if len(s.logged("the webhook queue is full")) == 0 {
				t.Error("the log does not report it")
			}
		})
	}
}

// The replay store has forgotten the delivery, as after a crash between the writes
// to both stores.
func TestStoredDeliveryIsNotStoredTwice(t *testing.T) {
	s := start(t, usualSite(""))
	s.mustSend("1", 202)
	s.app.next(t)
	s.delivered("orders", 1)
	forgetful := strings.Replace(usualSite(""), secretVariable+"}", secretVariable+"} {\nreplay {\nstore memory another-of-"+t.Name()+"\n}\n}", 1)
	s.load(forgetful)
	s.mustSend("1", 202)
	s.mustSend("2", 202)
	if got := s.app.next(t); got.id() != "2" {
		t.Errorf("the app received %s again", got.id())
	}
	s.delivered("orders", 2)
}

// Dropbox sends no ID and the same content each time, so deliveries cannot be
// distinguished.
func TestDeliveryWithoutAKeyGetsAGeneratedKey(t *testing.T) {
	s := start(t, strings.Replace(usualSite(""), "}\n", "} {\nreplay {\ncontent repeats\n}\n}\n", 1))
	keys := make(map[string]bool)
	s.app.answers(statuses(500, 200))
	for range 2 {
		d := event("1")
		d.id = "" // no ID header, and content that repeats
		resp := s.send(d)
		if resp.StatusCode != 202 {
			t.Fatalf("the provider got %d", resp.StatusCode)
		}
	}
	attempts := 0
	for range 3 {
		got := s.app.next(t)
		keys[got.header.Get("Webhook-Verified-Key")] = true
		attempts++
	}
	if len(keys) != 2 || keys[""] {
		t.Errorf("in %d attempts the keys were %v, want one for each of two deliveries", attempts, keys)
	}
	s.delivered("orders", 2)
}

func TestLargeBodyIsCompleteAndCanBeRetried(t *testing.T) {
	s := start(t, usualSite(""))
	body := bytes.Repeat([]byte("0123456789abcde\n"), 20<<20/16)
	s.app.answers(statuses(500, 200))
	d := delivery{id: "1", path: "/in", body: string(body)}
	if resp := s.send(d); resp.StatusCode != 202 {
		t.Fatalf("the provider got %d", resp.StatusCode)
	}
	for range 2 {
		if got := s.app.next(t); got.body != d.body {
			t.Errorf("the app received %d bytes, want %d", len(got.body), len(d.body))
		}
	}
	s.delivered("orders", 1)
}

func TestEmptyBodyIsDelivered(t *testing.T) {
	s := start(t, usualSite(""))
	if resp := s.send(delivery{id: "1", path: "/in"}); resp.StatusCode != 202 {
		t.Fatalf("the provider got %d", resp.StatusCode)
	}
	if got := s.app.next(t); got.body != "" || got.header.Get("Content-Length") != "0" {
		t.Errorf("the app received %q, Content-Length %q", got.body, got.header.Get("Content-Length"))
	}
	s.delivered("orders", 1)
}

// The URI is delivered as rewritten in front of webhook_queue. Rewrites inside
// deliver apply to that URI, and the original URI is available.
func TestDeliverGetsTheRewrittenAndTheOriginalURI(t *testing.T) {
	s := start(t, `handle_path /hooks/* {
		verify_webhook github {env.`+secretVariable+`}
		webhook_queue orders {
			deliver {
				rewrite * /app{uri}
				reverse_proxy APP {
					header_up Original {http.request.orig_method}-{http.request.orig_uri}
					header_up Names {http.webhook_queue.name}-{http.webhook_queue.attempt}-{http.verify_webhook.id}-{http.verify_webhook.provider}
				}
			}
		}
	}`)
	d := event("1")
	d.path = "/hooks/in/x?a=b%20c"
	if resp := s.send(d); resp.StatusCode != 202 {
		t.Fatalf("the provider got %d", resp.StatusCode)
	}
	got := s.app.next(t)
	if got.uri != "/app/in/x?a=b%20c" || got.header.Get("Original") != "POST-/hooks/in/x?a=b%20c" || got.header.Get("Names") != "orders-1-1-github" {
		t.Errorf("the app received %s, original %q, names %q", got.uri, got.header.Get("Original"), got.header.Get("Names"))
	}
}

// An operator forgets a delivery so that the app gets its redelivery.
func TestForgottenDeliveryIsDeliveredAgain(t *testing.T) {
	s := newSite(t)
	s.load(usualSite(""))
	s.mustSend("1", 202)
	first := s.app.next(t)
	s.delivered("orders", 1)
	g := services.latest()
	if err := g.forget(t.Context(), first.header.Get("Webhook-Verified-Key")); err != nil {
		t.Fatal(err)
	}
	s.load(strings.Replace(usualSite(""), secretVariable+"}", secretVariable+"} {\nreplay {\nstore memory another-of-"+t.Name()+"\n}\n}", 1))
	s.mustSend("1", 202)
	if got := s.app.next(t); got.id() != "1" {
		t.Errorf("the app received %s", got.id())
	}
}

// A provider must not get a success for a delivery that is not stored.
func TestErrorRouteDoesNotTurnARefusalIntoASuccess(t *testing.T) {
	s := start(t, usualSite("\n\t\tmax_entries 1")+"\nhandle_errors {\nrespond sorry 200\n}")
	release := s.app.hold(t)
	s.mustSend("1", 202)
	s.mustSend("2", 503)
	release()
	s.delivered("orders", 1)
}

func TestWithReplayOffEveryCopyIsDelivered(t *testing.T) {
	s := start(t, strings.Replace(usualSite(""), secretVariable+"}", secretVariable+"} {\nreplay off\n}", 1))
	s.mustSend("1", 202)
	s.mustSend("1", 202)
	if first, second := s.app.next(t), s.app.next(t); first.header.Get("Webhook-Verified-Key") != second.header.Get("Webhook-Verified-Key") {
		t.Error("the copies have different keys")
	}
	s.delivered("orders", 2)
}
