package queue

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	dto "github.com/prometheus/client_model/go"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	signed "github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
)

// ask sends a request to the admin API of a site.
func (s *site) ask(method, path string, body, answer any) int {
	s.t.Helper()
	var in io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		in = bytes.NewReader(encoded)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.admin+path, in)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if text, ok := answer.(*string); ok {
		*text = string(raw)
	} else if resp.StatusCode == 200 && answer != nil {
		if err := json.Unmarshal(raw, answer); err != nil {
			s.t.Fatalf("%v: %s", err, raw)
		}
	}
	return resp.StatusCode
}

func startWithAdmin(t *testing.T, text string) *site {
	t.Helper()
	s := newSite(t)
	s.admin = process.Address(t)
	s.load(text)
	return s
}

func TestOperatorListsAndChangesStoredDeliveries(t *testing.T) {
	s := startWithAdmin(t, usualSite("\n\t\tstop_on 4xx"))
	s.app.answers(statuses(404))
	d := event("1")
	d.header = http.Header{"Authorization": {"Bearer of a secret"}, "X-Api-Token": {"also"}}
	s.send(d)
	s.mustSend("2", 202)
	s.mustSend("3", 202)
	s.dead("orders", 3)

	var infos []Info
	if status := s.ask("GET", AdminQueuesPath, nil, &infos); status != 200 || len(infos) != 1 || infos[0].Dead != 3 || !infos[0].Configured || infos[0].Bytes == 0 {
		t.Fatalf("%d: %+v", status, infos)
	}
	list := func(query string) EntriesPage {
		t.Helper()
		var page EntriesPage
		if status := s.ask("GET", AdminEntriesPath+"?queue=orders&"+query, nil, &page); status != 200 {
			t.Fatalf("%s: %d", query, status)
		}
		return page
	}
	for query, want := range map[string]int{
		"": 3, "state=dead": 3, "state=waiting": 0, "status=404": 3, "status=500": 0, "status=-1": 0, "older_than=1h": 0, "newer_than=1h": 3,
	} {
		if got := list(query); len(got.Entries) != want {
			t.Errorf("%s lists %d, want %d", query, len(got.Entries), want)
		}
	}
	page := list("limit=2")
	rest := list("limit=2&after=" + url.QueryEscape(page.Next))
	if len(page.Entries) != 2 || len(rest.Entries) != 1 {
		t.Errorf("pages of %d and %d", len(page.Entries), len(rest.Entries))
	}

	first := page.Entries[0]
	var shown EntryInfo
	query := url.Values{"queue": {"orders"}, "key": {first.Key}}.Encode()
	if status := s.ask("GET", AdminEntryPath+"?"+query, nil, &shown); status != 200 || shown.State != "dead" || shown.Attempts != 1 || shown.Last.Status != 404 {
		t.Fatalf("%d: %+v", status, shown)
	}
	if r := shown.Request; r.Body != d.body || r.Method != "POST" || r.URI != d.path || r.Header.Get("Authorization") != "(masked)" || r.Header.Get("X-Api-Token") != "(masked)" || r.Header.Get("X-Github-Delivery") != "1" {
		t.Errorf("%+v", r)
	}
	var body string
	if status := s.ask("GET", AdminBodyPath+"?"+query, nil, &body); status != 200 || body != d.body {
		t.Errorf("%d: %s", status, body)
	}

	change := func(c Change) (changed Changed) {
		t.Helper()
		c.Queue = "orders"
		if status := s.ask("POST", AdminChangePath, c, &changed); status != 200 {
			t.Fatalf("%+v: %d", c, status)
		}
		return changed
	}
	all := &Filter{State: "dead"}
	if got := change(Change{Action: "retry", Filter: all, DryRun: true}); got.Count != 3 || len(got.Sample) != 3 {
		t.Errorf("the dry run returned %+v", got)
	}
	s.dead("orders", 3)
	change(Change{Action: "pause"})
	if got := change(Change{Action: "retry", Keys: []string{first.Key}}); got.Count != 1 {
		t.Errorf("retried %+v", got)
	}
	s.eventually("orders", "one waiting", func(stats durable.Stats) bool { return stats.Waiting == 1 && stats.Dead == 2 && stats.Paused })
	if got := change(Change{Action: "discard", Filter: all}); got.Count != 2 {
		t.Errorf("discarded %+v", got)
	}
	s.app.answers(nil)
	change(Change{Action: "resume"})
	s.delivered("orders", 3)
	if status := s.ask("GET", AdminEntryPath+"?"+query, nil, &shown); status != 200 || shown.State != "delivered" {
		t.Errorf("%d: %+v", status, shown)
	}
	if len(s.logged("an operator has changed a webhook queue")) != 4 {
		t.Error("the log does not contain the four changes")
	}
}

