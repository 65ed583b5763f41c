package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
)

// TestWhatTheProvidersOwnLibrariesSignIsVerified has the libraries sign that the
// providers publish (e2e/signers; `make test` installs them).
func TestWhatTheProvidersOwnLibrariesSignIsVerified(t *testing.T) {
	s := startSite(t)
	sign := startSigner(t)
	const body = `{"id":"evt_own","type":"invoice.paid","note":"Grüße 👋"}`
	now := time.Now().Unix()

	for _, tc := range []struct {
		library string
		path    string
		secret  string
		also    map[string]string // headers that the library does not make
	}{
		{"@octokit/webhooks-methods", "/webhooks/github", githubSecret, map[string]string{"X-Github-Delivery": "own", "X-Github-Event": "push"}},
		{"stripe", "/webhooks/stripe", stripeSecret, nil},
		{"standardwebhooks", "/webhooks/standard", standardSecret, nil},
	} {
		t.Run(tc.library, func(t *testing.T) {
			d := delivery.Delivery{Path: tc.path, Body: []byte(body), Header: http.Header{}}.With("Content-Type", "application/json")
			for name, value := range tc.also {
				d = d.With(name, value)
			}
			request := signRequest{Library: tc.library, Secret: tc.secret, ID: "msg_own", Timestamp: now, Body: body}
			for name, value := range sign(t, request) {
				d = d.With(name, value)
			}
			s.mustBe(t, d.Altered(), http.StatusUnauthorized, "invalid_signature")
			s.mustBe(t, d, http.StatusOK, "verified")
			s.mustBe(t, d, http.StatusOK, "duplicate")
		})
	}
	s.sawTimes(t, 3)
}

// signRequest is what e2e/signers/sign.mjs reads.
type signRequest struct {
	Library   string `json:"library"`
	Secret    string `json:"secret"`
	ID        string `json:"id"`
	Timestamp int64  `json:"timestamp"`
	Body      string `json:"body"`
}

// startSigner starts the signing program. The function returned has it sign, and
// returns the headers that the provider would send.
func startSigner(t *testing.T) func(*testing.T, signRequest) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "sign.mjs")
	cmd.Dir = "signers"
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(fmt.Errorf("starting the signing libraries: %w; e2e/prepare.sh installs them", err))
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})

	answers := bufio.NewScanner(stdout)
	return func(t *testing.T, r signRequest) map[string]string {
		t.Helper()
		if err := json.NewEncoder(stdin).Encode(r); err != nil {
			t.Fatal(err)
		}
		if !answers.Scan() {
			t.Fatalf("the signing libraries said nothing: %v; e2e/prepare.sh installs them", answers.Err())
		}
		var headers map[string]string
		if err := json.Unmarshal(answers.Bytes(), &headers); err != nil {
			t.Fatal(err)
		}
		return headers
	}
}
