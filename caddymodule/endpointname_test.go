package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const twoEndpoints = `
	handle /webhooks/one {
		verify_webhook github {env.WEBHOOK_ONE} {
			replay {
				store memory STORE
			}
			events push
		}
		reverse_proxy APP
	}
	handle_path /webhooks/two* {
		verify_webhook github {env.WEBHOOK_TWO} {
			replay {
				store memory STORE
			}
		}
		reverse_proxy APP
	}
	handle /webhooks/orders {
		verify_webhook github {env.WEBHOOK_THREE} {
			namespace orders
			replay {
				store memory STORE
			}
		}
		reverse_proxy APP
	}
	handle /webhooks/stripe {
		verify_webhook stripe {env.WEBHOOK_FOUR}
		reverse_proxy APP
	}`

func startTwoEndpoints(t *testing.T) (*realCaddy, operator) {
	for _, name := range []string{"ONE", "TWO", "THREE", "FOUR"} {
		t.Setenv("WEBHOOK_"+name, "the secret "+name)
	}
	return startWithAdmin(t, twoEndpoints)
}

// deliverTo sends a GitHub delivery to a path.
func (c *realCaddy) deliverTo(path, secret, id string) answer {
	c.t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+c.addr+path, strings.NewReader(id))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("X-Hub-Signature-256", "sha256="+sign(secret, id))
	r.Header.Set("X-GitHub-Delivery", id)
	r.Header.Set("X-GitHub-Event", "push")
	return c.do(client(c.t, "HTTP/1.1"), r)
}

// Logs, `seen` and metrics name endpoints of one provider by their paths. The
// names of other endpoints do not change.
func TestEndpointsOfOneProviderAreNamedByTheirPaths(t *testing.T) {
	c, o := startTwoEndpoints(t)
	if got := c.deliverTo("/webhooks/two/x?token=not-in-the-log", "wrong", "1"); got.status != 401 {
		t.Errorf("status %d", got.status)
	}
	if got := c.deliverTo("/webhooks/one", "the secret ONE", "1"); got.status != 200 {
		t.Errorf("status %d", got.status)
	}
	var line map[string]any
	for text := range strings.Lines(c.logged()) {
		if strings.Contains(text, "refused a webhook delivery") {
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text, "not-in-the-log") {
				t.Errorf("the log contains the query: %s", text)
			}
		}
	}
	for name, want := range map[string]string{"endpoint": "/webhooks/two*", "path": "/webhooks/two/x", "method": "POST", "host": c.addr, "provider": "github"} {
		if line[name] != want {
			t.Errorf("%s is %v, want %s", name, line[name], want)
		}
	}
	status, found, raw := o.ask(http.MethodGet, AdminSeenPath+"?provider=github&id=1", "")
	var names []string
	for _, f := range found {
		names = append(names, f.Endpoint+" "+f.State)
	}
	slices.Sort(names)
	if got := strings.Join(names, ", "); status != 200 || got != "/webhooks/one handled, /webhooks/two* free, orders free" {
		t.Errorf("seen: %d %s", status, raw)
	}
	_, found, raw = o.ask(http.MethodGet, AdminSeenPath+"?id=1&provider="+url.QueryEscape("/webhooks/one"), "")
	if len(found) != 1 {
		t.Errorf("seen of one endpoint: %s", raw)
	}
	_, _, raw = o.ask(http.MethodGet, AdminSeenPath+"?provider=gihtub&id=1", "")
	if !strings.Contains(raw, "did you mean github?") {
		t.Errorf("a misspelled name: %s", raw)
	}
	s := site{t: t}
	values := s.metrics()
	for _, want := range []string{
		"deliveries_total{endpoint=/webhooks/one,outcome=verified,provider=github}", "deliveries_total{endpoint=/webhooks/two*,outcome=invalid_signature,provider=github}",
		"deliveries_total{endpoint=orders,outcome=verified,provider=github}", "deliveries_total{endpoint=stripe,outcome=verified,provider=stripe}",
	} {
		if _, ok := values[want]; !ok {
			t.Errorf("no series %s", want)
		}
	}
	for name := range values {
		if strings.Contains(name, "endpoint=github,") {
			t.Errorf("unexpected series: %s", name)
		}
	}
}

// Names of endpoints are as short as possible, but distinct.
func TestNamesOfEndpoints(t *testing.T) {
	taken := make(map[string]bool)
	for _, test := range []struct {
		place place
		want  string
	}{
		{place{"a.example", "/in"}, "/in"},
		{place{"b.example", "/in"}, "b.example/in"},
		{place{"b.example", "/in"}, "b.example/in#2"},
		{place{}, "github"},
		{place{"c.example", ""}, "c.example"},
		{place{}, "github#2"},
	} {
		got := test.place.name("github", taken)
		if got != test.want {
			t.Errorf("%+v: %s, want %s", test.place, got, test.want)
		}
		taken[got] = true
	}
}

// The response contains the outcome only if the app has not responded, and only
// if the request is verified.
func TestResponseContainsTheOutcome(t *testing.T) {
	b := trial(t, config("github", `"events":["push"],"replay":{"on_replay":409}`))
	forged := githubRequest("another secret", "9", content)
	forged.Header.Set("X-GitHub-Event", "push")
	with := func(id, event string) *http.Request {
		r := github(id, content)
		r.Header.Set("X-GitHub-Event", event)
		return r
	}
	for _, test := range []struct {
		name string
		r    *http.Request
		want string
	}{
		{"new", with("1", "push"), ""},
		{"a copy", with("1", "push"), "duplicate"},
		{"a copy with another ID", with("2", "push"), "replayed"},
		{"another event", with("3", "ping"), "ignored"},
		{"forged", forged, ""},
	} {
		if got := b.Send(test.r); got.Header.Get("Webhook-Verified-Outcome") != test.want {
			t.Errorf("%s: %s, the header says %q, want %q", test.name, got.Outcome, got.Header.Get("Webhook-Verified-Outcome"), test.want)
		}
	}
}

// Outcomes are recorded only after the first request for them.
func TestAdminAPIRecordsOutcomesAfterTheFirstQuery(t *testing.T) {
	t.Cleanup(recent.end)
	c, o := startTwoEndpoints(t)
	r := recentOutcomes{}
	defer r.end()
	r.of("")
	for i := range outcomesKept + 5 {
		r.DeliveryEnded(Observation{RemoteAddr: fmt.Sprint(i % 2), Outcome: Verified, URI: "/in?x=1"})
	}
	if got := r.of("1"); len(got) != outcomesKept/2 || got[0].Path != "/in" || len(r.of("")) != 0 {
		t.Errorf("recorded %d outcomes", len(got))
	}
	ask := func(query string) string {
		resp, err := http.Get("http://" + o.admin + AdminOutcomesPath + query)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return readAll(t, resp.Body)
	}
	if got := strings.TrimSpace(ask("")); got != "[]" {
		t.Errorf("before the first delivery: %s", got)
	}
	c.deliverTo("/webhooks/one", "wrong", "1")
	recent.mu.Lock()
	kept := slices.Clone(recent.kept)
	recent.mu.Unlock()
	if len(kept) != 1 {
		t.Fatalf("recorded %+v", kept)
	}
	got := ask("?remote_addr=" + url.QueryEscape(kept[0].RemoteAddr))
	if !strings.Contains(got, `"outcome":"invalid_signature"`) || !strings.Contains(got, `"path":"/webhooks/one"`) {
		t.Errorf("got %s", got)
	}
}
