package caddymodule

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestAppGetsTheVerifiedIdentity(t *testing.T) {
	stripeBody := `{"id":"evt_1","type":"invoice.paid"}`
	for _, test := range []struct {
		name, provider string
		request        *http.Request
		want           map[string]string
	}{
		{"GitHub signs only the body", "github", github("72d3162e", content), map[string]string{
			headerProvider: "github", headerID: "72d3162e", headerEvent: "push", headerUnsigned: "id, event",
		}},
		{"without an ID", "github", request(content, "X-Hub-Signature-256", "sha256="+sign(secret, content)), map[string]string{
			headerProvider: "github",
		}},
		{"Stripe signs all of it", "stripe", stripe(present, stripeBody), map[string]string{
			headerProvider: "stripe", headerID: "evt_1", headerEvent: "invoice.paid", headerTimestamp: "1700000000",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := trial(t, config(test.provider, "")).expect(t, test.request, Verified, 200)
			headers := make(map[string]string)
			for name, values := range got.ReachedHeader {
				if looksLikeIdentity(name) {
					headers[name] = strings.Join(values, "|")
				}
			}
			if len(headers[headerKey]) != 22 {
				t.Errorf("key %q", headers[headerKey])
			}
			delete(headers, headerKey)
			if !maps.Equal(headers, test.want) {
				t.Errorf("got %v, want %v", headers, test.want)
			}
		})
	}
}

func TestVerifiedKeyIsStableAndUnique(t *testing.T) {
	b := trial(t, config("stripe", ""))
	b.App = answering(500)
	key := func(r *http.Request) string { return b.expect(t, r, Verified, 500).ReachedHeader.Get(headerKey) }
	first := key(stripe(present, `{"id":"evt_1"}`))
	if retry := key(stripe(present.Add(60e9), `{"id":"evt_1"}`)); retry != first {
		t.Errorf("the retry with a new signature has the key %s, want %s", retry, first)
	}
	if other := key(stripe(present, `{"id":"evt_2"}`)); other == first {
		t.Error("two deliveries have the same key")
	}
	elsewhere := trial(t, config("stripe", `"namespace":"other"`))
	if other := elsewhere.expect(t, stripe(present, `{"id":"evt_1"}`), Verified, 200).ReachedHeader.Get(headerKey); other == first {
		t.Error("two namespaces have the same key")
	}
}

// spoofs returns variants of our header names that some apps do not distinguish.
func spoofs() []string {
	var names []string
	for _, name := range []string{headerProvider, headerID, headerEvent, headerTimestamp, headerKey, headerUnsigned, headerOutcome, "Webhook-Verified-New"} {
		names = append(names, name, strings.ToLower(name), strings.ToUpper(name))
		for _, sign := range []string{"_", ".", "+", "~", "!"} {
			names = append(names, strings.ReplaceAll(name, "-", sign), strings.Replace(name, "-", sign, 1), strings.ToLower(strings.ReplaceAll(name, "-", sign)))
		}
	}
	return names
}

func TestSpoofedIdentityNeverReachesTheApp(t *testing.T) {
	for _, name := range spoofs() {
		b := trial(t, config("github", ""))
		r := github("1", content)
		r.Header[name] = []string{"spoofed"}
		r.Trailer = http.Header{name: {"spoofed"}}
		var trailer http.Header
		b.run(r, func(_ http.ResponseWriter, r *http.Request) error {
			trailer = r.Trailer
			for name, values := range r.Header {
				if slices.Contains(values, "spoofed") {
					t.Errorf("%s reaches the app", name)
				}
			}
			return nil
		})
		if len(trailer) != 0 {
			t.Errorf("the trailer %s reaches the app", name)
		}
	}
}

func TestSpoofedIdentityIsRemovedInARealCaddy(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", ""))
	overBoth(t, func(t *testing.T, client *http.Client) {
		id := t.Name()
		headers := githubHeaders(id, content+id)
		for _, name := range spoofs() {
			headers = append(headers, name, "spoofed")
		}
		got := c.send(client, strings.NewReader(content+id), headers...)
		seen := c.app.arrivals()
		if got.status != 200 || len(seen) != 1 {
			t.Fatalf("status %d, the app received %d", got.status, len(seen))
		}
		for name, values := range seen[0].header {
			if slices.Contains(values, "spoofed") {
				t.Errorf("%s reaches the app", name)
			}
		}
	})
}

