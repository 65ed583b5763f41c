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

// forgetfulSite is a Caddy with the file store in front of an app, and its
// operator.
type forgetfulSite struct {
	t       *testing.T
	url     string
	config  sidecar.Config
	caddy   *sidecar.Sidecar
	reached atomic.Int64 // since the last look
}

func startForgetfulSite(t *testing.T) *forgetfulSite {
	t.Helper()
	s := &forgetfulSite{t: t}
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

func (s *forgetfulSite) start() {
	s.t.Helper()
	s.caddy = sidecar.Run(s.t, s.config)
}

// expect sends a delivery and wants this answer, and that it reaches the app
// so many times.
func (s *forgetfulSite) expect(d delivery.Delivery, status int, reached int64) {
	s.t.Helper()
	answer, err := d.Send(s.t.Context(), http.DefaultClient, s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	if n := s.reached.Swap(0); answer.Status != status || n != reached {
		s.t.Errorf("status %d, it reached the app %d times; want %d, %d", answer.Status, n, status, reached)
	}
}

// says runs a command and wants it to end so, to print this, and to have that
// among its messages.
func says(t *testing.T, cmd *exec.Cmd, code int, stdout, stderr string) {
	t.Helper()
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("%v ended with %d, want %d", cmd.Args, got, code)
	}
	if out.String() != stdout {
		t.Errorf("%v printed\n%swant\n%s", cmd.Args, out.String(), stdout)
	}
	if !strings.Contains(messages.String(), stderr) {
		t.Errorf("%v says %s; want %s", cmd.Args, messages.String(), stderr)
	}
}

// ask runs a command of the module on the Caddy that runs.
func (s *forgetfulSite) ask(code int, stdout, stderr string, args ...string) {
	s.t.Helper()
	says(s.t, s.caddy.Command(s.t.Context(), append([]string{"verify-webhook"}, args...)...), code, stdout, stderr)
}

// TestAnOperatorHasADeliveryHandledAgain does what docs/replays.md tells
// operators to do, on the built binary.
func TestAnOperatorHasADeliveryHandledAgain(t *testing.T) {
	for _, test := range []struct {
		provider, namespace, id, line string
		// first is the delivery as it came, again the same as the provider
		// sends it anew, captured its content under another ID, if the
		// signature leaves that open.
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

			// What was forgotten stays so, whatever becomes of Caddy before
			// the provider gets round to sending it again.
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

func TestSeenAndForgetSayThatNoCaddyRuns(t *testing.T) {
	for _, command := range []string{"seen", "forget"} {
		cmd := exec.CommandContext(t.Context(), prepared.Caddy(t), "verify-webhook", command, "github", "1", "--address", process.Address(t))
		says(t, cmd, 1, "", "asking the Caddy that runs: ")
	}
}
