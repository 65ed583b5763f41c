package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue"
	_ "github.com/verify-webhook/caddy-verify-webhook/internal/testkit/redial" // a reload resets connections
)

const vectorOfGitHub = `{"provider": {"name": "github", "secrets": [{"secret": "It's a Secret to Everybody"}]}, "name": "NAME", "now": 1760000000, "expect": "EXPECT",
 "request": {"method": "POST", "url": "https://hooks.example.com/in", "body_b64": "SGVsbG8sIFdvcmxkIQ==",
  "headers": {"X-Hub-Signature-256": ["sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"]}}}`

func vectorFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vectors.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTestCommandCountsAndFails(t *testing.T) {
	good := strings.NewReplacer("NAME", "good", "EXPECT", "accept").Replace(vectorOfGitHub)
	wrong := strings.NewReplacer("NAME", "bad", "EXPECT", "reject").Replace(vectorOfGitHub)
	for _, c := range []struct{ name, text, want, mistake string }{
		{"all as expected", "[" + good + "]", "github         1        0      0", ""},
		{"one failure", "[" + good + "," + wrong + "]", "github bad: accepted, but reject was expected", "1 vectors"},
		{"none", "[]", "total", "no vectors"},
		{"not JSON", "x", "", "not a JSON array"},
		{"no expect", `[{"provider":{"name":"github"}}]`, "", "accept or reject"},
		{"no provider", `[{"expect":"accept"}]`, "", "missing provider"},
		{"only the provider's name", `[{"provider":"github","expect":"accept"}]`, "", "missing provider"},
		{"the shared format", `[{"provider":"github","name":"one","config":{"secrets":["s"]}}]`, "", "vector 1 (one) has the shared format, with a config: convert it with python3 catalogue/testdata/convert.py --into DIRECTORY "},
		{"unknown provider", strings.Replace("["+good+"]", "github", "gihtub", 1), "gihtub", "1 vectors"},
		{"unknown option", strings.Replace("["+good+"]", `"secrets"`, `"secretz"`, 1), "secretz", "1 vectors"},
	} {
		var out strings.Builder
		err := runTest(&out, []string{vectorFile(t, c.text)})
		if !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: printed\n%s", c.name, out.String())
		}
		if (err == nil) != (c.mistake == "") || (err != nil && !strings.Contains(err.Error(), c.mistake)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestProvidersCommand(t *testing.T) {
	var list, one strings.Builder
	if err := listProviders(&list); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"github ", "stripe ", "custom"} {
		if !strings.Contains(list.String(), name) {
			t.Errorf("%s is missing from the list", name)
		}
	}
	if err := describeProvider(&one, "mailgun"); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"verify_webhook mailgun {env.MAILGUN_SECRET}", "HTTP webhook signing key", "replace the event or mail", "documentation.mailgun.com"} {
		if !strings.Contains(one.String(), text) {
			t.Errorf("the description of mailgun is missing %q:\n%s", text, one.String())
		}
	}
	if err := describeProvider(&one, "git"); err == nil || !strings.Contains(err.Error(), "github") {
		t.Errorf("got %v", err)
	}
	if err := describeProvider(&one, "acme"); err == nil || !strings.Contains(err.Error(), "custom") {
		t.Errorf("got %v", err)
	}
}