// Proxies remove the headers that Connection names.
func TestConnectionHeaderCannotRemoveOurHeaders(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", ""))
	headers := append(githubHeaders("1", content), "Connection", "Webhook-Verified-Unsigned, Webhook-Verified-Key, X-GitHub-Event, close")
	c.send(client(t, "HTTP/1.1"), strings.NewReader(content), headers...)
	seen := c.app.arrivals()
	if len(seen) != 1 {
		t.Fatalf("the app received %d requests", len(seen))
	}
	for _, name := range []string{headerKey, headerUnsigned, headerID, "X-GitHub-Event"} {
		if seen[0].header.Get(name) == "" {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestAppReceivesAllHeadersOfTheProvider(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", ""))
	overBoth(t, func(t *testing.T, client *http.Client) {
		id := t.Name()
		headers := append(githubHeaders(id, content+id),
			"Content-Type", "application/json", "User-Agent", "GitHub-Hookshot/044aadd", "X-GitHub-Hook-ID", "292430182",
			"Accept", "*/*", "Content-Encoding", "identity", "X-Twice", "1", "X-Twice", "2")
		c.send(client, strings.NewReader(content+id), headers...)
		seen := c.app.arrivals()
		if len(seen) != 1 || seen[0].method != "POST" || seen[0].uri != "/in?x=1" {
			t.Fatalf("the app received %+v", seen)
		}
		for i := 0; i < len(headers); i += 2 {
			if !slices.Contains(seen[0].header.Values(headers[i]), headers[i+1]) {
				t.Errorf("%s: %s does not reach the app", headers[i], headers[i+1])
			}
		}
	})
}

func TestValuesFromABodyAreEncodedForHeaders(t *testing.T) {
	for id, want := range map[string]string{
		"plain-1.2_3":      "plain-1.2_3",
		"with space":       "with space",
		" at the edges ":   "%20at%20the%20edges%20",
		"line\r\nX-Evil:1": "line%0D%0AX-Evil:1",
		"50%":              "50%25",
		"größe":            "gr%C3%B6%C3%9Fe",
		"\x00\x7f":         "%00%7F",
	} {
		got := headerSafe(id)
		if got != want {
			t.Errorf("%q is encoded as %q, want %q", id, got, want)
		}
		if got != id {
			if back, err := url.PathUnescape(got); err != nil || back != id {
				t.Errorf("%q cannot be decoded from %q", id, got)
			}
		}
	}
}

func TestPlaceholdersAndAccessLogContainTheResult(t *testing.T) {
	const say = "{http.verify_webhook.outcome}|{http.verify_webhook.provider}|{http.verify_webhook.id}|{http.verify_webhook.event}|{http.verify_webhook.timestamp}|{http.verify_webhook.secret}"
	c := startCaddy(t, "", `verify_webhook github {
		secret {env.`+secretVariable+`} current
		replay {
			store memory STORE
		}
	}
	respond "`+say+`"
	handle_errors {
		respond "`+say+`"
	}`)
	client := client(t, "HTTP/1.1")
	got := c.send(client, strings.NewReader(content), githubHeaders("1", content)...)
	if want := "verified|github|1|push||current"; got.body != want {
		t.Errorf("got %q, want %q", got.body, want)
	}
	line := c.accessLine("webhook_outcome")
	if line["webhook_outcome"] != "verified" || line["webhook_provider"] != "github" || line["webhook_id"] != "1" {
		t.Errorf("access log: %v", line)
	}
	got = c.send(client, strings.NewReader(content), "X-GitHub-Delivery", "spoofed")
	if want := "missing_signature|github||||"; got.body != want {
		t.Errorf("got %q, want %q", got.body, want)
	}
	if line := c.accessLine("webhook_outcome"); line["webhook_outcome"] != "missing_signature" || line["webhook_id"] != nil {
		t.Errorf("access log: %v", line)
	}
}
