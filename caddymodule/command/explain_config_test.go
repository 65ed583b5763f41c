package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

const acmeOptions = `{"algorithm":"hmac-sha256","signature":{"from":"header","name":"X-Acme-Signature"},"signed":"{timestamp}.{body}","timestamp":{"from":"header","name":"X-Acme-Time"}}`

const acmeCaddyfile = `
:8080 {
	handle /webhooks/acme {
		verify_webhook custom {
			secret {env.ACME_SECRET}
			algorithm hmac-sha256
			signature header X-Acme-Signature
			signed "{timestamp}.{body}"
			timestamp header X-Acme-Time
		}
		respond ok
	}
	handle /webhooks/other* {
		verify_webhook custom {env.OTHER_SECRET} {
			algorithm hmac-sha256
			signature header X-Other
		}
		respond ok
	}
	handle /pusher {
		verify_webhook pusher {
			secret {env.PUSHER_SECRET} key1
		}
		respond ok
	}
}
`

// recorded signs a delivery and records it in a file.
func recorded(t *testing.T, args ...string) string {
	t.Helper()
	out, _, err := run(t, signCommand(), "", args...)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "delivery.http")
	if err := os.WriteFile(path, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The options of `custom` need not be repeated as flags.
func TestExplainUsesTheEndpointOfAConfig(t *testing.T) {
	t.Setenv("ACME_SECRET", sendSecret)
	t.Setenv("PUSHER_SECRET", sendSecret)
	caddyfile := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(caddyfile, []byte(acmeCaddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	record := recorded(t, "custom", "--options", acmeOptions, "--secret", sendSecret, "--url", "https://hooks.example.com/webhooks/acme")
	pusher := recorded(t, "pusher", "--secret", sendSecret, "--url", "https://hooks.example.com/pusher")
	for _, c := range []struct {
		name string
		args []string
		want string // in output or error
		ok   bool
	}{
		{"by its path in the record", []string{"custom", record, "--config", caddyfile}, "accepted as it is", true},
		{"by name", []string{"custom", record, "--config", caddyfile, "--endpoint", "/webhooks/acme"}, "accepted as it is", true},
		{"with another secret", []string{"custom", record, "--config", caddyfile, "--secret", "another", "--other", sendSecret}, "other secret 1 has signed it", false},
		{"a secret that is not set here", []string{"custom", record, "--config", caddyfile, "--endpoint", "/webhooks/other"}, "secret 1 of the endpoint /webhooks/other* cannot be read here", false},
		{"a misspelled endpoint", []string{"custom", record, "--config", caddyfile, "--endpoint", "/webhooks/acm"}, "did you mean /webhooks/acme?", false},
		{"another provider", []string{"github", record, "--config", caddyfile}, "has no endpoint of github; available: ", false},
		{"the label of a secret", []string{"pusher", pusher, "--config", caddyfile}, "no secret has that label", false},
		{"no such file", []string{"custom", record, "--config", caddyfile + "x"}, "reading the config", false},
	} {
		out, _, err := run(t, explainCommand(), "", c.args...)
		if err != nil {
			out += err.Error()
		}
		if (err == nil) != c.ok || !strings.Contains(out, c.want) || strings.Contains(out, sendSecret) {
			t.Errorf("%s: %v\n%s", c.name, err, out)
		}
	}
}

func TestExplainUsesTheEndpointOfTheRunningCaddy(t *testing.T) {
	t.Setenv("ACME_SECRET", sendSecret)
	record := recorded(t, "custom", "--options", acmeOptions, "--secret", sendSecret, "--url", "https://hooks.example.com/webhooks/acme")
	admin := freeAddress(t)
	out, _, err := run(t, explainCommand(), "", "custom", record, "--address", admin)
	if err == nil || !strings.Contains(err.Error(), "--config with the file") {
		t.Errorf("no running instance: %v\n%s", err, out)
	}
	config := fmt.Sprintf(`{"admin":{"listen":%q,"config":{"persist":false}},"logging":{"logs":{"default":{"level":"PANIC"}}},"apps":{
		"verify_webhook":{"store":{"type":"memory","name":"explain"}},
		"http":{"servers":{"s":{"listen":[%q],"automatic_https":{"disable":true},"routes":[{"match":[{"path":["/webhooks/*"]}],"handle":[
			{"handler":"verify_webhook","provider":{"name":"custom","secrets":[{"secret":"{env.ACME_SECRET}"}],%s},
			{"handler":"static_response","body":"reached"}]}]}}}}}`, admin, freeAddress(t), acmeOptions[1:])
	if err := caddy.Load([]byte(config), true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	if out, _, err := run(t, explainCommand(), "", "custom", record, "--address", admin); err != nil || !strings.Contains(out, "accepted as it is") {
		t.Errorf("%v\n%s", err, out)
	}
	out, _, err = run(t, explainCommand(), "", "custom", record, "--address", admin, "--secret", `"`+sendSecret+`"`, "--json")
	if !errors.Is(err, errRefused) || !strings.Contains(out, `"kind":"secret_quoted"`) || !strings.Contains(out, `"accepted":false`) {
		t.Errorf("%v\n%s", err, out)
	}
}
