package caddymodule

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/encode"                   // the directive encode
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/encode/gzip"              // the encoding gzip
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"               // the directive file_server
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi"     // the directive php_fastcgi
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/forwardauth" // the directive forward_auth
)

// entries returns the log entries of the app verify_webhook at a level.
func (c *realCaddy) entries(level string) (found []map[string]any) {
	c.t.Helper()
	for line := range strings.Lines(c.logged()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			c.t.Fatal(err)
		}
		if entry["logger"] == appID && entry["level"] == level {
			found = append(found, entry)
		}
	}
	return found
}

// In these sites GITHUB is replaced by an endpoint for GitHub, and STRIPE by one
// for Stripe.
func TestRoutesThatBreakAnEndpointLogAWarning(t *testing.T) {
	const never, both, nothing, around, removed = "never runs", "in one chain", "no handler behind", "does not check", "are removed"
	const again, retries, success = "cannot forward deliveries", "retries longer deliveries", "in handle_errors responds with its own status"
	const hidden = "never gets the deliveries"
	for name, test := range map[string]struct {
		site string
		want []string
	}{
		"a handle":                             {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle {\nrespond 404\n}", nil},
		"the whole site":                       {"GITHUB\nreverse_proxy APP", nil},
		"only a matcher":                       {"GITHUB_ON /github\nreverse_proxy /github APP", nil},
		"a route":                              {"route /github {\nGITHUB\nreverse_proxy APP\n}", nil},
		"two handles":                          {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle /stripe {\nSTRIPE\nreverse_proxy APP\n}\nrespond 404", nil},
		"two matchers":                         {"GITHUB_ON /github\nSTRIPE_ON /stripe\nreverse_proxy /github APP\nreverse_proxy /stripe APP", nil},
		"a response after the handle":          {"handle /github {\nGITHUB\n}\nreverse_proxy APP", []string{around}},
		"authentication in front":              {"handle /github {\nforward_auth 127.0.0.1:1 {\nuri /auth\n}\nGITHUB\nreverse_proxy APP\n}", nil},
		"forward_auth first in a route":        {"route /github {\nforward_auth 127.0.0.1:1 {\nuri /auth\n}\nGITHUB\nreverse_proxy APP\n}", nil},
		"another path in front":                {"route {\nreverse_proxy /api/* 127.0.0.1:1\nGITHUB_ON /github\nreverse_proxy /github APP\n}", nil},
		"static files behind":                  {"handle /github {\nGITHUB\nfile_server\n}", nil},
		"a status behind":                      {"handle /github {\nGITHUB\nrespond 202\n}", nil},
		"php behind":                           {"handle /github {\nGITHUB\nphp_fastcgi 127.0.0.1:1\n}", nil},
		"other paths stripped":                 {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle {\nrequest_header -Webhook-Verified-*\nreverse_proxy APP\n}", nil},
		"other paths stripped by the proxy":    {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle {\nreverse_proxy APP {\nheader_up -Webhook-Verified-*\n}\n}", nil},
		"other paths stripped name by name":    {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle {\nrequest_header -Webhook-Verified-Provider\nrequest_header -Webhook-Verified-Id\nrequest_header -Webhook-Verified-Event\nrequest_header -Webhook-Verified-Timestamp\nrequest_header -Webhook-Verified-Key\nrequest_header -Webhook-Verified-Unsigned\nrequest_header -Webhook-Verified-Outcome\nreverse_proxy APP\n}", nil},
		"all stripped in front":                {"request_header -Webhook-Verified-*\nhandle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle {\nreverse_proxy APP\n}", nil},
		"other paths go to another app":        {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle {\nreverse_proxy 127.0.0.1:1\n}", nil},
		"no handler behind":                    {"handle /github {\nGITHUB\n}\nhandle {\nreverse_proxy APP\n}", []string{nothing}},
		"handle_path":                          {"handle_path /hooks/* {\nGITHUB\nreverse_proxy APP\n}", nil},
		"handle_path and the rest of the path": {"handle_path /hooks/* {\nGITHUB\nreverse_proxy /github APP\n}", nil},
		"handle_path removes the prefix":       {"handle_path /hooks/* {\nGITHUB\nreverse_proxy /hooks/github APP\n}", []string{nothing}},
		"uri strip_prefix removes it":          {"route /hooks/* {\nuri strip_prefix /hooks\nGITHUB\nreverse_proxy /hooks/* APP\n}", []string{nothing}},
		"an invoked route":                     {"handle /github {\nGITHUB\ninvoke app\n}", nil},
		"another exact path":                   {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle /healthz {\nreverse_proxy APP\n}\nrespond 404", nil},
		"another folder":                       {"handle /hooks/github {\nGITHUB\nreverse_proxy APP\n}\nhandle /api/* {\nreverse_proxy APP\n}\nrespond 404", nil},
		"forward_auth to the app":              {"handle /github {\nforward_auth APP {\nuri /auth\n}\nGITHUB\nreverse_proxy APP\n}", nil},
		"the parent folder":                    {"handle /hooks/github {\nGITHUB\nreverse_proxy APP\n}\nhandle /hooks/* {\nreverse_proxy APP\n}\nrespond 404", []string{around}},
		"a subfolder":                          {"handle /hooks {\nGITHUB\nreverse_proxy APP\n}\nhandle /hooks/* {\nreverse_proxy APP\n}\nrespond 404", []string{around}},
		"a script":                             {"handle /hooks/github {\nGITHUB\nreverse_proxy APP\n}\nhandle /index.php* {\nreverse_proxy APP\n}\nrespond 404", []string{around}},
		"all paths except the endpoint's":      {"handle /github {\nGITHUB\nreverse_proxy APP\n}\n@rest not path /github\nhandle @rest {\nreverse_proxy APP\n}", []string{around}},
		"another method":                       {"@post {\npath /github\nmethod POST\n}\nhandle @post {\nGITHUB\nreverse_proxy APP\n}\nhandle /github {\nreverse_proxy APP\n}\nrespond 404", []string{around}},
		"no other handler":                     {"GITHUB", []string{nothing}},
		"only another path behind":             {"handle /github {\nGITHUB\nreverse_proxy /other APP\n}", []string{nothing}},
		"only another folder behind":           {"handle /github {\nGITHUB\nhandle /api/* {\nreverse_proxy APP\n}\n}", []string{nothing}},
		"the same path behind":                 {"handle /github* {\nGITHUB\nreverse_proxy /github/a* APP\n}", nil},
		"another path behind a rewrite":        {"route /github {\nGITHUB\nrewrite * /other\nreverse_proxy /other APP\n}", nil},
		"another path, rewritten before":       {"route /github {\nrewrite * /other\nGITHUB\nreverse_proxy /other APP\n}", nil},
		"a response that hides the app":        {"handle /github {\nGITHUB\nrespond 200\nreverse_proxy APP\n}", []string{hidden}},
		"a response on a path before the app":  {"handle /github* {\nGITHUB\nrespond /github/health 200\nreverse_proxy APP\n}", nil},
		"a response in another handle":         {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle /b {\nrespond 200\n}\nhandle {\nreverse_proxy 127.0.0.1:1\n}", nil},
		"errors answered with their status":    {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle_errors {\nrespond \"sorry\"\n}", nil},
		"errors of a site without webhooks":    {"respond 404\nhandle_errors {\nrespond \"sorry\" 200\n}", nil},
		"only headers behind":                  {"handle /github {\nGITHUB\nencode gzip\nrequest_header X-A b\nrequest_body {\nmax_size 1MB\n}\n}", []string{nothing}},
		"an empty handle behind":               {"handle /github {\nGITHUB\nhandle /never {\nvars a b\n}\n}", []string{nothing}},
		"two providers":                        {"handle /in {\nGITHUB\nSTRIPE\nreverse_proxy APP\n}", []string{both}},
		"two providers, one for all":           {"GITHUB\nhandle /stripe {\nSTRIPE\nreverse_proxy APP\n}\nreverse_proxy APP", []string{both}},
		"two providers, one path":              {"GITHUB_ON /in\nSTRIPE_ON /in\nreverse_proxy /in APP", []string{both}},
		"two providers, nested paths":          {"route {\nGITHUB_ON /in/*\nSTRIPE_ON /in/stripe\nreverse_proxy /in/* APP\n}", []string{both}},
		"a proxy in front":                     {"route {\nreverse_proxy APP\nGITHUB\n}", []string{never}},
		"a proxy in front, on a path":          {"route /github {\nreverse_proxy APP\nGITHUB\n}", []string{never}},
		"a proxy in front, same matcher":       {"route {\nreverse_proxy /github APP\nGITHUB_ON /github\nrespond 404\n}", []string{never}},
		"a proxy in front, wider matcher":      {"route {\nreverse_proxy /hooks/* APP\nGITHUB_ON /hooks/github\nrespond 404\n}", []string{never}},
		"a response in front":                  {"route {\nrespond 200\nGITHUB\nreverse_proxy APP\n}", []string{never}},
		"a redirect in front":                  {"route {\nredir https://example.com\nGITHUB\nreverse_proxy APP\n}", []string{never}},
		"an error in front":                    {"route {\nerror 403\nGITHUB\nreverse_proxy APP\n}", []string{never}},
		"a route that ends in front":           {"route {\nhandle {\nrespond 200\n}\nGITHUB\nreverse_proxy APP\n}", []string{never}},
		"other paths not stripped":             {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle {\nreverse_proxy APP\n}", []string{around}},
		"a matcher, but the app for all paths": {"GITHUB_ON /github\nreverse_proxy APP", []string{around}},
		"other methods not stripped":           {"@post method POST\nhandle @post {\nGITHUB\nreverse_proxy APP\n}\nreverse_proxy APP", []string{around}},
		"only one header stripped":             {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle {\nrequest_header -Webhook-Verified-Key\nreverse_proxy APP\n}", []string{around}},
		"errors go to the app":                 {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle_errors {\nreverse_proxy APP\n}", []string{around, success}},
		"error pages of another app":           {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle_errors {\nreverse_proxy 127.0.0.1:1\n}", []string{success}},
		"error pages for 5xx":                  {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle_errors 5xx {\nreverse_proxy 127.0.0.1:1\n}", []string{success}},
		"error pages for 404":                  {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle_errors 404 {\nreverse_proxy 127.0.0.1:1\n}", nil},
		"error pages for other paths":          {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle_errors {\nhandle /pages/* {\nreverse_proxy 127.0.0.1:1\n}\n}", nil},
		"error pages with their status":        {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle_errors {\nreverse_proxy 127.0.0.1:1 {\nreplace_status {err.status_code}\n}\n}", nil},
		"an error route that responds":         {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle_errors {\nrespond \"sorry\"\n}", nil},
		"an error route that responds 200":     {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle_errors {\nrespond \"sorry\" 200\n}", []string{success}},
		"error pages as files":                 {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle_errors {\nrewrite * /error.html\nfile_server\n}", nil},
		"error pages without an endpoint":      {"reverse_proxy APP\nhandle_errors {\nreverse_proxy 127.0.0.1:1\n}", nil},
		"stripped after the endpoint":          {"handle /github {\nGITHUB\nrequest_header -Webhook-Verified-*\nreverse_proxy APP\n}", []string{removed}},
		"stripped by the proxy after it":       {"handle /github {\nGITHUB\nreverse_proxy APP {\nheader_up -Webhook-Verified-*\n}\n}", []string{removed}},
		"a proxy in handle_response":           {"handle /github {\nGITHUB\nreverse_proxy 127.0.0.1:1 {\nhandle_response {\nreverse_proxy APP\n}\n}\n}", []string{again}},
		"php in handle_response":               {"handle /github {\nGITHUB\nreverse_proxy 127.0.0.1:1 {\n@none status 404\nhandle_response @none {\nphp_fastcgi 127.0.0.1:2\n}\n}\n}", []string{again}},
		"invoked in handle_response":           {"handle /github {\nGITHUB\nreverse_proxy 127.0.0.1:1 {\nhandle_response {\ninvoke app\n}\n}\n}", []string{again}},
		"a proxy in intercept":                 {"route /github {\nGITHUB\nintercept {\nhandle_response {\nreverse_proxy 127.0.0.1:1\n}\n}\nreverse_proxy APP\n}", []string{again}},
		"a proxy in intercept in front":        {"route /github {\nintercept {\nhandle_response {\nreverse_proxy 127.0.0.1:1\n}\n}\nGITHUB\nreverse_proxy APP\n}", nil},
		"a response in handle_response":        {"handle /github {\nGITHUB\nreverse_proxy APP {\nhandle_response {\nrespond 202\n}\n}\n}", nil},
		"a GET in handle_response":             {"handle /github {\nGITHUB\nreverse_proxy APP {\nhandle_response {\nreverse_proxy 127.0.0.1:1 {\nmethod GET\n}\n}\n}\n}", nil},
		"forward_auth behind":                  {"route /github {\nGITHUB\nforward_auth 127.0.0.1:1 {\nuri /auth\n}\nreverse_proxy APP\n}", nil},
		"handle_response without an endpoint":  {"handle /github {\nGITHUB\nreverse_proxy APP\n}\nhandle /other {\nreverse_proxy 127.0.0.1:1 {\nhandle_response {\nreverse_proxy 127.0.0.1:2\n}\n}\n}", nil},
		"php with retries":                     {"handle /github {\nGITHUB\nphp_fastcgi 127.0.0.1:1 127.0.0.1:2 {\nlb_retries 2\nlb_retry_match {\nmethod POST\n}\n}\n}", []string{retries}},
		"php with retries and a small buffer":  {"handle /github {\nGITHUB\nphp_fastcgi 127.0.0.1:1 {\nrequest_buffers 1MiB\nlb_try_duration 2s\nlb_retry_match {\nmethod POST\n}\n}\n}", []string{retries}},
		"php with retries and a buffer":        {"handle /github {\nGITHUB\nphp_fastcgi 127.0.0.1:1 {\nrequest_buffers 26MiB\nlb_retries 2\nlb_retry_match {\nmethod POST\n}\n}\n}", nil},
		"php with retries of connections":      {"handle /github {\nGITHUB\nphp_fastcgi 127.0.0.1:1 {\nlb_retries 2\n}\n}", nil},
		"HTTP with retries":                    {"handle /github {\nGITHUB\nreverse_proxy APP {\nlb_retries 2\nlb_retry_match {\nmethod POST\n}\n}\n}", nil},
		"stripped with the same matcher":       {"GITHUB_ON /github\nrequest_header -Webhook-Verified-*\nreverse_proxy APP", []string{removed}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("VERIFY_WEBHOOK_TEST_OTHER", "another secret of this test")
			site := strings.NewReplacer(
				"GITHUB_ON", "verify_webhook MATCHER github {env.VERIFY_WEBHOOK_TEST_SECRET}", "GITHUB", "verify_webhook github {env.VERIFY_WEBHOOK_TEST_SECRET}",
				"STRIPE_ON", "verify_webhook MATCHER stripe {env.VERIFY_WEBHOOK_TEST_OTHER}", "STRIPE", "verify_webhook stripe {env.VERIFY_WEBHOOK_TEST_OTHER}",
			).Replace(test.site)
			for line := range strings.Lines(site) { // the matcher comes first
				if before, matcher, ok := strings.Cut(strings.TrimSpace(line), "MATCHER "); ok {
					words := strings.Fields(matcher)
					site = strings.Replace(site, strings.TrimSpace(line), before+words[2]+" "+words[0]+" "+words[1], 1)
				}
			}
			global := "verify_webhook {\nstore memory STORE\n}"
			if strings.Contains(site, "invoke") {
				site += "\n}\n&(app) {\nreverse_proxy APP"
			}
			c := startCaddy(t, global, site)
			var got []string
			for _, entry := range c.entries("warn") {
				got = append(got, entry["msg"].(string))
			}
			if len(got) != len(test.want) {
				t.Fatalf("got warnings %q, want %q\n%s", got, test.want, site)
			}
			for i, want := range test.want {
				if !slices.ContainsFunc(got, func(text string) bool { return strings.Contains(text, want) }) {
					t.Errorf("got %q, want %q", got, test.want[i])
				}
			}
		})
	}
}

func TestStartLogsTheEndpoints(t *testing.T) {
	t.Setenv("VERIFY_WEBHOOK_TEST_OTHER", "another secret of this test")
	c := startCaddy(t, "verify_webhook {\nstore memory STORE\n}", `
	handle /github {
		verify_webhook github {env.VERIFY_WEBHOOK_TEST_SECRET}
		reverse_proxy APP
	}
	handle /billing {
		verify_webhook stripe {env.VERIFY_WEBHOOK_TEST_OTHER} {
			namespace billing
			mode monitor
		}
		reverse_proxy APP
	}
	handle {
		respond 404
	}`)
	entries := c.entries("info")
	if len(entries) != 1 {
		t.Fatalf("got %v", entries)
	}
	names, err := json.Marshal(entries[0]["names"])
	if err != nil {
		t.Fatal(err)
	}
	if e := entries[0]; e["endpoints"] != 2.0 || string(names) != `["billing (mode monitor)","github"]` || len(e["stores"].([]any)) != 1 {
		t.Errorf("got %v", e)
	}
	c.load("verify_webhook {\nstore memory STORE\n}", "respond 404")
	if again := c.entries("info"); len(again) != 1 {
		t.Errorf("a config without endpoints logs it too: %v", again)
	}
}