func TestAdminAPIErrorsSayWhatToWrite(t *testing.T) {
	s := startWithAdmin(t, usualSite(""))
	for _, test := range []struct {
		method, path string
		body         any
		status       int
		want         string
	}{
		{"POST", AdminQueuesPath, nil, 405, "the method must be GET"},
		{"GET", AdminEntriesPath, nil, 400, "missing queue"},
		{"GET", AdminEntriesPath + "?queue=x", nil, 404, `there is no queue \"x\"; available: orders`},
		{"GET", AdminEntriesPath + "?queue=orders&state=gone", nil, 400, "unknown state"},
		{"GET", AdminEntriesPath + "?queue=orders&state=delivered", nil, 400, "not listed"},
		{"GET", AdminEntriesPath + "?queue=orders&older_than=x", nil, 400, "not a duration"},
		{"GET", AdminEntriesPath + "?queue=orders&limit=0", nil, 400, "invalid limit"},
		{"GET", AdminEntryPath + "?queue=orders&key=none", nil, 404, "no such entry"},
		{"POST", AdminChangePath, Change{Action: "retry", Queue: "orders"}, 400, "missing keys or filter"},
		{"POST", AdminChangePath, Change{Action: "retry", Queue: "orders", Keys: []string{"none"}}, 404, "there is no delivery"},
		{"POST", AdminChangePath, Change{Action: "retry", Queue: "orders", Filter: &Filter{State: "in_flight"}}, 400, "in flight cannot be changed"},
		{"POST", AdminChangePath, Change{Action: "delete", Queue: "orders"}, 400, "unrecognized action"},
		{"POST", AdminChangePath, map[string]string{"verb": "x"}, 400, "unknown field"},
	} {
		var text string
		if status := s.ask(test.method, test.path, test.body, &text); status != test.status || !strings.Contains(text, test.want) {
			t.Errorf("%s %s %+v: %d %s; want %d %s", test.method, test.path, test.body, status, text, test.status, test.want)
		}
	}
}

// series returns the value of a series of a queue. labels are pairs of name and
// value.
func series(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	ctx := caddy.ActiveContext()
	families, err := ctx.GetMetricsRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "caddy_verify_webhook_queue_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if has(m, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	t.Errorf("there is no %s %v", name, labels)
	return 0
}

func has(m *dto.Metric, labels []string) bool {
	found := 0
	for _, l := range m.GetLabel() {
		for i := 0; i < len(labels); i += 2 {
			if l.GetName() == labels[i] && l.GetValue() == labels[i+1] {
				found++
			}
		}
	}
	return 2*found == len(labels)
}

