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
		"webhook_sign without verify_webhook":     {"handle /in {\nwebhook_sign whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nreverse_proxy APP\n}", "webhook_sign has no verify_webhook before it"},
		"webhook_relay without verify_webhook":    {"handle /in {\nwebhook_relay dev\n}", "webhook_relay has no verify_webhook before it"},
		"webhook_sign behind the app":             {"route /in {\nverify_webhook github {env." + secretVariable + "}\nreverse_proxy APP\nwebhook_sign whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n}", "webhook_sign never gets the deliveries"},
		"webhook_sign in the queue":               {strings.Replace(inHandle, "reverse_proxy APP", "webhook_sign whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nreverse_proxy APP", 1), ""},
		"listeners behind verify_webhook":         {"handle /in {\nverify_webhook github {env." + secretVariable + "}\nwebhook_listeners dev 0123456789abcdef0123456789abcdef\n}", "webhook_listeners is behind verify_webhook github"},
		"listeners in another handle":             {inHandle + "\nhandle /relay {\nwebhook_listeners dev 0123456789abcdef0123456789abcdef\n}", ""},
		"a response before the queue":             {strings.NewReplacer("handle", "route", "webhook_queue", "respond 200\nwebhook_queue").Replace(inHandle), "webhook_queue never gets the deliveries of verify_webhook github"},
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

func TestUnlikelyOptionsLogAWarning(t *testing.T) {
	for options, want := range map[string]string{
		"": "", "handled 2xx 410\nstop_on 4xx\ngive_up 1h": "",
		"handled 2xx 5xx": "handled 5xx: a delivery that fails with it counts as delivered",
		"handled 200 404": "",
		"handled 503":     "handled 503",
		"stop_on 5xx":     "stop_on 5xx: while the app is down",
		"stop_on 502":     "stop_on 502",
		"give_up 1s":      "give_up is 1s",
	} {
		t.Run(options, func(t *testing.T) {
			s := start(t, usualSite("\n"+options))
			var warned []string
			for _, line := range s.logged("") {
				if line["level"] == "warn" && line["logger"] == "http.handlers.webhook_queue" {
					warned = append(warned, line["msg"].(string))
				}
			}
			if text := strings.Join(warned, "\n"); (want == "") != (text == "") || !strings.Contains(text, want) {
				t.Errorf("got %q, want %q", text, want)
			}
		})
	}
}
