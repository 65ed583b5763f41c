package command

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFromARefusalToItsCause follows the steps of a new user: a request from
// `sign` is recorded, and `explain` finds why it is refused.
func TestFromARefusalToItsCause(t *testing.T) {
	record := filepath.Join(t.TempDir(), "delivery")
	for _, format := range []string{"http", "curl"} {
		out, _, err := run(t, signCommand(), "", "github", "--secret", sendSecret, "--as", format, "--body", `{"it's":"a <b>",  "n":1}`)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(record, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
		out, _, err = run(t, explainCommand(), "", "github", record, "--secret", sendSecret)
		if err != nil || !strings.Contains(out, "accepted as it is") {
			t.Errorf("%s: %v\n%s", format, err, out)
		}
		out, _, err = run(t, explainCommand(), `"`+sendSecret+`"`, "github", record, "--secret", "@-")
		if !errors.Is(err, errRefused) || !strings.Contains(out, "change first: remove the quotes") || strings.Contains(out, sendSecret) {
			t.Errorf("%s: %v\n%s", format, err, out)
		}
		out, _, err = run(t, explainCommand(), "", "github", record, "--secret", "another", "--other", sendSecret)
		if !errors.Is(err, errRefused) || !strings.Contains(out, "other secret 1 has signed it") || strings.Contains(out, sendSecret) {
			t.Errorf("%s: %v\n%s", format, err, out)
		}
	}
}

func TestExplainReadsStandardInputAndTheTime(t *testing.T) {
	record, _, err := run(t, signCommand(), "", "stripe", "--secret", sendSecret)
	if err != nil {
		t.Fatal(err)
	}
	came := time.Now().Add(time.Hour).Format(time.RFC3339)
	out, _, err := run(t, explainCommand(), record, "stripe", "--secret", sendSecret, "--received", came)
	if !errors.Is(err, errRefused) || !strings.Contains(out, "stale") || !strings.Contains(out, "1h0m0s ahead") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestExplainRejectsUnreadableInput(t *testing.T) {
	for name, args := range map[string][]string{
		"no such file":   {"github", "no such file", "--secret", "s"},
		"no record":      {"github", "-", "--secret", "s"},
		"no such secret": {"github", "-", "--secret", "@no such file"},
		"no such other":  {"github", "-", "--secret", "s", "--other", "env:NO_SUCH_VARIABLE_IS_SET"},
		"no time":        {"github", "-", "--secret", "s", "--received", "yesterday"},
	} {
		if out, _, err := run(t, explainCommand(), "", args...); err == nil || errors.Is(err, errRefused) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// A record can contain anything. The command must not panic.
func TestExplainReadsInvalidRequests(t *testing.T) {
	for name, record := range map[string]string{
		"a host with escapes":  `{"request":{"method":"POST","url":"http://x/","headers":[{"name":"Host","value":"\u001b[2J"}],"postData":{"text":"{}"}}}`,
		"a host with a space":  `{"request":{"method":"POST","url":"https://x/","headers":[{"name":"Host","value":"a b"}],"postData":{"text":"{}"}}}`,
		"a method in words":    `{"request":{"method":"PO ST\u001b","url":"http://x/","headers":[],"postData":{"text":"{}"}}}`,
		"a URL without a path": `{"request":{"method":"POST","url":"x","headers":[],"postData":{"text":"{}"}}}`,
	} {
		out, _, err := run(t, explainCommand(), record, "github", "-", "--secret", sendSecret)
		if err == nil || strings.ContainsAny(out+err.Error(), "\x1b") {
			t.Errorf("%s: %v\n%q", name, err, out)
		}
	}
}
