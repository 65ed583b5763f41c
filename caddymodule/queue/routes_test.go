package queue

import (
	"strings"
	"testing"
)

// The gate's check of the routes supports webhook_queue.
func TestRoutesThatBreakAQueueLogAWarning(t *testing.T) {
	const open = "\nhandle /open {\nreverse_proxy APP\n}"
	inHandle := "handle /in {\n" + usualSite("") + "\n}"
	for name, test := range map[string]struct{ site, want string }{
		"the usual":                               {inHandle, ""},
		"no verify_webhook":                       {"webhook_queue orders {\ndeliver {\nreverse_proxy APP\n}\n}", "webhook_queue orders has no verify_webhook before it"},
		"another route to the app":                {"handle /open* {\nreverse_proxy APP\n}\nhandle {\n" + usualSite("") + "\n}", "requests that verify_webhook does not check also reach"},
		"another app for other paths":             {inHandle + strings.ReplaceAll(open, "APP", "127.0.0.1:1"), ""},
		"identity headers removed before the app": {strings.Replace(inHandle, "reverse_proxy APP", "reverse_proxy APP {\nheader_up -Webhook-Verified-*\n}", 1), "are removed behind it"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, test.site)
			var warned []string
			for _, line := range s.logged("") {
				if line["level"] == "warn" && line["logger"] == "verify_webhook" {
					warned = append(warned, line["msg"].(string))
				}
			}
			text := strings.Join(warned, "\n")
			if (test.want == "") != (text == "") || !strings.Contains(text, test.want) {
				t.Errorf("got the warning %q, want %q", text, test.want)
			}
		})
	}
}
