package operate

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/e2e/prepared"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

// forgetSite is a Caddy with the file store in front of an app.
type forgetSite struct {
	t       *testing.T
	url     string
	config  sidecar.Config
	caddy   *sidecar.Sidecar
	reached atomic.Int64 // since the last check
}

func startForgetfulSite(t *testing.T) *forgetSite {
	t.Helper()
	s := &forgetSite{t: t}
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { s.reached.Add(1) }))
	t.Cleanup(app.Close)
	address := process.Address(t)
	s.url = "http://" + address
	s.config = sidecar.Config{Binary: prepared.Caddy(t), State: t.TempDir(), Env: []string{"STRIPE=" + stripeSecret, "GITHUB=" + githubSecret}}
	s.config.Caddyfile = write(t, "Caddyfile", `
{
	admin {$CADDY_ADMIN}
	verify_webhook {
		store file
	}
}
http://`+address+` {
	bind 127.0.0.1
	handle /webhooks/stripe {
		verify_webhook stripe {
			secret {env.STRIPE}
			namespace billing
		}
		reverse_proxy `+app.Listener.Addr().String()+`
	}
	handle /webhooks/github {
		verify_webhook github {
			secret {env.GITHUB}
			namespace code
		}
		reverse_proxy `+app.Listener.Addr().String()+`
	}
}
`)
	s.start()
	return s
}

func (s *forgetSite) start() {
	s.t.Helper()
	s.caddy = sidecar.Run(s.t, s.config)
}

// expect sends a delivery and checks the response, and how often the delivery reaches
// the app.
func (s *forgetSite) expect(d delivery.Delivery, status int, reached int64) {
	s.t.Helper()
	answer, err := d.Send(s.t.Context(), http.DefaultClient, s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	if n := s.reached.Swap(0); answer.Status != status || n != reached {
		s.t.Errorf("status %d, reached the app %d times; want %d, %d", answer.Status, n, status, reached)
	}
}

// checkOutput runs a command and checks its exit code, its output, and that its messages
// contain stderr.
func checkOutput(t *testing.T, cmd *exec.Cmd, code int, stdout, stderr string) {
	t.Helper()
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("%v exited with %d, want %d", cmd.Args, got, code)
	}
	if out.String() != stdout {
		t.Errorf("%v printed\n%swant\n%s", cmd.Args, out.String(), stdout)
	}
	if !strings.Contains(messages.String(), stderr) {
		t.Errorf("%v prints the message %s; want %s", cmd.Args, messages.String(), stderr)
	}
}

// ask runs a command that queries the running Caddy.
func (s *forgetSite) ask(code int, stdout, stderr string, args ...string) {
	s.t.Helper()
	checkOutput(s.t, s.caddy.Command(s.t.Context(), append([]string{"verify-webhook"}, args...)...), code, stdout, stderr)
}

// TestAnOperatorForgetsADelivery follows the instructions for operators in
// docs/replays.md with the built binary.
func TestAnOperatorForgetsADelivery(t *testing.T) {
	for _, test := range []struct {
		provider, namespace, id, line string
		// first is the original delivery, again the provider's redelivery. captured
		// is its content under another ID, if the ID is not signed.
		first, again, captured delivery.Delivery
	}{
		{
			provider: "github", namespace: "code", id: "72d3162e-cc78-11e3-81ab-4c9367dc0958",
			line:     "github    code      1       ",
			first:    delivery.GitHub(githubSecret, "72d3162e-cc78-11e3-81ab-4c9367dc0958", "push", []byte(`{"ref":"refs/heads/main"}`)),
			again:    delivery.GitHub(githubSecret, "72d3162e-cc78-11e3-81ab-4c9367dc0958", "push", []byte(`{"ref":"refs/heads/main"}`)),
			captured: delivery.GitHub(githubSecret, "72d3162e-cc78-11e3-81ab-4c9367dc0959", "push", []byte(`{"ref":"refs/heads/main"}`)),
		},
		{
			provider: "stripe", namespace: "billing", id: "evt_1",
			line:  "stripe    billing   1       ",
			first: delivery.Stripe(stripeSecret, time.Now(), []byte(`{"id":"evt_1","type":"invoice.paid"}`)),
			again: delivery.Stripe(stripeSecret, time.Now().Add(time.Second), []byte(`{"id":"evt_1","type":"invoice.paid"}`)),
		},
	} {
		t.Run(test.provider, func(t *testing.T) {
			s := startForgetfulSite(t)
			table := func(state string) string {
				return "PROVIDER  ENDPOINT  SECRET  STATE\n" + test.line + state + "\n"
			}
			unsigned := test.captured.Body != nil

			s.ask(0, table("free"), "", "seen", test.provider, test.id)
			s.ask(1, table("free"), "no endpoint of "+test.provider+" remembers "+test.id+" as handled", "forget", test.provider, test.id)
			s.expect(test.first, http.StatusOK, 1)
			s.ask(0, table("handled"), "", "seen", test.provider, test.id)
			s.ask(0, table("handled"), "", "seen", test.namespace, test.id, "--config", s.config.Caddyfile)
			s.expect(test.again, http.StatusOK, 0)

			s.ask(0, table("forgotten"), "", "forget", test.provider, test.id)
			s.ask(0, table("free"), "", "seen", test.provider, test.id)
			if unsigned {
				s.expect(test.captured, http.StatusOK, 0)
			}
			s.expect(test.again, http.StatusOK, 1)
			s.expect(test.again, http.StatusOK, 0)
			s.ask(0, table("handled"), "", "seen", test.provider, test.id)

			// A one-time pass survives a restart of Caddy before the provider's
			// redelivery.
			s.ask(0, table("forgotten"), "", "forget", test.namespace, test.id)
			s.caddy.Kill()
			s.start()
			s.ask(0, table("free"), "", "seen", test.provider, test.id)
			if unsigned {
				s.expect(test.captured, http.StatusOK, 0)
			}
			s.expect(test.again, http.StatusOK, 1)
			s.expect(test.again, http.StatusOK, 0)
			if unsigned {
				s.expect(test.captured, http.StatusOK, 0)
			}
			s.ask(1, "", "available: billing, code, github, stripe", "seen", "gitlab", test.id)
		})
	}
}

func TestSeenAndForgetReportThatCaddyIsNotRunning(t *testing.T) {
	for _, command := range []string{"seen", "forget"} {
		cmd := exec.CommandContext(t.Context(), prepared.Caddy(t), "verify-webhook", command, "github", "1", "--address", process.Address(t))
		checkOutput(t, cmd, 1, "", "querying the running Caddy instance: ")
	}
}
