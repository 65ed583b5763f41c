package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// hostile lists texts that change the display of a terminal.
const hostile = "\x1b]0;title\x07\x1b[2J\u009b31m\u202eevil\u2066\x7f\b"

// mustBeHarmless checks that a text contains no control characters and no marks
// that change the direction of text.
func mustBeHarmless(t *testing.T, what, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			t.Errorf("%s: %q is printed, in %.300q", what, r, text)
			return
		}
	}
}

// records returns an attacker's records, as input of explain.
func records() map[string]string {
	request := func(uri, header, body string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x%s\r\n%s\r\n\r\n%s", uri, hostile, header, body)
	}
	records := map[string]string{
		"no record":     hostile,
		"the URL":       request("/in?"+hostile+"="+hostile, "X: y", ""),
		"JSON":          request("/in", "Content-Type: application/json", `{"`+hostile+`":1,"id":"`+hostile+`"}`),
		"a form":        request("/in", "Content-Type: application/x-www-form-urlencoded", hostile+"=1&"+hostile+"=2"),
		"curl":          "curl '" + hostile + "' -H '" + hostile + "' --" + hostile,
		"HAR":           `{"log":{"entries":[{"request":{"method":"` + hostile + `","url":"` + hostile + `"}}]}}`,
		"a header name": request("/in", hostile+": x", ""),
	}
	for _, name := range []string{"X-Hub-Signature-256", "Stripe-Signature", "Authorization", "Content-Encoding", "Content-Type", "X-Mandrill-Signature", "Webhook-Signature", "Signature-Input"} {
		records[name] = request("/in", name+": "+hostile, "x")
	}
	return records
}

func TestExplainPrintsNoControlCharacters(t *testing.T) {
	for what, record := range records() {
		path := filepath.Join(t.TempDir(), "record")
		if err := os.WriteFile(path, []byte(record), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, p := range provider.Presets() {
			out, errOut, err := run(t, explainCommand(), "", p.Name, path, "--secret", sendSecret)
			if err == nil {
				t.Errorf("%s, %s: accepted", p.Name, what)
				continue
			}
			mustBeHarmless(t, p.Name+", "+what, out+errOut+err.Error())
		}
	}
}

func TestOtherCommandsPrintNoControlCharacters(t *testing.T) {
	vectors := vectorFile(t, strings.NewReplacer("NAME", "\\u001b[2J\\u202e", "EXPECT", "reject").Replace("["+vectorOfGitHub+"]"))
	out, errOut, err := run(t, testCommand(), "", vectors)
	if err == nil || !strings.Contains(out, `\x1b[2J\u202e`) {
		t.Errorf("test: %v, %q", err, out)
	}
	mustBeHarmless(t, "test", out+errOut+err.Error())
	_, _, err = run(t, providersCommand(), "", hostile)
	if err == nil {
		t.Fatal("providers: the provider exists")
	}
	mustBeHarmless(t, "providers", err.Error())
}
