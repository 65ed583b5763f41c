package provider_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// provisioned provisions a preset with secrets as they are configured, and returns
// the warnings except those about plaintext secrets.
func provisioned(p *provider.Preset, secrets ...provider.Secret) (warnings []string, err error) {
	core, logs := observer.New(zapcore.WarnLevel)
	m := provider.NewModule(p)
	m.Secrets = secrets
	m.FillNeeds()
	err = m.ProvisionLogged(zap.New(core))
	for _, entry := range logs.All() {
		if !strings.Contains(entry.Message, "plaintext") {
			warnings = append(warnings, entry.Message)
		}
	}
	return warnings, err
}

// trySetUp provisions a preset with a secret, or without one if it is empty.
func trySetUp(name, secret string, set provider.PresetOptions) (*provider.Module, error) {
	m := provider.NewModule(provider.Named(name))
	m.PresetOptions = set
	if secret != "" {
		m.Secrets = []provider.Secret{{Secret: strings.ReplaceAll(secret, "{", `\{`)}}
	}
	return m, m.ProvisionLogged(zap.NewNop())
}

// secretFile writes a file and returns its placeholder.
func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return "{file." + path + "}"
}

// inFile maps the content of a file or a variable that refers to a secret to a part
// of the error or warning. The references must not resolve on this machine.
var inFile = map[string]string{
	"env:NO_SUCH_VARIABLE": "{env.NAME}", "env://NO_SUCH_VARIABLE": "{env.NAME}", "env.NO_SUCH_VARIABLE": "{env.NAME}",
	"$NO_SUCH_VARIABLE": "{env.NAME}", "%NO_SUCH_VARIABLE%": "{env.NAME}", "$env:NO_SUCH_VARIABLE": "{env.NAME}",
	"${NO_SUCH_VARIABLE}": "not replaced", "{$NO_SUCH_VARIABLE}": "not replaced", "{env.NO_SUCH_VARIABLE}": "not replaced", "{file./no/such}": "not replaced",
	"ENV:NO_SUCH_VARIABLE": "{env.NAME}", "{env.NO_SUCH_VARIABLE": "{env.NAME}", "env.NO_SUCH_VARIABLE}": "{env.NAME}", "process.env.NO_SUCH_VARIABLE": "{env.NAME}", "secrets.NO_SUCH_VARIABLE": "{env.NAME}",
	"{file./no/such": "{file./path}", "FILE:/no/such": "{file./path}", "123456789:AAHabcdefghijklmnopqrstuvwxyz0123456": "Telegram bot",
	"@/no/such/file": "{file./path}", "@file": "{file./path}", "file:/no/such": "{file./path}", "file:///no/such": "{file./path}", "file.secret": "{file./path}",
	"./secret.txt": "{file./path}", "~/secret": "{file./path}", "../run/secret": "{file./path}", "/run/secrets/no-such": "{file./path}", "/etc/webhooks/no-such": "{file./path}",
	"op://vault/item/field": "reference", "vault:secret/data/hooks": "reference", "arn:aws:secretsmanager:eu-west-1:1:secret:x": "reference", "https://hooks.example.com/github": "reference",
	`"abcdefghijklmnop"`: "quotes", `'abcdefghijklmnop'`: "quotes", "`abcdefghijklmnop`": "quotes", "“abcdefghijklmnop”": "quotes", "<your secret>": "quotes",
	"GITHUB_SECRET=abcdefghijkl": "NAME=VALUE", "export S=abcdefghijkl": "NAME=VALUE", "abcdefgh…": "ellipsis", "whsec_...": "ellipsis",
	"sk_live_abcdefghijklmnopqrstuvwx": "API key", "rk_test_abcdefghijklmnopqrstuvwx": "API key", "ghp_abcdefghijklmnopqrstuvwxyz0123456789": "GitHub token", "github_pat_11ABCDEFG0abcdefghij": "GitHub token",
	"xoxb-1234567890-abcdefghij": "Slack token", "sk-proj-abcdefghijklmnop": "OpenAI API key", "glpat-abcdefghijklmnopqrst": "GitLab access token", "AC0123456789abcdef0123456789abcdef": "SID", "AKIAIOSFODNN7EXAMPLE": "AWS",
}

// TestReferenceInPlaceOfASecretIsRejectedOrLogged checks every preset with references
// in the config and in a file. They are rejected if the provider issues its secrets;
// otherwise Caddy warns about them.
func TestReferenceInPlaceOfASecretIsRejectedOrLogged(t *testing.T) {
	for _, preset := range provider.Presets() {
		p := &preset
		if p.NoSecret {
			continue // a key that is not PEM is rejected
		}
		for value, want := range inFile {
			if p.SecretIsAPIKey && provider.DoubtAPIKey("github", value) != "" {
				continue
			}
			for _, configured := range []string{secretFile(t, value+"\n"), strings.NewReplacer("{", `\{`, "}", `\}`).Replace(value)} {
				warnings, err := provisioned(p, provider.Secret{Secret: configured})
				said := strings.Join(warnings, "\n")
				if err != nil {
					said = err.Error()
				}
				if p.OnlyIssued() && err == nil {
					t.Errorf("%s accepts %q", p.Name, value)
				}
				if err == nil && len(warnings) != 1 {
					t.Errorf("%s: %q: got warnings %q", p.Name, value, warnings)
				}
				if (p.OnlyIssued() || err == nil) && !strings.Contains(said, want) {
					t.Errorf("%s: %q: got %q, want %q", p.Name, value, said, want)
				}
				if strings.Contains(said, value) && !strings.Contains(configured, value) {
					t.Errorf("%s: %q: the message contains the secret: %s", p.Name, value, said)
				}
			}
		}
	}
}

