// Package protocols tests the built Caddy over HTTP/2 and HTTP/3 with TLS, as providers
// use it, and attacks it frame by frame: with bodies that are shorter or longer than
// declared, aborted or missing, and with trailers that have the names of identity headers.
// Only verified bytes reach the app.
package protocols

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/e2e/prepared"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

const (
	githubSecret = "the secret of the GitHub endpoint"
	gitlabToken  = "the token of the GitLab endpoint"
	stripeSecret = "whsec_secretOfTheStripeEndpoint"
	maxBody      = 4 << 20
)

// fronts are handlers in front of verify_webhook that copy the request or wrap its
// body. Their names are also the first part of the paths of their endpoints.
var fronts = map[string]string{
	"plain":        "",
	"tracing":      "tracing {\nspan x\n}",
	"forward_auth": "forward_auth AUTH {\nuri /\n}",
	"all":          "tracing {\nspan x\n}\nforward_auth AUTH {\nuri /\n}\nrequest_body {\nmax_size 100MB\n}",
}

// endpoints are the endpoints behind each front: %[1]s is its name, %[2]s its directive.
const endpoints = `
	handle /%[1]s/github {
		route {
			%[2]s
			verify_webhook github {
				secret {env.GITHUB_SECRET}
				namespace %[1]s-github
				max_body 4MiB
			}
			reverse_proxy APP
		}
	}
	handle /%[1]s/gitlab {
		route {
			%[2]s
			verify_webhook gitlab {
				secret {env.GITLAB_TOKEN}
				namespace %[1]s-gitlab
			}
			reverse_proxy APP
		}
	}
	handle /%[1]s/stripe {
		route {
			%[2]s
			verify_webhook stripe {
				secret {env.STRIPE_SECRET}
				namespace %[1]s-stripe
			}
			reverse_proxy APP
		}
	}
	handle /%[1]s/impatient {
		route {
			%[2]s
			verify_webhook github {
				secret {env.GITHUB_SECRET}
				namespace %[1]s-impatient
				body_timeout 200ms
			}
			reverse_proxy APP
		}
	}`

// caddyfile sends every failed request to the app through an error route.
const caddyfile = `
{
	skip_install_trust
	auto_https disable_redirects
	verify_webhook {
		store memory
	}
}
https://AUTHORITY {
	bind 127.0.0.1
	tls internal
	log
	log_append outcome {http.verify_webhook.outcome}
	handle /metrics {
		metrics
	}
	ENDPOINTS
	handle_errors {
		reverse_proxy APP
	}
}
`

// site is a Caddy in front of an app.
type site struct {
	*app
	caddy              *sidecar.Sidecar
	authority, address string // localhost and its port, and the loopback address
	tls                *tls.Config
	marks              atomic.Int64
}

// startSite starts an app and a Caddy until the test ends. The test fails if an
// unverified byte reached the app.
func startSite(t *testing.T) *site {
	t.Helper()
	app, auth := startApp(t), startAuth(t)
	address, folder := process.Address(t), t.TempDir()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{app: app, address: address, authority: "localhost:" + port}

	var all strings.Builder
	for name, front := range fronts {
		fmt.Fprintf(&all, endpoints, name, front)
	}
	text := strings.NewReplacer("ENDPOINTS", all.String()).Replace(caddyfile)
	text = strings.NewReplacer("AUTHORITY", s.authority, "APP", app.address, "AUTH", auth).Replace(text)
	config := filepath.Join(folder, "Caddyfile")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.caddy = sidecar.Run(t, sidecar.Config{
		Binary: prepared.Caddy(t), Caddyfile: config, State: folder,
		Env: []string{"GITHUB_SECRET=" + githubSecret, "GITLAB_TOKEN=" + gitlabToken, "STRIPE_SECRET=" + stripeSecret, "OTEL_TRACES_EXPORTER=none"},
	})
	s.trust(t, filepath.Join(folder, "data", "caddy", "pki", "authorities", "local", "root.crt"))
	t.Cleanup(func() { s.onlyVerified(t) })
	return s
}

// trust waits until Caddy serves a certificate of its internal CA, which it issues after
// it has started.
func (s *site) trust(t *testing.T, root string) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var pem []byte
		if pem, err = os.ReadFile(root); err != nil {
			continue
		}
		s.tls = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost", MinVersion: tls.VersionTLS12}
		s.tls.RootCAs.AppendCertsFromPEM(pem)
		var conn *tls.Conn
		if conn, err = tls.Dial("tcp", s.address, s.tls); err == nil {
			_ = conn.Close()
			return
		}
	}
	t.Fatalf("no certificate within %v: %v", patience, err)
}

// outcome waits until a request is in the access log, which means that it is complete,
// and returns its outcome.
func (s *site) outcome(t *testing.T, mark string) string {
	t.Helper()
	return s.outcomes(t, mark, 1)[0]
}

func (s *site) outcomes(t *testing.T, mark string, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	accesses, err := s.caddy.Accesses(ctx, mark, n)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, a := range accesses {
		all = append(all, a.Outcome)
	}
	return all
}

// begun waits until Caddy handles or has handled a request, which must be the only one
// of its endpoint.
func (s *site) begun(t *testing.T, mark, endpoint string) {
	t.Helper()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	inFlight := regexp.MustCompile(`caddy_verify_webhook_in_flight\{endpoint="` + endpoint + `",[^}]*\} [1-9]`)
	client := s.client(t, "HTTP/1.1")
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := s.caddy.Accesses(gone, mark, 1); err == nil {
			return
		}
		resp, err := client.Get("https://" + s.authority + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		metrics, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil && inFlight.Match(metrics) {
			return
		}
	}
	t.Fatalf("%s does not handle the request within %v", endpoint, patience)
}

func (s *site) newMark() string { return fmt.Sprintf("request-%d", s.marks.Add(1)) }
