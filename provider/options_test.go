package provider

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestResolveReplacesPlaceholdersThatAreSet(t *testing.T) {
	t.Setenv("PROVIDER_TEST_SET", "value")
	t.Setenv("PROVIDER_TEST_EMPTY", "")
	for text, want := range map[string]string{
		"plain":                       "plain",
		"{env.PROVIDER_TEST_SET}":     "value",
		"a {env.PROVIDER_TEST_SET} b": "a value b",
	} {
		if got, err := Resolve(text); err != nil || got != want {
			t.Errorf("%s: got %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"{env.PROVIDER_TEST_EMPTY}", "{env.PROVIDER_TEST_UNSET}", "{file./no/such}", "{http.request.host}", "${PROVIDER_TEST_SET}", "{$PROVIDER_TEST_SET}"} {
		if got, err := Resolve(text); err == nil {
			t.Errorf("%s: got %q, want an error", text, got)
		}
	}
}

// TestResolveSecretsAppliesTheChecksOfPresets resolves secrets for a provider that
// is not a preset.
func TestResolveSecretsAppliesTheChecksOfPresets(t *testing.T) {
	t.Setenv("PROVIDER_TEST_SECRET", "a secret of the provider")
	for what, c := range map[string]struct {
		options    Options
		asymmetric bool
		want       string // a part of the error
		warnings   int
	}{
		"a placeholder":               {Options{Secrets: []Secret{{Secret: "{env.PROVIDER_TEST_SECRET}"}}}, false, "", 0},
		"a plaintext secret":          {Options{Secrets: []Secret{{Secret: "a plaintext secret"}}}, false, "", 1},
		"a plaintext public key":      {Options{Secrets: []Secret{{Secret: "a public key"}}}, true, "", 0},
		"no secret":                   {Options{}, false, "missing secret", 0},
		"an empty secret":             {Options{Secrets: []Secret{{Secret: " "}}}, false, "empty", 0},
		"an unset variable":           {Options{Secrets: []Secret{{Secret: "{env.PROVIDER_TEST_UNSET}"}}}, false, "unset", 0},
		"a duplicate label":           {Options{Secrets: []Secret{{"{env.PROVIDER_TEST_SECRET}", "a"}, {"{env.PROVIDER_TEST_SECRET}", "a"}}}, false, "duplicate label", 0},
		"a tolerance in nanoseconds":  {Options{Secrets: []Secret{{Secret: "{env.PROVIDER_TEST_SECRET}"}}, Tolerance: caddy.Duration(300)}, false, "shorter than 1s", 0},
		"a public_url without a host": {Options{Secrets: []Secret{{Secret: "{env.PROVIDER_TEST_SECRET}"}}, PublicURL: "/hooks"}, false, "public_url", 0},
	} {
		core, logs := observer.New(zapcore.WarnLevel)
		secrets, err := c.options.ResolveSecrets(zap.New(core), "example", c.asymmetric)
		switch {
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "example")):
			t.Errorf("%s: got %v, want %q", what, err, c.want)
		case c.want == "" && (err != nil || len(secrets) != len(c.options.Secrets)):
			t.Errorf("%s: got %v, %v", what, secrets, err)
		}
		if logs.Len() != c.warnings {
			t.Errorf("%s: %d warnings, want %d", what, logs.Len(), c.warnings)
		}
	}
}