func TestReferenceThatResolvesIsRejectedForEveryProvider(t *testing.T) {
	t.Setenv("WEBHOOK_TEST_SECRET", "s3cret")
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"env:WEBHOOK_TEST_SECRET", "$WEBHOOK_TEST_SECRET", "%WEBHOOK_TEST_SECRET%", "WEBHOOK_TEST_SECRET", "@" + file, "file:" + file, "file://" + file, file} {
		if _, err := trySetUp("github", text, provider.PresetOptions{}); err == nil || !strings.Contains(err.Error(), "write {") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestMalformedPlaceholderIsRejected(t *testing.T) {
	t.Setenv("WEBHOOK_TEST_SECRET", "s3cret")
	for text, want := range map[string]string{
		`"{env.WEBHOOK_TEST_SECRET}"`: "without them", `'{env.WEBHOOK_TEST_SECRET}'`: "without them", "“{env.WEBHOOK_TEST_SECRET}”": "without them",
		"${env.WEBHOOK_TEST_SECRET}": "write {env.", "${WEBHOOK_TEST_SECRET}": "write {env.NAME}", "{$WEBHOOK_TEST_SECRET}": "write {env.NAME}",
		"{ENV.WEBHOOK_TEST_SECRET}": "write {env.NAME}", "{env:WEBHOOK_TEST_SECRET}": "write {env.NAME}", "{WEBHOOK_TEST_SECRET}": "write {env.NAME}",
		"{{env.WEBHOOK_TEST_SECRET}}": "write", "{file:/no/such}": "{file./path}", "{env.WEBHOOK_TEST_UNSET}": "unset",
	} {
		for _, name := range []string{"github", "stripe", "meta"} {
			p := provider.Named(name)
			if _, err := provisioned(p, provider.Secret{Secret: text}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s %s: got %v, want %q", name, text, err, want)
			}
		}
	}
}

// TestTextThatNoSecretContainsIsRejected checks what editors, shells and web pages add
// to a secret.
func TestTextThatNoSecretContainsIsRejected(t *testing.T) {
	for value, want := range map[string]string{
		"\xef\xbb\xbfs3cret-s3cret":                       "byte order mark",
		"\xff\xfes\x003\x00c\x00r\x00e\x00t\x00":          "UTF-16",
		"\xfe\xff\x00s\x003\x00c\x00r\x00e\x00t":          "UTF-16",
		"s\x003\x00c\x00r\x00e\x00t\x00":                  "UTF-16",
		"s3cret\x00s3cret":                                "binary",
		"s3cret\x1b[0ms3cret":                             "invisible",
		"s3cret\told-s3cret":                              "invisible",
		"s3cret\u200bs3cret":                              "invisible",
		"s3cret\u202es3cret":                              "invisible",
		"s3cret-s3cret\ns3cret-old":                       "several lines",
		"s3cret-s3cret\r\ns3cret-old":                     "several lines",
		"s3cret-s3cret\n\n":                               "white space",
		" s3cret-s3cret":                                  "white space",
		"\u00a0s3cret-s3cret":                             "white space",
		"# secret of the webhook\ns3cret-s3cret-s3cret-1": "several lines",
	} {
		t.Setenv("WEBHOOK_TEST_SECRET", strings.ReplaceAll(value, "\x00", "")) // variables cannot contain it
		sources := []string{secretFile(t, value)}
		if !strings.Contains(value, "\x00") && !strings.HasSuffix(value, "\n") {
			sources = append(sources, "{env.WEBHOOK_TEST_SECRET}")
		}
		for _, source := range sources {
			for _, name := range []string{"github", "stripe", "twilio", "adyen"} {
				p := provider.Named(name)
				if _, err := provisioned(p, provider.Secret{Secret: source}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("%s %q: got %v, want %q", name, value, err, want)
				}
			}
		}
	}
}

// TestGenuineSecretsPassTheChecks checks the secrets of all vectors, which have the
// same formats as those of the providers.
func TestGenuineSecretsPassTheChecks(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "catalogue", "testdata", "vectors", "*.json"))
	if err != nil || len(files) < 100 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	count := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var vectors []struct {
			Provider struct {
				Name    string            `json:"name"`
				Secrets []provider.Secret `json:"secrets"`
			} `json:"provider"`
		}
		if err := json.Unmarshal(raw, &vectors); err != nil {
			t.Fatal(err)
		}
		for _, v := range vectors {
			for _, s := range v.Provider.Secrets {
				secret := strings.ReplaceAll(s.Secret, `\{`, "{")
				count++
				if doubt, _ := provider.DoubtReference(secret, secret); doubt != "" {
					t.Errorf("%s: %q: %s", v.Provider.Name, secret, doubt)
				}
				if doubt := provider.DoubtAPIKey(v.Provider.Name, secret); doubt != "" {
					t.Errorf("%s: %q: %s", v.Provider.Name, secret, doubt)
				}
			}
		}
	}
	if count < 100 {
		t.Errorf("only %d secrets", count)
	}
}

