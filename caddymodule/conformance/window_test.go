package conformance_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/internal/nolog"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// If a time is signed, a copy is refused as late before the window has passed.
func TestCopiesExpireBeforeTheirWindow(t *testing.T) {
	t.Parallel()
	tested := 0
	for _, p := range provider.Presets() {
		for _, v := range accepted(t, p.Name) {
			first := send(t, open(t, v), v.Request)
			unsigned := strings.Split(first.ReachedHeader.Get("Webhook-Verified-Unsigned"), ", ")
			if first.ReachedHeader.Get("Webhook-Verified-Timestamp") == "" || slices.Contains(unsigned, "timestamp") {
				continue // copies are possible after the window, as documented
			}
			tested++
			late := v
			window := max(p.Window, 24*time.Hour)
			if tolerance := toleranceOf(t, v); tolerance > 0 {
				window = max(window, 2*tolerance) // as the handler requires
			}
			late.Now += int64(window / time.Second)
			if send(t, open(t, late), v.Request).Reached {
				t.Errorf("%s %s: accepted after the window of %s", p.Name, v.Name, p.Window)
			}
		}
	}
	if tested < 100 {
		t.Errorf("only %d deliveries have a signed time", tested)
	}
}

// toleranceOf returns the tolerance that a vector sets, or 0.
func toleranceOf(t *testing.T, v conformance.Vector) time.Duration {
	t.Helper()
	var p struct {
		Tolerance caddy.Duration `json:"tolerance"`
	}
	if err := json.Unmarshal(v.Provider, &p); err != nil {
		t.Fatal(err)
	}
	return time.Duration(p.Tolerance)
}

// A copy is valid until the tolerance of its timestamp or the expiry of its token.
func TestWindowShorterThanTheValidityOfACopyIsAConfigError(t *testing.T) {
	t.Parallel()
	const google = `"audience":"a","service_account":"b@c"`
	for _, c := range []struct {
		provider, options, window string
		want                      bool
	}{
		{"google-pubsub", google, "1h", false},
		{"google-pubsub", google, "24h", false},
		{"google-pubsub", google, "25h", true},
		{"google-pubsub", google + `,"tolerance":"1h"`, "24h30m", false},
		{"google-play-rtdn", google, "1h", false},
		{"monday", `"secrets":[{"secret":"s"}]`, "10m", false},
		{"monday", `"secrets":[{"secret":"s"}]`, "24h", true},
		{"messagebird", `"secrets":[{"secret":"s"}]`, "2m", false},
		{"atlassian-connect", `"secrets":[{"secret":"s"}],"issuers":["i"]`, "6m", false},
		{"vonage", `"secrets":[{"secret":"s"}]`, "9m", false},
		{"vonage", `"secrets":[{"secret":"s"}]`, "10m", true},
		{"plaid", `"client_id":"c","client_secret":"s"`, "9m", false},
		{"apple-app-store", `"bundle_id":"b"`, "7d", false},
		{"apple-app-store", `"bundle_id":"b"`, "14d", true},
		{"apple-app-store", `"bundle_id":"b","tolerance":"1h"`, "2h", true},
		{"apple-app-store", `"bundle_id":"b","tolerance":"30d"`, "", true},
		{"aws-sns", `"topics":["arn:aws:sns:eu-west-1:123456789012:t"]`, "1h", false},
		{"aws-sns", `"topics":["arn:aws:sns:eu-west-1:123456789012:t"],"tolerance":"1m"`, "2m", false},
		{"paypal", `"webhook_id":"w"`, "9m", false},
		{"rfc9421", `"secrets":[{"secret":"hmac-sha256:a2V5","label":"k"}]`, "9m", false},
		{"stripe", `"secrets":[{"secret":"s"}]`, "9m", false},
		{"stripe", `"secrets":[{"secret":"s"}]`, "10m", true},
		{"github", `"secrets":[{"secret":"s"}]`, "1s", true},
	} {
		config := fmt.Sprintf(`{"provider":{"name":%q,%s},"replay":{"window":%q}}`, c.provider, c.options, c.window)
		if c.window == "" {
			config = fmt.Sprintf(`{"provider":{"name":%q,%s}}`, c.provider, c.options)
		}
		trial, err := dryrun.Open(nolog.Context(t.Context()), json.RawMessage(config), nil)
		if err == nil {
			trial.Close()
		}
		if (err == nil) != c.want || err != nil && !strings.Contains(err.Error(), "window") {
			t.Errorf("%s %s window %s: %v", c.provider, c.options, c.window, err)
		}
	}
}
