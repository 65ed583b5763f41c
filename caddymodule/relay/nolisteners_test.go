package relay

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
)

// Without webhook_listeners, every delivery to a relay gets 503.
func TestARelayWithoutListenersLogsAWarning(t *testing.T) {
	for site, want := range map[string]bool{
		"handle /a {\nverify_webhook github {env.RELAY_TEST_GITHUB}\nwebhook_relay dev\n}":                                                                 true,
		"handle /a {\nverify_webhook github {env.RELAY_TEST_GITHUB}\nwebhook_relay dev\n}\nhandle /b {\nwebhook_listeners other {env.RELAY_TEST_TOKEN}\n}": true,
		"handle /a {\nverify_webhook github {env.RELAY_TEST_GITHUB}\nwebhook_relay dev\n}\nhandle /b {\nwebhook_listeners dev {env.RELAY_TEST_TOKEN}\n}":   false,
		"handle /b {\nwebhook_listeners dev {env.RELAY_TEST_TOKEN}\n}\nhandle /c {\nverify_webhook github {env.RELAY_TEST_GITHUB}\nwebhook_relay dev\n}":   false,
	} {
		log := filepath.Join(t.TempDir(), "log")
		config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte("{\nadmin off\npersist_config off\nlog {\noutput file "+log+"\n}\nverify_webhook {\nstore memory "+rand.Text()+"\n}\n}\nhttp://"+process.Address(t)+" {\n"+site+"\n}"), nil)
		if err == nil {
			err = caddy.Load(config, true)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := caddy.Stop(); err != nil {
			t.Fatal(err)
		}
		said, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(said), "no machine can listen to a relay"); got != want {
			t.Errorf("%s: warned: %t", site, got)
		}
	}
}