func TestCheckedProvidersAreInTheCatalogue(t *testing.T) {
	var names []string
	for _, p := range provider.Presets() {
		names = append(names, p.Name)
	}
	all := provider.APIKeys
	for _, name := range all {
		if !slices.Contains(names, name) {
			t.Errorf("no provider is named %s", name)
		}
	}
	for _, name := range []string{"github", "gitlab", "gitea", "bitbucket", "telegram", "typeform", "twitch", "websub", "okta", "auth0", "custom"} {
		if p := provider.Named(name); p != nil && p.OnlyIssued() {
			t.Errorf("%s: operators choose the secret", name)
		}
	}
}

func TestDuplicateLabelsAreRejected(t *testing.T) {
	for _, secrets := range [][]provider.Secret{
		{{"one-secret", "a"}, {"another-secret", "a"}},
		{{"one-secret", "2"}, {"another-secret", ""}},
		{{"one-secret", ""}, {"another-secret", "1"}},
		{{"one-secret", "a"}, {"another-secret", "b"}, {"a-third-secret", "a"}},
	} {
		for _, name := range []string{"github", "stripe", "pusher"} {
			p := provider.Named(name)
			if _, err := provisioned(p, secrets...); err == nil || !strings.Contains(err.Error(), "duplicate label") {
				t.Errorf("%s %v: got %v", name, secrets, err)
			}
		}
	}
}

func TestLabelThatLooksLikeASecretIsRejectedAndNotQuoted(t *testing.T) {
	for _, label := range []string{"{env.OLD_SECRET}", "{file./run/secrets/old}", "whsec_b2xkLXNlY3JldA", "sk_live_0123456789abcdef"} {
		for _, name := range []string{"github", "stripe", "pusher", "rfc9421"} {
			p := provider.Named(name)
			if _, err := provisioned(p, provider.Secret{"one-secret", label}); err == nil || !strings.Contains(err.Error(), "on its own line") || strings.Contains(err.Error(), label) {
				t.Errorf("%s %s: got %v", name, label, err)
			}
		}
	}
}

func TestOptionsWithCommasAreRejected(t *testing.T) {
	for _, test := range []struct {
		name, secret string
		set          provider.PresetOptions
		want         string
	}{
		{"aws-sns", "", provider.PresetOptions{Topics: []string{"arn:aws:sns:eu-west-1:1:a,arn:aws:sns:eu-west-1:1:b"}}, "topic arn:aws:sns:eu-west-1:1:a arn:aws:sns:eu-west-1:1:b"},
		{"aws-sns", "", provider.PresetOptions{Topics: []string{"arn:aws:sns:eu-west-1:1:a,"}}, "topic arn:aws:sns:eu-west-1:1:a"},
		{"websub", "one-secret", provider.PresetOptions{Algorithms: []string{"sha256,sha512"}}, "algorithm sha256 sha512"},
		{"atlassian-connect", "one-secret", provider.PresetOptions{Issuers: []string{"a,b"}}, "issuer a b"},
		{"rfc9421", "hmac-sha256:b25lLXNlY3JldA==", provider.PresetOptions{Components: []string{"@method,content-digest"}}, "component @method content-digest"},
	} {
		if _, err := trySetUp(test.name, test.secret, test.set); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}

func TestToleranceInNanosecondsIsRejected(t *testing.T) {
	for _, name := range []string{"stripe", "github"} {
		m := provider.NewModule(provider.Named(name))
		m.Secrets = []provider.Secret{{Secret: "one-secret"}}
		for raw, want := range map[string]string{`300`: `write "tolerance": "5m"`, `300000`: "300µs", `"10ms"`: "10ms", `-5`: "-5ns", `300000000000`: "", `"1s"`: ""} {
			if err := json.Unmarshal([]byte(raw), &m.Tolerance); err != nil {
				t.Fatal(err)
			}
			err := m.ProvisionLogged(zap.NewNop())
			if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
				t.Errorf("%s %s: got %v, want %q", name, raw, err, want)
			}
		}
	}
}

func TestReferenceInPlaceOfAnOptionIsRejected(t *testing.T) {
	if _, err := trySetUp("paypal", "", provider.PresetOptions{WebhookID: "env:PAYPAL_WEBHOOK_ID"}); err == nil || !strings.Contains(err.Error(), "webhook_id") {
		t.Errorf("got %v", err)
	}
	if _, err := trySetUp("meta", "0123456789abcdef0123456789abcdef", provider.PresetOptions{VerifyToken: "my-token"}); err != nil {
		t.Error(err)
	}
}
