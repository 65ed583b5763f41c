package operate

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/e2e/prepared"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
)

const examples = "../../examples"

// printed collects the lines that an app prints for deliveries.
type printed struct {
	mu    sync.Mutex
	lines []string
}

var deliveryLine = regexp.MustCompile(`(github delivery|stripe event) (\S+): (\S+)`)

func (p *printed) add(line []byte) {
	if match := deliveryLine.FindString(string(line)); match != "" {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lines = append(p.lines, match)
	}
}

// count returns the number of lines with a prefix.
func (p *printed) count(start string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, line := range p.lines {
		if strings.HasPrefix(line, start) {
			n++
		}
	}
	return n
}

// absolute returns an absolute path.
func absolute(t *testing.T, parts ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestExampleAppsReceiveOnlyGenuineNewDeliveries runs each app behind a real
// Caddy with the example's Caddyfile.
func TestExampleAppsReceiveOnlyGenuineNewDeliveries(t *testing.T) {
	for name, command := range map[string]func(t *testing.T, address, port string) process.Command{
		"django": func(t *testing.T, address, _ string) process.Command {
			return process.Command{Path: filepath.Join(prepared.Python(t), "gunicorn"), Args: []string{"--workers", "2", "--threads", "4", "--bind", address, "app:application"}}
		},
		"express": func(t *testing.T, _, port string) process.Command {
			prepared.Packages(t, "examples/express")
			node, err := exec.LookPath("node")
			if err != nil {
				t.Fatal(err)
			}
			return process.Command{Path: node, Args: []string{"app.js"}, Env: []string{"PORT=" + port}}
		},
		"go": func(t *testing.T, _, port string) process.Command {
			binary := filepath.Join(t.TempDir(), "app")
			if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, absolute(t, examples, "go")).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			return process.Command{Path: binary, Env: []string{"PORT=" + port}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			app, site := process.Address(t), process.Address(t)
			c := command(t, app, app[strings.LastIndexByte(app, ':')+1:])
			var seen printed
			c.Dir, c.Line = absolute(t, examples, name), seen.add
			server := process.Run(t, c, process.Accepts(app))
			startCaddy(t, absolute(t, examples, name, "Caddyfile"), "SITE=http://"+site, "APP="+app,
				"GITHUB_WEBHOOK_SECRET="+githubSecret, "STRIPE_WEBHOOK_SECRET="+stripeSecret)

			github, stripe := "http://"+site+"/webhooks/github", "http://"+site+"/webhooks/stripe"
			deliver(t, "github", githubSecret, github, "--count", "3")
			deliver(t, "stripe", stripeSecret, stripe, "--count", "2")
			deliver(t, "github", githubSecret, github, "--replay")
			deliver(t, "stripe", stripeSecret, stripe, "--replay")
			deliver(t, "github", githubSecret, github, "--tamper")
			deliver(t, "stripe", stripeSecret, stripe, "--tamper")
			deliver(t, "stripe", stripeSecret, stripe, "--stale")

			if err := server.Stop(); err != nil {
				t.Fatal(err)
			}
			if n := seen.count("github delivery"); n != 4 {
				t.Errorf("GitHub deliveries reached the app %d times, want 4", n)
			}
			if n := seen.count("stripe event evt_"); n != 3 {
				t.Errorf("Stripe events reached the app %d times, want 3", n)
			}
		})
	}
}

// TestExampleAppsAreShort keeps the examples short: they show that an app needs little
// code.
func TestExampleAppsAreShort(t *testing.T) {
	for _, app := range []string{"django/app.py", "express/app.js", "go/main.go"} {
		f, err := os.Open(filepath.Join(examples, app))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		n := 0
		for lines := bufio.NewScanner(f); lines.Scan(); n++ {
		}
		if n > 50 {
			t.Errorf("%s has %d lines", app, n)
		}
	}
}
