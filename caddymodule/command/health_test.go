package command

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestHealthReportsWhetherCaddyServesHTTP(t *testing.T) {
	for _, test := range []struct{ name, apps, flag, want, mistake string }{
		{"a server", `{"http":{"servers":{"s":{"listen":["127.0.0.1:0"]}}}}`, "", "healthy: HTTP servers: 1\n", ""},
		{"a server, as JSON", `{"http":{"servers":{"s":{"listen":["127.0.0.1:0"]}}}}`, "--json", "{\"servers\":1}\n", ""},
		{"an app without servers", `{"http":{}}`, "", "", "the running config has no HTTP server"},
		{"no such app", `{}`, "", "", "the running config has no HTTP server"},
	} {
		t.Run(test.name, func(t *testing.T) {
			admin := freeAddress(t)
			config := fmt.Sprintf(`{"admin":{"listen":%q,"config":{"persist":false}},"logging":{"logs":{"default":{"level":"PANIC"}}},"apps":%s}`, admin, test.apps)
			if err := caddy.Load([]byte(config), true); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = caddy.Stop() })
			out, _, err := run(t, healthCommand(), "", append(strings.Fields(test.flag), "--address", admin)...)
			if out != test.want || (err == nil) != (test.mistake == "") || (err != nil && !strings.Contains(err.Error(), test.mistake)) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	if _, _, err := run(t, healthCommand(), "", "--address", freeAddress(t)); err == nil {
		t.Error("healthy, but no Caddy is running")
	}
}
