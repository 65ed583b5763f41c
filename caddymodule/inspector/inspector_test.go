package inspector_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/internal/sse"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
)

func TestStartFailsOnPublicAddressesWithoutAuthentication(t *testing.T) {
	const hash = "$2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG"
	auth := "basic_auth {\n operator " + hash + "\n}\n"
	for _, c := range []struct{ name, site, want string }{
		{"on all addresses", "http://localhost:PORT {\n webhook_inspector\n}", "write `bind 127.0.0.1`"},
		{"on an address of the network", "http://localhost:PORT {\n bind 0.0.0.0\n webhook_inspector\n}", "write `bind 127.0.0.1`"},
		{"with authentication but without remote", "http://localhost:PORT {\n bind 0.0.0.0\n " + auth + "webhook_inspector\n}", "`remote` in its block"},
		{"with remote but without authentication", "http://localhost:PORT {\n bind 0.0.0.0\n webhook_inspector {\n remote\n}\n}", "remote needs an authentication handler in front"},
		{"with remote on a loopback address without authentication", "http://localhost:PORT {\n bind 127.0.0.1\n webhook_inspector {\n remote\n}\n}", "remote needs an authentication handler in front"},
		{"with authentication of some paths only", "http://localhost:PORT {\n bind 127.0.0.1\n basic_auth /api/* {\n operator " + hash + "\n}\nwebhook_inspector {\n remote\n}\n}", "remote needs an authentication handler in front"},
		{"with authentication after it", "http://localhost:PORT {\n bind 127.0.0.1\n route {\n webhook_inspector {\n remote\n}\n" + auth + "}\n}", "remote needs an authentication handler in front"},
		{"with authentication in another route", "http://localhost:PORT {\n bind 127.0.0.1\n handle /other {\n" + auth + "respond ok\n}\n handle {\n webhook_inspector {\n remote\n}\n}\n}", "remote needs an authentication handler in front"},
		{"with authentication of some requests of a group", "http://localhost:PORT {\n bind 127.0.0.1\n route {\n handle /api* {\n header X-A b\n}\n handle {\n" + auth + "}\n webhook_inspector {\n remote\n}\n}\n}", "remote needs an authentication handler in front"},
		{"with authentication in one of two places", "&(shared) {\n webhook_inspector {\n remote\n}\n}\nhttp://localhost:PORT {\n bind 127.0.0.1\n handle /api* {\n" + auth + "invoke shared\n}\n handle {\n invoke shared\n}\n}", "remote needs an authentication handler in front"},
		{"with authentication, and in an error route", "&(shared) {\n webhook_inspector {\n remote\n}\n}\nhttp://localhost:PORT {\n bind 127.0.0.1\n route {\n" + auth + "invoke shared\n}\n handle_errors {\n invoke shared\n}\n}", "remote needs an authentication handler in front"},
		{"with authentication in a named route", "&(shared) {\n webhook_inspector {\n remote\n}\n}\nhttp://localhost:PORT {\n bind 127.0.0.1\n route {\n" + auth + "invoke shared\n}\n}", ""},
		{"with authentication in all places", "&(shared) {\n webhook_inspector {\n remote\n}\n}\nhttp://localhost:PORT {\n bind 127.0.0.1\n handle /api* {\n" + auth + "invoke shared\n}\n handle {\n" + auth + "invoke shared\n}\n}", ""},
		{"with authentication and remote", "http://localhost:PORT {\n bind 127.0.0.1\n " + auth + "webhook_inspector {\n remote\n}\n}", ""},
		{"with authentication and remote in a handle", "http://localhost:PORT {\n bind 127.0.0.1\n handle {\n" + auth + "webhook_inspector {\n remote\n}\n}\n}", ""},
		{"with authentication around it", "http://localhost:PORT {\n bind 127.0.0.1\n route {\n" + auth + "handle {\n webhook_inspector {\n remote\n}\n}\n}\n}", ""},
		{"with forward_auth and remote", "http://localhost:PORT {\n bind 127.0.0.1\n forward_auth localhost:1 {\n uri /auth\n}\nwebhook_inspector {\n remote\n}\n}", ""},
		{"with a proxy that accepts every response", "http://localhost:PORT {\n bind 127.0.0.1\n route {\n reverse_proxy localhost:1 {\n rewrite /auth\n handle_response {\n header X-A b\n}\n}\n webhook_inspector {\n remote\n}\n}\n}", "remote needs an authentication handler in front"},
		{"on a loopback address", "http://localhost:PORT {\n bind 127.0.0.1 ::1\n webhook_inspector\n}", ""},
		{"on a Unix socket", "http://localhost {\n bind unix//tmp/webhook-inspector-test.sock\n webhook_inspector\n}", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &server{t: t, admin: "off", site: "127.0.0.1:1", inspector: "127.0.0.1:1"}
			t.Cleanup(func() { _ = caddy.Stop() })
			_, port, _ := net.SplitHostPort(process.Address(t))
			err := s.load("{\n admin off\n persist_config off\n log default {\n output discard\n}\n}\n" + strings.ReplaceAll(c.site, "PORT", port))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for options, want := range map[string]string{
		"":        "",
		"capture": "",
		"capture {\n last 500\n bodies 64KiB\n total 32MiB\n for 1h\n}": "",
		"capture {\n last 0\n}":                   "invalid last: 0 is not a number",
		"capture {\n last 1000000\n}":             "is not a number from 1 to 100000",
		"capture {\n total 1KiB\n}":               "less than 1 MiB",
		"capture {\n bodies 100MiB\n}":            "more than 25 MiB",
		"capture {\n bodies 2MiB\n total 1MiB\n}": "exceed the total",
		"capture {\n for 1ms\n}":                  "shorter than 1s",
		"capture {\n lasst 3\n}":                  "did you mean last?",
		"capture last 500":                        "in a block, one on each line",
		"last 500":                                "last must be inside capture { }",
		capture + capture:                         "duplicate option: capture",
		"remot":                                   "did you mean remote?",
	} {
		t.Run(strings.ReplaceAll(options, "\n", " "), func(t *testing.T) {
			s := &server{t: t, admin: "off", site: process.Address(t), inspector: process.Address(t)}
			t.Cleanup(func() { _ = caddy.Stop() })
			err := s.load(config(options))
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

func TestRequestsOfOtherSitesAreRefused(t *testing.T) {
	s := start(t, config(capture))
	s.send(github("1"))
	own := "http://" + s.inspector
	for _, c := range []struct {
		name, method, path, host string
		header                   map[string]string
		want                     int
	}{
		{"the page", "GET", "/", "", nil, 200},
		{"the page by a link of another site", "GET", "/", "", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200},
		{"the page in a frame of another site", "GET", "/", "", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403},
		{"another host name that resolves to this machine", "GET", "/", "attacker.example", nil, 403},
		{"the same with a port", "GET", "/api/delivery?number=1", "attacker.example:4040", nil, 403},
		{"through a proxy", "GET", "/", "", map[string]string{"X-Forwarded-For": "192.0.2.1"}, 403},
		{"a script of another site", "GET", "/api/delivery?number=1", "", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"a script of another port", "GET", "/api/delivery?number=1", "", map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		{"a link to the API", "GET", "/api/delivery?number=1", "", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 403},
		{"another origin", "GET", "/api/delivery?number=1", "", map[string]string{"Origin": "http://attacker.example"}, 403},
		{"a post of another origin", "POST", "/api/clear", "", map[string]string{"Origin": "http://attacker.example", "Content-Type": "application/json"}, 403},
		{"a post from an opaque origin", "POST", "/api/clear", "", map[string]string{"Origin": "null", "Content-Type": "application/json"}, 403},
		{"a form", "POST", "/api/clear", "", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, 403},
		{"a form with JSON as text", "POST", "/api/clear", "", map[string]string{"Content-Type": "text/plain"}, 403},
		{"the wrong method", "GET", "/api/clear", "", nil, 405},
		{"an unknown path", "GET", "/inspector", "", nil, 404},
		{"a post of the page", "POST", "/api/explain", "", map[string]string{"Origin": own, "Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}, 400},
		{"a delivery", "GET", "/api/delivery?number=1", "localhost", nil, 200},
	} {
		r := s.request(c.method, c.path, []byte("{"))
		if c.host != "" {
			r.Host = c.host
		}
		for name, value := range c.header {
			r.Header.Set(name, value)
		}
		if c.path == "/api/delivery?number=1" {
			r.URL.RawQuery = fmt.Sprintf("number=%d", s.lastNumber())
		}
		if status, text := s.do(r); status != c.want {
			t.Errorf("%s: got %d, want %d: %s", c.name, status, c.want, text)
		}
	}
	resp, err := http.DefaultClient.Do(s.request("GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	policy := resp.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") || resp.Header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("headers: %v", resp.Header)
	}
}

// lastNumber is the number of the latest delivery.
func (s *server) lastNumber() uint64 {
	all := s.watch(1)
	return all[len(all)-1].Number
}

// TestNoSecretIsCapturedOrShown searches all responses of the API for secrets.
func TestNoSecretIsCapturedOrShown(t *testing.T) {
	s := start(t, config("capture {\n bodies 64KiB\n}"))
	signed := github("1").With("Authorization", "Bearer credential-1").With("Cookie", "session=credential-2").With("X-Api-Key", "credential-3")
	s.send(signed)
	for _, token := range []string{gitlabToken, "another-token", `"` + gitlabToken + `"`} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+s.site+"/webhooks/gitlab", strings.NewReader(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Gitlab-Token", token)
		s.do(r)
	}
	all := s.watch(4)
	wants := []string{"(removed)", "(removed: it is secret 1)", "(removed: it is none of the configured secrets)", "(removed: it is secret 1, in quotes)"}
	for i, d := range all {
		_, detail := s.ask(fmt.Sprintf("/api/delivery?number=%d", d.Number), nil)
		_, curl := s.ask(fmt.Sprintf("/api/curl?number=%d", d.Number), nil)
		_, file := s.ask(fmt.Sprintf("/api/http?number=%d", d.Number), nil)
		_, explained := s.ask("/api/explain", map[string]any{"number": d.Number})
		if !strings.Contains(detail, wants[i]) {
			t.Errorf("want %s in %s", wants[i], detail)
		}
		for _, text := range []string{detail, curl, file, explained} {
			for _, secret := range []string{"credential-", gitlabToken, "another-token", githubSecret, signed.Header.Get("X-Hub-Signature-256")[7:]} {
				if strings.Contains(text, secret) {
					t.Errorf("delivery %d: %s is in %s", i, secret, text)
				}
			}
		}
		if i == 0 && (!strings.Contains(detail, "refs/heads/1") || !strings.Contains(detail, `"X-Hub-Signature-256","value":"(masked)"`)) {
			t.Errorf("%s", detail)
		}
	}
}

func TestBodiesAreHiddenByDefaultButKeptToExplain(t *testing.T) {
	s := start(t, config(capture))
	s.send(github("1"))
	s.send(forged("2"))
	for _, d := range s.watch(2) {
		if _, detail := s.ask(fmt.Sprintf("/api/delivery?number=%d", d.Number), nil); strings.Contains(detail, "refs/heads") {
			t.Errorf("the response contains a body: %s", detail)
		}
	}
}

func TestCaptureIsBounded(t *testing.T) {
	s := start(t, config("capture {\n last 3\n bodies 1KiB\n}"))
	for i := range 10 {
		s.send(github(fmt.Sprint(i)))
	}
	all := s.watch(3)
	if all[0].ID != "7" || all[2].ID != "9" {
		t.Errorf("captured %+v", all)
	}
	if status, text := s.ask(fmt.Sprintf("/api/delivery?number=%d", all[0].Number-1), nil); status != http.StatusNotFound || !strings.Contains(text, "it has expired") {
		t.Errorf("%d %s", status, text)
	}
}

func TestDeliveryDetails(t *testing.T) {
	s := start(t, config(capture))
	s.send(github("1"))
	s.send(github("1"))
	s.send(delivery.GitHub(githubSecret, "2", "push", []byte(`{"ref":"refs/heads/1"}`))) // the same content
	all := s.watch(3)
	if all[1].Outcome != "duplicate" || all[2].Outcome != "replayed" {
		t.Fatalf("%+v", all)
	}
	_, detail := s.ask(fmt.Sprintf("/api/delivery?number=%d", all[0].Number), nil)
	for _, want := range []string{`"outcome":"verified"`, `"app_status":202`, `"claim":"handled"`, `"name":"signature verified"`, `"name":"forwarded to the app"`, `"name":"remembered as handled"`, `"same":[{`, `"can_forget":true`} {
		if !strings.Contains(detail, want) {
			t.Errorf("want %s in %s", want, detail)
		}
	}
	if status, text := s.ask("/api/forget", map[string]any{"number": all[0].Number}); status != http.StatusOK || !strings.Contains(text, `"forgotten":true`) {
		t.Errorf("forget: %d %s", status, text)
	}
	if status := s.send(github("1")); status != http.StatusAccepted {
		t.Errorf("after it was forgotten: %d", status)
	}
}

// Without grace_period, Caddy waits indefinitely for open requests before it
// replaces a config or stops.
func TestStreamsEndWithTheirConfig(t *testing.T) {
	for _, end := range []struct {
		name  string
		paths []string
		do    func(s *server) error
	}{
		{"reload", []string{"http://INSPECTOR/api/stream", "http://ADMIN/verify_webhook/inspector/stream"}, func(s *server) error { return s.load(config(capture + "# other\n")) }},
		// caddy.Stop does not stop the admin API.
		{"stop", []string{"http://INSPECTOR/api/stream"}, func(*server) error { return caddy.Stop() }},
	} {
		t.Run(end.name, func(t *testing.T) {
			s := start(t, config(capture))
			var streams []*sse.Reader
			for _, path := range end.paths {
				streams = append(streams, s.stream(strings.NewReplacer("INSPECTOR", s.inspector, "ADMIN", s.admin).Replace(path)))
			}
			done := make(chan error, 1)
			go func() { done <- end.do(s) }()
			for i, events := range streams {
				for e, err := events.Next(); err == nil && e.Type != "bye"; e, err = events.Next() {
					t.Logf("stream %d: %s", i, e.Type)
				}
			}
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(within):
				t.Error("it is blocked by a stream")
			}
		})
	}
}

// stream opens a stream, and reads its first event.
func (s *server) stream(url string) *sse.Reader {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), within)
	s.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	events := sse.NewReader(resp.Body, 1<<20)
	if e, err := events.Next(); err != nil || e.Type != "settings" {
		s.t.Fatalf("the first event of the stream is %+v, %v", e, err)
	}
	return events
}

// TestPageIsSmall bounds the size of the embedded files.
func TestPageIsSmall(t *testing.T) {
	s := start(t, config(""))
	total := 0
	for _, path := range []string{"/", "/inspector.js", "/inspector.css", "/icon.svg"} {
		status, text := s.ask(path, nil)
		if status != http.StatusOK || strings.Contains(text, "https://") || strings.Contains(text, "innerHTML") || strings.Contains(text, "<script>") || strings.Contains(text, "style=") {
			t.Errorf("%s: %d, or it contains a forbidden text", path, status)
		}
		total += len(text)
	}
	if total > 60<<10 {
		t.Errorf("the page is %d bytes", total)
	}
}

// The bodies together are larger than total.
func TestMemoryIsBounded(t *testing.T) {
	s := start(t, config("capture {\n last 100\n total 1MiB\n bodies 64KiB\n}"))
	body := []byte(`{"text":"` + strings.Repeat("x", 30_000) + `"}`)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 300 {
		s.send(delivery.GitHub("another", "1", "push", body))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("memory grew by %d bytes", grown)
	}
}
