package operate

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/e2e/prepared"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
)

const appSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// TestAppsVerifyTheUniformSignatureWithTheOfficialLibraries runs the apps of
// examples/signed behind a real Caddy, and sends requests that bypass Caddy.
func TestAppsVerifyTheUniformSignatureWithTheOfficialLibraries(t *testing.T) {
	folder := absolute(t, examples, "signed")
	for name, command := range map[string]func(t *testing.T, address, port string) process.Command{
		"Flask": func(t *testing.T, address, _ string) process.Command {
			return process.Command{Path: filepath.Join(prepared.Python(t), "gunicorn"), Args: []string{"--threads", "4", "--bind", address, "flask_app:app"}}
		},
		"FastAPI": func(t *testing.T, _, port string) process.Command {
			return process.Command{Path: filepath.Join(prepared.Python(t), "uvicorn"), Args: []string{"--port", port, "fastapi_app:app"}}
		},
		"Express": func(t *testing.T, _, port string) process.Command {
			prepared.Packages(t, "examples/signed")
			node, err := exec.LookPath("node")
			if err != nil {
				t.Fatal(err)
			}
			return process.Command{Path: node, Args: []string{"express.js"}, Env: []string{"PORT=" + port}}
		},
		"Go": func(t *testing.T, _, port string) process.Command {
			binary := filepath.Join(t.TempDir(), "app")
			build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
			build.Dir = filepath.Join(folder, "go")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			return process.Command{Path: binary, Env: []string{"PORT=" + port}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			app, site := process.Address(t), process.Address(t)
			c := command(t, app, app[strings.LastIndexByte(app, ':')+1:])
			var seen signedLines
			c.Dir, c.Line = folder, seen.add
			c.Env = append(c.Env, "APP_SECRET="+appSecret)
			server := process.Run(t, c, process.Accepts(app))
			startCaddy(t, filepath.Join(folder, "Caddyfile"), "SITE=http://"+site, "APP="+app, "APP_SECRET="+appSecret,
				"GITHUB_WEBHOOK_SECRET="+githubSecret, "STRIPE_WEBHOOK_SECRET="+stripeSecret)

			deliver(t, "github", githubSecret, "http://"+site+"/webhooks/github", "--count", "3")
			deliver(t, "stripe", stripeSecret, "http://"+site+"/webhooks/stripe", "--count", "2")
			deliver(t, "github", githubSecret, "http://"+site+"/webhooks/github", "--tamper")
			bypassed := postDirectly(t, "http://"+app+"/webhooks/github")
			if err := server.Stop(); err != nil {
				t.Fatal(err)
			}
			if bypassed != http.StatusUnauthorized {
				t.Errorf("a request that bypasses Caddy got %d, want 401", bypassed)
			}
			if github, stripe := seen.count("github"), seen.count("stripe"); github != 3 || stripe != 2 {
				t.Errorf("the app verified %d deliveries of GitHub and %d of Stripe, want 3 and 2", github, stripe)
			}
		})
	}
}

// signedLines counts the deliveries that an app verified, by provider.
type signedLines struct {
	mu   sync.Mutex
	seen map[string]int
}

var signedLine = regexp.MustCompile(`signed delivery \S+ of (\w+)`)

func (s *signedLines) add(line []byte) {
	match := signedLine.FindSubmatch(line)
	if match == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = make(map[string]int)
	}
	s.seen[string(match[1])]++
}

func (s *signedLines) count(provider string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[provider]
}

// postDirectly sends a request with a forged signature to the app without Caddy, and
// returns the status.
func postDirectly(t *testing.T, url string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"action":"forged"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Webhook-Id", "msg_1")
	r.Header.Set("Webhook-Timestamp", "1795600000")
	r.Header.Set("Webhook-Signature", "v1,"+strings.Repeat("A", 43)+"=")
	r.Header.Set("Webhook-Verified-Provider", "github")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
