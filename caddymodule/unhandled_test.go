package caddymodule

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
)

// A delivery that the app has not received is never remembered as handled.
func TestInvariant14UnhandledDeliveryIsNotRemembered(t *testing.T) {
	endpoint := func(path string) string {
		return `verify_webhook ` + path + ` github {env.` + secretVariable + `} {
			replay {
				store memory STORE
			}
		}`
	}
	for _, test := range []struct{ name, site string }{
		{"no next handler", endpoint("")},
		{"a matcher that does not match", endpoint("") + `
			reverse_proxy /other APP`},
		{"handle_path strips what the matcher expects", `handle_path /hooks* {
			` + endpoint("") + `
			reverse_proxy /hooks/* APP
		}`},
		{"a route that only changes headers", `route {
			` + endpoint("") + `
			header X-Seen yes
		}`},
		{"a subroute without a matching handler", `handle /hooks* {
			` + endpoint("") + `
			handle /hooks/other {
				reverse_proxy APP
			}
		}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := startCaddy(t, "", test.site)
			client := client(t, "HTTP/1.1")
			send := func() answer {
				r, err := http.NewRequest(http.MethodPost, "http://"+c.addr+"/hooks/github", strings.NewReader(content+"1"))
				if err != nil {
					t.Fatal(err)
				}
				for i, h := 0, githubHeaders("1", content+"1"); i < len(h); i += 2 {
					r.Header.Set(h[i], h[i+1])
				}
				return c.do(client, r)
			}
			for range 2 {
				if got := send(); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
					t.Errorf("status %d, Retry-After %q", got.status, got.header.Get("Retry-After"))
				}
			}
			if log := c.logged(); !strings.Contains(log, `"outcome":"unhandled"`) || !strings.Contains(log, "no handler behind verify_webhook responded") {
				t.Errorf("the log does not report it: %s", log)
			}
			// The same delivery is forwarded when there is a handler. A reload can
			// close a connection; the provider then retries.
			c.load("", siteOf("github", ""))
			if status := c.insist(client, "1"); status != 200 || len(c.app.arrivals()) != 1 {
				t.Errorf("with an app: status %d", status)
			}
		})
	}
}

func TestResponseOfAHandlerIsNotUnhandled(t *testing.T) {
	for name, next := range map[string]caddyhttp.HandlerFunc{
		"a status": func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(204)
			return nil
		},
		"a body": func(w http.ResponseWriter, _ *http.Request) error {
			_, err := w.Write([]byte("ok"))
			return err
		},
		"an empty response": func(http.ResponseWriter, *http.Request) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			b := trial(t, config("github", ""))
			w := &quiet{header: make(http.Header)}
			r := caddyhttp.PrepareRequest(dryrun.AsReceived(github("1", content)), caddy.NewReplacer(), w, nil)
			// Set by an earlier handler chain, for example before an error route.
			caddyhttp.SetVar(r.Context(), unhandledVar, true)
			if err := b.serve(w, r, next); err != nil {
				t.Fatal(err)
			}
			b.expect(t, github("1", content), Duplicate, 200)
		})
	}
}
