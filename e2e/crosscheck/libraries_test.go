package crosscheck

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/PagerDuty/go-pagerduty/webhookv3"
	"github.com/buildkite/go-buildkite/v4"
	"github.com/mailgun/mailgun-go/v4"
	razorpay "github.com/razorpay/razorpay-go/utils"

	"github.com/verify-webhook/caddy-verify-webhook/e2e/prepared"
)

// library is a vendor's library, as listed by run.mjs and judge.py.
type library struct {
	Name         string `json:"name"`
	Preset       string `json:"preset"`
	Variant      string `json:"variant"`
	SecretPrefix string `json:"secret_prefix"` // required prefix of secrets
	Own          bool   `json:"own"`           // accepts only bodies in the provider's format
	Empty        bool   `json:"empty"`         // accepts an empty body
	Signs        bool   `json:"signs"`         // can sign
	Origin       string `json:"-"`             // npm, PyPI or Go
}

// delivery is the input of a library.
type delivery struct {
	Library string            `json:"library"`
	Now     int64             `json:"now"`
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"` // names in lower case
	Body    []byte            `json:"body_b64"`
	Secret  string            `json:"secret"`
	Label   string            `json:"label"`
	Options json.RawMessage   `json:"options"`
}

// verdict is the result of a library.
type verdict struct {
	Accepted bool   `json:"accepted"`
	Why      string `json:"why"`
}

// goLibraries are the libraries for Go. They refuse a delivery with an error.
var goLibraries = map[string]struct {
	preset string
	verify func(d delivery, r *http.Request) error
}{
	"github.com/PagerDuty/go-pagerduty": {"pagerduty", func(d delivery, r *http.Request) error {
		return webhookv3.VerifySignature(r, d.Secret)
	}},
	"github.com/buildkite/go-buildkite": {"buildkite", func(d delivery, r *http.Request) error {
		_, err := buildkite.ValidatePayload(r, []byte(d.Secret))
		return err
	}},
	"github.com/mailgun/mailgun-go": {"mailgun", func(d delivery, _ *http.Request) error {
		var payload mailgun.WebhookPayload
		if err := json.Unmarshal(d.Body, &payload); err != nil {
			return err
		}
		genuine, err := mailgun.NewMailgun("example.com", d.Secret).VerifyWebhookSignature(payload.Signature)
		if err == nil && !genuine {
			err = errRefused
		}
		return err
	}},
	"github.com/razorpay/razorpay-go": {"razorpay", func(d delivery, r *http.Request) error {
		if !razorpay.VerifyWebhookSignature(string(d.Body), r.Header.Get("X-Razorpay-Signature"), d.Secret) {
			return errRefused
		}
		return nil
	}},
}

// libraries returns all libraries.
func libraries(t *testing.T) []library {
	t.Helper()
	all := append(listed(t, "npm", node("list")), listed(t, "PyPI", python(t, "list"))...)
	for name, l := range goLibraries {
		all = append(all, library{Name: name, Preset: l.preset, Origin: "Go"})
	}
	return all
}

func listed(t *testing.T, origin string, cmd *exec.Cmd) []library {
	t.Helper()
	var all []library
	for _, line := range lines[delivery](t, cmd, nil) {
		l := library{Origin: origin}
		decode(t, line, &l)
		all = append(all, l)
	}
	return all
}

// judge returns the verdicts of the libraries on deliveries, in the same order.
func judge(t *testing.T, all []library, deliveries []delivery) []verdict {
	t.Helper()
	origins := make(map[string]string)
	for _, l := range all {
		origins[l.Name] = l.Origin
	}
	verdicts := make([]verdict, len(deliveries))
	for origin, ask := range map[string]func([]delivery) []verdict{
		"npm":  func(d []delivery) []verdict { return asked(t, node("judge"), d) },
		"PyPI": func(d []delivery) []verdict { return asked(t, python(t, "judge"), d) },
		"Go":   judgeInGo,
	} {
		var mine []delivery
		var at []int
		for i, d := range deliveries {
			if origins[d.Library] == origin {
				mine, at = append(mine, d), append(at, i)
			}
		}
		for i, v := range ask(mine) {
			verdicts[at[i]] = v
		}
	}
	return verdicts
}

func judgeInGo(deliveries []delivery) []verdict {
	var verdicts []verdict
	for _, d := range deliveries {
		r := httptest.NewRequest(d.Method, d.URL, bytes.NewReader(d.Body))
		for name, value := range d.Headers {
			r.Header.Set(name, value)
		}
		v := verdict{Accepted: true}
		if err := goLibraries[d.Library].verify(d, r); err != nil {
			v = verdict{Why: err.Error()}
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

func node(args ...string) *exec.Cmd {
	return exec.Command("node", append([]string{"run.mjs"}, args...)...)
}

func python(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), filepath.Join(prepared.PythonPackages(t, "e2e/crosscheck"), "python"), append([]string{"judge.py"}, args...)...)
}

// asked writes one document per line and reads one result for each.
func asked(t *testing.T, cmd *exec.Cmd, deliveries []delivery) []verdict {
	t.Helper()
	var verdicts []verdict
	for _, line := range lines(t, cmd, deliveries) {
		var v verdict
		decode(t, line, &v)
		verdicts = append(verdicts, v)
	}
	if len(verdicts) != len(deliveries) {
		t.Fatalf("%v: %d verdicts for %d deliveries", cmd.Args, len(verdicts), len(deliveries))
	}
	return verdicts
}

// lines runs a command with one JSON document per input line, and returns its output
// lines.
func lines[T any](t *testing.T, cmd *exec.Cmd, input []T) [][]byte {
	t.Helper()
	var stdin, stdout, stderr bytes.Buffer
	encoder := json.NewEncoder(&stdin)
	for _, value := range input {
		if err := encoder.Encode(value); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, stderr.String())
	}
	return bytes.Split(bytes.TrimSpace(stdout.Bytes()), []byte("\n"))
}

func decode(t *testing.T, line []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(line, into); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
}
