package queue

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestStoredDeliveryIsShownWithoutItsSecret stores deliveries that contain the secret
// itself: in a header that is forwarded, in the query and in the body.
func TestStoredDeliveryIsShownWithoutItsSecret(t *testing.T) {
	const token = "s3cret-of-the-webhook-0123456789"
	t.Setenv("QUEUE_TEST_TOKEN", token)
	tests := []struct {
		provider, options, query, header, body string
	}{
		{"flutterwave", "forward_token", "", "Verif-Hash", `{"id":1,"event":"charge.completed"}`},
		{"cloudflare-notifications", "forward_token", "", "Cf-Webhook-Auth", `{"name":"a"}`},
		{"okta", "header X-Partner\nforward_token", "", "X-Partner", `{"eventId":"1"}`},
		{"azure-event-grid", "query partner", "?partner=" + token, "", `[{"id":"1","eventType":"a","subject":"b","data":{},"eventTime":"2026-01-01T00:00:00Z"}]`},
		{"figma", "", "", "", `{"event_type":"FILE_UPDATE","passcode":"` + token + `","timestamp":"2026-01-01T00:00:00Z"}`},
	}
	var site strings.Builder
	for _, test := range tests {
		fmt.Fprintf(&site, `handle /%[1]s {
			verify_webhook %[1]s {env.QUEUE_TEST_TOKEN} {
				namespace %[1]s
				%[2]s
			}
			webhook_queue %[1]s {
				deliver {
					reverse_proxy APP
				}
				stop_on 4xx
			}
		}
		`, test.provider, test.options)
	}
	s := startWithAdmin(t, site.String())
	s.app.answers(statuses(404))
	for _, test := range tests {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address+"/"+test.provider+test.query, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Aeg-Event-Type", "Notification")
		if test.header != "" {
			r.Header.Set(test.header, token)
		}
		resp, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			t.Errorf("%s: status %d", test.provider, resp.StatusCode)
			continue
		}
		s.dead(test.provider, 1)
		var shown string
		s.ask(http.MethodGet, AdminEntryPath+"?"+url.Values{"queue": {test.provider}, "key": {s.entries(test.provider)[0].Key}}.Encode(), nil, &shown)
		if strings.Contains(shown, token) || !strings.Contains(shown, `"state":"dead"`) {
			t.Errorf("%s: the entry is %s", test.provider, shown)
		}
		if got := s.app.next(t); test.header != "" && got.header.Get(test.header) != token {
			t.Errorf("%s: the app received %v", test.provider, got.header)
		}
	}
}