func TestMetricsCountResultsOfDeliveries(t *testing.T) {
	name := "metrics"
	site := strings.ReplaceAll(usualSite("\n\t\tstop_on 404\n\t\tmax_entries 3"), "webhook_queue orders", "webhook_queue "+name)
	s := start(t, site)
	s.app.answers(statuses(500, 200, 404))
	s.mustSend("1", 202)
	s.delivered(name, 1)
	s.mustSend("2", 202)
	s.dead(name, 1)
	if err := s.opened().SetPaused(t.Context(), name, true); err != nil {
		t.Fatal(err)
	}
	s.mustSend("3", 202)
	s.mustSend("4", 202)
	s.mustSend("5", 503)
	for _, want := range []struct {
		name   string
		result string
		value  float64
	}{
		{"waiting", "", 2},
		{"in_flight", "", 0},
		{"dead", "", 1},
		{"tombstones", "", 1},
		{"paused", "", 1},
		{"app_down", "", 0},
		{"configured", "", 1},
		{"accepted_total", "new", 4},
		{"full_total", "", 1},
		{"put_errors_total", "", 0},
		{"unrecorded_total", "", 0},
		{"put_seconds", "", 5},
		{"attempts_total", "delivered", 1},
		{"attempts_total", "failed", 1},
		{"attempts_total", "dead", 1},
		{"attempts_total", "refused", 0},
		{"delivery_seconds", "", 3},
	} {
		labels := []string{"queue", name}
		if want.result != "" {
			labels = append(labels, "result", want.result)
		}
		if got := series(t, want.name, labels...); got != want.value {
			t.Errorf("%s %s is %v, want %v", want.name, want.result, got, want.value)
		}
	}
	if series(t, "oldest_age_seconds", "queue", name) <= 0 || series(t, "bytes", "queue", name) <= 0 {
		t.Error("the age or the size is 0")
	}
	s.load(strings.Replace(site, "retry 10ms", "retry 20ms", 1))
	if got := series(t, "accepted_total", "queue", name, "result", "new"); got != 4 {
		t.Errorf("after a reload the counter is %v", got)
	}
}

// After an operator forgets a delivery, its redelivery reaches the app, whether or
// not the provider signs the delivery ID, as Stripe does.
func TestForgettingADeliveryAppliesToTheQueueToo(t *testing.T) {
	const stripeSecret = "whsec_of_the_queue"
	t.Setenv("STRIPE_SECRET", stripeSecret)
	s := startWithAdmin(t, `handle /github {
		`+usualSite("")+`
	}
	handle /stripe {
		verify_webhook stripe {env.STRIPE_SECRET}
		webhook_queue payments {
			deliver {
				reverse_proxy APP
			}
		}
	}`)
	stripe := signed.Stripe(stripeSecret, time.Now(), []byte(`{"id":"evt_1","object":"event","type":"invoice.paid"}`))
	stripe.Path = "/stripe"
	sendStripe := func() int {
		answer, err := stripe.Send(t.Context(), s.client, "http://"+s.address)
		if err != nil {
			t.Fatal(err)
		}
		return answer.Status
	}
	github := event("1")
	github.path = "/github"
	sendGitHub := func() int { return s.send(github).StatusCode }

	for _, test := range []struct {
		provider, id, queue string
		send                func() int
	}{{"stripe", "evt_1", "payments", sendStripe}, {"github", "1", "orders", sendGitHub}} {
		if status := test.send(); status != 202 {
			t.Fatalf("%s got %d", test.provider, status)
		}
		key := s.app.next(t).header.Get("Webhook-Verified-Key")
		s.delivered(test.queue, 1)
		waitFor(t, "the gate to remember it", func() bool { return test.send() == 200 })
		var found []caddymodule.DeliveryStatus
		if status := s.ask("POST", caddymodule.AdminForgetPath, map[string]string{"provider": test.provider, "id": test.id}, &found); status != 200 || len(found) != 1 || !found[0].Forgotten {
			t.Fatalf("%s: forgetting it: %d %+v", test.provider, status, found)
		}
		if status := test.send(); status != 202 {
			t.Fatalf("%s got %d after it was forgotten", test.provider, status)
		}
		if again := s.app.next(t).header.Get("Webhook-Verified-Key"); again != key {
			t.Errorf("%s: the key was %s and is %s", test.provider, key, again)
		}
		s.delivered(test.queue, 1)
		waitFor(t, "the gate to remember it again", func() bool { return test.send() == 200 })
	}
	if n := len(s.app.arrivals); n != 0 {
		t.Errorf("the app received %d more", n)
	}
}
