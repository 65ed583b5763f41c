// Package e2e tests a real Caddy between a sender and an app, with requests like those
// of providers.
package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/e2e/prepared"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

const (
	githubSecret   = "the secret of the GitHub endpoint"
	stripeSecret   = "whsec_secretOfTheStripeEndpoint"
	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

	sendWithin = 30 * time.Second
)

const caddyfile = `
http://SITE {
	bind 127.0.0.1
	log
	log_append outcome {http.verify_webhook.outcome}

	handle /webhooks/github {
		verify_webhook github {env.GITHUB_SECRET}
		reverse_proxy APP
	}
	handle /webhooks/stripe {
		verify_webhook stripe {
			secret {env.STRIPE_SECRET}
			max_body 1MiB
		}
		reverse_proxy APP
	}
	handle /webhooks/standard {
		verify_webhook standard-webhooks {env.STANDARD_SECRET}
		reverse_proxy APP
	}
}
`

// site is a Caddy in front of an app.
type site struct {
	*app
	caddy  *sidecar.Sidecar
	url    string
	client *http.Client
	marks  atomic.Int64
}

// startSite starts an app and a Caddy with the Caddyfile above until the test ends. env
// can set other secrets.
func startSite(t *testing.T, env ...string) *site {
	t.Helper()
	a := startApp(t)
	address := process.Address(t)
	folder := t.TempDir()
	config := filepath.Join(folder, "Caddyfile")
	text := strings.NewReplacer("SITE", address, "APP", a.Listener.Addr().String()).Replace(caddyfile)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	caddy := sidecar.Run(t, sidecar.Config{
		Binary: prepared.Caddy(t), Caddyfile: config, State: folder,
		Env: append([]string{"GITHUB_SECRET=" + githubSecret, "STRIPE_SECRET=" + stripeSecret, "STANDARD_SECRET=" + standardSecret}, env...),
	})
	transport := &http.Transport{ExpectContinueTimeout: sendWithin}
	t.Cleanup(transport.CloseIdleConnections) // before Caddy stops, which waits for them
	return &site{app: a, caddy: caddy, url: "http://" + address, client: &http.Client{Transport: transport}}
}

// send sends a delivery and returns the provider's status and the logged outcome.
func (s *site) send(t *testing.T, d delivery.Delivery) (status int, outcome string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sendWithin)
	defer cancel()
	mark := s.newMark()
	answer, err := d.With(sidecar.Mark, mark).Send(ctx, s.client, s.url)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status, s.outcomes(t, mark, 1)[0]
}

// mustBe sends a delivery and fails the test unless it has the given status and outcome.
func (s *site) mustBe(t *testing.T, d delivery.Delivery, wantStatus int, wantOutcome string) {
	t.Helper()
	if status, outcome := s.send(t, d); status != wantStatus || outcome != wantOutcome {
		t.Fatalf("the provider got %d (%s), want %d (%s)", status, outcome, wantStatus, wantOutcome)
	}
}

func (s *site) newMark() string { return fmt.Sprintf("send-%d", s.marks.Add(1)) }

func (s *site) outcomes(t *testing.T, mark string, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sendWithin)
	defer cancel()
	accesses, err := s.caddy.Accesses(ctx, mark, n)
	if err != nil {
		t.Fatal(err)
	}
	outcomes := make([]string, 0, n)
	for _, a := range accesses {
		outcomes = append(outcomes, a.Outcome)
	}
	return outcomes
}

// github returns a genuine delivery, different for every ID.
func github(id string) delivery.Delivery {
	return delivery.GitHub(githubSecret, id, "push", []byte(`{"ref":"refs/heads/`+id+`"}`))
}

// stripe returns a genuine delivery, different for every ID, signed at the given time.
func stripe(id string, at time.Time) delivery.Delivery {
	return delivery.Stripe(stripeSecret, at, []byte(`{"id":"`+id+`","object":"event","type":"invoice.paid"}`))
}
