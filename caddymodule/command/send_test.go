package command

import (
	"bufio"
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/internal/nolog"
)

// endpoint is a server with a real handler for a GitHub webhook.
type endpoint struct {
	*httptest.Server
	mu       sync.Mutex
	outcomes map[caddymodule.Outcome]int
}

const sendSecret = "a secret for sending"

func serve(t *testing.T, providerName string) *endpoint {
	t.Helper()
	trial, err := dryrun.Open(nolog.Context(t.Context()), []byte(`{"provider":{"name":"`+providerName+`","secrets":[{"secret":"`+sendSecret+`"}]}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trial.Close)
	e := &endpoint{outcomes: make(map[caddymodule.Outcome]int)}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := trial.Send(r)
		e.mu.Lock()
		e.outcomes[caddymodule.Outcome(got.Outcome)]++
		e.mu.Unlock()
		w.WriteHeader(got.Status)
	}))
	t.Cleanup(e.Close)
	return e
}

// run runs a subcommand and returns its output.
func run(t *testing.T, cmd *cobra.Command, stdin string, args ...string) (out, errOut string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&o)
	cmd.SetErr(&e)
	cmd.SilenceErrors = true
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return o.String(), e.String(), err
}

func TestSendFlags(t *testing.T) {
	for _, test := range []struct {
		name, provider string
		args           []string
		want           map[caddymodule.Outcome]int
		fails          bool
	}{
		{"one", "github", nil, map[caddymodule.Outcome]int{caddymodule.Verified: 1}, false},
		{"many at a time", "stripe", []string{"--count", "30", "--parallel", "5"}, map[caddymodule.Outcome]int{caddymodule.Verified: 30}, false},
		{"tampered", "github", []string{"--tamper", "--count", "2"}, map[caddymodule.Outcome]int{caddymodule.InvalidSignature: 2}, false},
		{"stale", "stripe", []string{"--stale"}, map[caddymodule.Outcome]int{caddymodule.Stale: 1}, false},
		{"twice, with a signed ID", "stripe", []string{"--replay"}, map[caddymodule.Outcome]int{caddymodule.Verified: 1, caddymodule.Duplicate: 1}, false},
		{"twice, with another unsigned ID", "github", []string{"--replay"}, map[caddymodule.Outcome]int{caddymodule.Verified: 1, caddymodule.Replayed: 1}, false},
		{"with another secret", "github", []string{"--secret", "another"}, map[caddymodule.Outcome]int{caddymodule.InvalidSignature: 1}, true},
		{"stale without a timestamp", "github", []string{"--stale"}, map[caddymodule.Outcome]int{}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := serve(t, test.provider)
			args := append([]string{test.provider, "--secret", sendSecret, "--url", e.URL + "/in"}, test.args...)
			out, _, err := run(t, sendCommand(), "", args...)
			if (err != nil) != test.fails {
				t.Errorf("got %v\n%s", err, out)
			}
			for outcome, n := range test.want {
				if e.outcomes[outcome] != n {
					t.Errorf("outcomes %v, want %v", e.outcomes, test.want)
				}
			}
			if len(e.outcomes) != len(test.want) {
				t.Errorf("outcomes %v, want %v", e.outcomes, test.want)
			}
			if strings.Contains(out, sendSecret) {
				t.Error("the secret was printed")
			}
		})
	}
}

func TestSendAllowsOnlyLocalAddresses(t *testing.T) {
	for address, local := range map[string]bool{
		"127.0.0.1:80": true, "[::1]:80": true, "192.168.1.2:80": true, "10.0.0.1:80": true,
		"93.184.216.34:443": false, "[2606:2800:220:1::1]:443": false, "0.0.0.0:80": false, "169.254.169.254:80": false,
	} {
		if err := onlyLocal("tcp", address, nil); (err == nil) != local {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := serve(t, "github")
	e := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer e.Close()
	if _, _, err := run(t, sendCommand(), "", "github", "--secret", sendSecret, "--url", e.URL); err == nil || len(elsewhere.outcomes) > 0 {
		t.Errorf("got %v, outcomes %v", err, elsewhere.outcomes)
	}
}

func TestSignPrintsARequestThatIsAccepted(t *testing.T) {
	trial, err := dryrun.Open(nolog.Context(t.Context()), []byte(`{"provider":{"name":"github","secrets":[{"secret":"`+sendSecret+`"}]}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer trial.Close()
	out, errOut, err := run(t, signCommand(), sendSecret+"\n", "github", "--secret", "@-", "--body", `{"it's":"ü\n"}`)
	if err != nil || errOut != "" {
		t.Fatalf("%v %s", err, errOut)
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(out)))
	if err != nil {
		t.Fatal(err)
	}
	if got := trial.Send(r); got.Outcome != string(caddymodule.Verified) || r.Host != "localhost:8080" {
		t.Errorf("%s, %s for\n%s", got.Outcome, got.Reason, out)
	}
}

func TestGeneratedKeyIsPrintedToStandardError(t *testing.T) {
	out, errOut, err := run(t, signCommand(), "", "standard-webhooks")
	if err != nil || !strings.Contains(errOut, "whsec_") || strings.Contains(out, "whsec_") {
		t.Errorf("%v\n%s\n%s", err, errOut, out)
	}
}

func TestSignRejectsInvalidArguments(t *testing.T) {
	t.Setenv("EMPTY_SECRET", "")
	for name, args := range map[string][]string{
		"another format":         {"github", "--as", "wget"},
		"two mutations":          {"stripe", "--tamper", "--stale"},
		"an unset variable":      {"github", "--secret", "env:NO_SUCH_VARIABLE_IS_SET"},
		"an empty variable":      {"github", "--secret", "env:EMPTY_SECRET"},
		"a missing file":         {"github", "--secret", "@no such file"},
		"a missing body file":    {"github", "--body", "@no such file"},
		"no provider":            {},
		"an unrecognized secret": {"standard-webhooks", "--secret", "whpk_AAAA"},
		"an invalid key":         {"standard-webhooks", "--secret", "not base64 !"},
	} {
		if out, _, err := run(t, signCommand(), "", args...); err == nil {
			t.Errorf("%s: printed %s", name, out)
		}
	}
}
