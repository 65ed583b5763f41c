package caddymodule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// validateText adapts and validates a Caddyfile, as `caddy validate` does.
func validateText(caddyfile string) error {
	config, err := adapt(caddyfile)
	if err != nil {
		return err
	}
	return validateConfig(config)
}

func validateConfig(config []byte) error {
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &c); err != nil {
		return err
	}
	return caddy.Validate(&c)
}

const errorSite = `{
	admin off
	auto_https off
	log default {
		level PANIC
	}
}
http://127.0.0.1:0 {
	handle /webhooks/one {
		%s
		respond ok
	}
}
`

// The directive is on line 10 of the Caddyfile. Errors of the Caddyfile parser
// have Caddy's own form.
func TestConfigErrorsStartWithLineAndPath(t *testing.T) {
	t.Setenv("GOOD", "It's a Secret to Everybody")
	const after, reading = "Caddyfile:10: verify_webhook ", ""
	for _, test := range []struct{ name, directive, begins, want string }{
		{"an unset variable of the Caddyfile", "verify_webhook github {$NO_SUCH_VARIABLE}", after + "github at /webhooks/one: ", "if you wrote {$NAME}, the variable is not set"},
		{"an unset variable", "verify_webhook github {env.NO_SUCH_VARIABLE}", after + "github at /webhooks/one: secret 1 ({env.NO_SUCH_VARIABLE})", "is unset, empty or unreadable"},
		{"a misspelled placeholder", "verify_webhook github {env:GOOD}", after + "github at /webhooks/one: ", "here {env.GOOD}"},
		{"a misspelled file placeholder", "verify_webhook github {file:/run/secret}", after + "github at /webhooks/one: ", "here {file./run/secret}"},
		{"a token instead of a key", "verify_webhook discord deadbeefdeadbeef", after + "discord at /webhooks/one: ", "has 8 bytes, but an Ed25519 key has 32"},
		{"an option of another provider", "verify_webhook github {env.GOOD} {\n webhook_id W\n}", reading, "webhook_id"},
		{"a status that is an error", "verify_webhook github {env.GOOD} {\n replay {\n on_duplicate 500\n }\n}", reading, "on_duplicate 500: the provider would retry without end"},
		{"a replay status that is an error", "verify_webhook github {env.GOOD} {\n replay {\n on_replay 503\n }\n}", reading, "on_replay 503: the provider would retry without end"},
		{"a window that is too short", "verify_webhook stripe {env.GOOD} {\n replay {\n window 2m\n }\n}", after + "stripe at /webhooks/one: window", "write window"},
	} {
		err := validateText(fmt.Sprintf(errorSite, test.directive))
		if err == nil {
			t.Errorf("%s: accepted", test.name)
			continue
		}
		// Caddy's prefixes come first, then our error without another prefix.
		_, own, found := strings.Cut(err.Error(), "provision http.handlers.verify_webhook: ")
		if !found {
			_, own, found = strings.Cut(err.Error(), "verify_webhook: invalid configuration: ")
		}
		if !found {
			own = err.Error()
		}
		if !strings.HasPrefix(own, test.begins) || !strings.Contains(own, test.want) || strings.Contains(own, "loading module") {
			t.Errorf("%s: %v", test.name, own)
		}
	}
}

func TestErrorsInJSONSuggestNames(t *testing.T) {
	const config = `{"admin":{"disabled":true},"logging":{"logs":{"default":{"level":"PANIC"}}},"apps":{"http":{"servers":{"s":{"listen":["127.0.0.1:0"],"automatic_https":{"disable":true},"routes":[
		{"match":[{"path":["/webhooks/one"]}],"handle":[{"handler":"verify_webhook",%s},{"handler":"static_response"}]}]}}}}}`
	for _, test := range []struct{ members, want string }{
		{`"provider":{"name":"gihtub","secrets":[{"secret":"a secret of some length"}]}`, "verify_webhook gihtub at /webhooks/one: unrecognized provider: gihtub, did you mean github?"},
		{`"provider":{"name":"github","secretz":[{"secret":"a secret of some length"}]}`, "verify_webhook github at /webhooks/one: unknown field \"secretz\"; did you mean secrets?"},
		{`"provider":{"name":"github","secrets":[{"sekret":"a secret of some length"}]}`, "unknown field \"sekret\"; did you mean secret?"},
		{`"provider":{"name":"custom","signatur":{}}`, "unknown field \"signatur\"; did you mean signature?"},
		{`"provider":{"name":"github","secrets":[{"secret":"a secret of some length"}],"webhook_id":"W"}`, "webhook_id is not an option of this provider: remove it; its options are secret"},
		{`"provider":{"name":"github","secrets":[{"secret":"a secret of some length"}]},"max_bodi":1`, "unknown field \"max_bodi\"; did you mean max_body?"},
		{`"provider":{"name":"github","secrets":[{"secret":"a secret of some length"}]},"replay":{"on_duplicat":200}`, "unknown field \"on_duplicat\"; did you mean on_duplicate?"},
		{`"provider":{"name":"github","secrets":[{"secret":"a secret of some length"}]},"replay":{"on_duplicate":500}`, "at /webhooks/one: on_duplicate 500: the provider would retry"},
		{`"provider":{"name":"github","secrets":[{"secret":"a secret of some length"}]},"replay":{"store":{"type":"memori"}}`, "unrecognized store: memori, did you mean memory?"},
	} {
		if err := validateConfig(fmt.Appendf(nil, config, test.members)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.members, err)
		}
	}
}
