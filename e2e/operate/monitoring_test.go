package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
)

const monitoring = "../../examples/monitoring"

// tool returns the path of a program of Prometheus.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: e2e/prepare.sh installs it", name)
	}
	return path
}

func TestAlertRulesPassTheirTests(t *testing.T) {
	for _, args := range [][]string{
		{"check", "config", "prometheus.yml"},
		{"check", "rules", "alerts.yml"},
		{"test", "rules", "alerts_test.yml"},
	} {
		cmd := exec.CommandContext(t.Context(), tool(t, "promtool"), args...)
		cmd.Dir = monitoring
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// query is an expression of the dashboard.
type query struct{ panel, expr string }

// labelValues is Grafana's query for the values of a variable, which Prometheus does not
// support.
var labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)

// dashboard returns all expressions, with Grafana's variables replaced.
func dashboard(t *testing.T) []query {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
		Templating struct {
			List []struct {
				Name       string `json:"name"`
				Definition string `json:"definition"`
			} `json:"list"`
		} `json:"templating"`
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("$__rate_interval", "20s", "$__range", "5m", "$provider", ".*", "$endpoint", ".*")
	var all []query
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all = append(all, query{p.Title, fill.Replace(target.Expr)})
		}
	}
	for _, v := range d.Templating.List {
		if found := labelValues.FindStringSubmatch(v.Definition); found != nil {
			all = append(all, query{"the variable " + v.Name, fill.Replace("count by (" + found[2] + ") (" + found[1] + ")")})
		}
	}
	return all
}

// prometheus is a running Prometheus.
type prometheus struct {
	t       *testing.T
	address string
}

func startPrometheus(t *testing.T, target string) *prometheus {
	t.Helper()
	rules, err := filepath.Abs(filepath.Join(monitoring, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	config := write(t, "prometheus.yml", fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: caddy
    static_configs: [{targets: [%q]}]
`, rules, target))
	p := &prometheus{t, process.Address(t)}
	process.Run(t, process.Command{Path: tool(t, "prometheus"), Args: []string{
		"--config.file=" + config, "--storage.tsdb.path=" + t.TempDir(), "--web.listen-address=" + p.address, "--log.level=warn",
	}}, func(ctx context.Context) error {
		_, err := get(ctx, "http://"+p.address+"/-/ready")
		return err
	})
	return p
}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return body, err
}

// ask returns the number of series of an expression.
func (p *prometheus) ask(expr string) (int, error) {
	body, err := get(p.t.Context(), "http://"+p.address+"/api/v1/query?query="+url.QueryEscape(expr))
	if err != nil {
		return 0, err
	}
	var answer struct {
		Data struct {
			Result []json.RawMessage `json:"result"`
		} `json:"data"`
	}
	err = json.Unmarshal(body, &answer)
	return len(answer.Data.Result), err
}

const (
	stripeSecret = "whsec_of_the_monitoring_test"
	githubSecret = "the GitHub secret of the monitoring test"
	// relayedSecret is the secret of deliveries to a relay.
	relayedSecret = "another GitHub secret of the monitoring test"
	queuedSecret  = "the secret of the queue in the monitoring test"
)

// TestDashboardAndAlertsWorkWithARealPrometheus scrapes a real Caddy that receives
// genuine and forged deliveries, and evaluates all queries of the dashboard.
func TestDashboardAndAlertsWorkWithARealPrometheus(t *testing.T) {
	address := process.Address(t)
	startCaddy(t, write(t, "Caddyfile", `
{
	admin {$CADDY_ADMIN}
	verify_webhook {
		store memory
	}
}
http://`+address+` {
	handle /metrics {
		metrics
	}
	handle /stripe {
		verify_webhook stripe {
			secret {env.STRIPE}
			namespace billing
		}
		respond 200
	}
	handle /github {
		verify_webhook github {
			secret {env.GITHUB}
			mode monitor
		}
		respond 200
	}
	handle /relayed {
		verify_webhook github {env.RELAYED}
		webhook_relay dev
		respond 200
	}
	handle /relay {
		webhook_listeners dev {env.RELAY_TOKEN}
	}
	handle /queued {
		verify_webhook github {
			secret {env.QUEUED}
			namespace queued
		}
		webhook_queue orders {
			deliver {
				respond 200
			}
		}
	}
}
`), "QUEUED="+queuedSecret, "RELAYED="+relayedSecret, "RELAY_TOKEN=0123456789abcdef0123456789abcdef", "STRIPE="+stripeSecret, "GITHUB="+githubSecret)
	p := startPrometheus(t, address)

	traffic := func() {
		deliver(t, "stripe", stripeSecret, "http://"+address+"/stripe", "--count", "20")
		deliver(t, "stripe", stripeSecret, "http://"+address+"/stripe", "--replay")
		deliver(t, "stripe", stripeSecret, "http://"+address+"/stripe", "--tamper", "--count", "3")
		deliver(t, "stripe", stripeSecret, "http://"+address+"/stripe", "--stale")
		deliver(t, "github", githubSecret, "http://"+address+"/github")
		deliver(t, "github", relayedSecret, "http://"+address+"/relayed")
		deliver(t, "github", queuedSecret, "http://"+address+"/queued", "--count", "5")
	}
	deadline := time.Now().Add(time.Minute)
	missing := dashboard(t)
	for len(missing) > 0 && time.Now().Before(deadline) {
		traffic()
		missing = unanswered(t, p, missing)
	}
	for _, q := range missing {
		t.Errorf("%s: no data for %s", q.panel, q.expr)
	}
	p.checkRules()
	checkMetricNames(t, address)
}

// unanswered returns the queries without data. An invalid query fails the test.
func unanswered(t *testing.T, p *prometheus, queries []query) []query {
	t.Helper()
	var missing []query
	for _, q := range queries {
		n, err := p.ask(q.expr)
		if err != nil {
			t.Fatalf("%s: %s: %v", q.panel, q.expr, err)
		}
		if n == 0 {
			missing = append(missing, q)
		}
	}
	return missing
}

// checkRules checks that every rule is evaluated without an error.
func (p *prometheus) checkRules() {
	p.t.Helper()
	body, err := get(p.t.Context(), "http://"+p.address+"/api/v1/rules")
	if err != nil {
		p.t.Fatal(err)
	}
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct {
					Name      string `json:"name"`
					Health    string `json:"health"`
					LastError string `json:"lastError"`
				} `json:"rules"`
			} `json:"groups"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		p.t.Fatal(err)
	}
	n := 0
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			if n++; r.Health != "ok" {
				p.t.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if n < 10 {
		p.t.Errorf("only %d rules", n)
	}
}

var metricName = regexp.MustCompile(`caddy_verify_webhook_[a-z_]+`)

// checkMetricNames checks that the metrics in the dashboard, alerts and documentation
// exist.
func checkMetricNames(t *testing.T, address string) {
	t.Helper()
	exposed, err := get(t.Context(), "http://"+address+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"dashboard.json", "alerts.yml", "../../docs/operating.md", "../../docs/queue.md"} {
		text, err := os.ReadFile(filepath.Join(monitoring, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range metricName.FindAllString(string(text), -1) {
			if name != "caddy_verify_webhook_" && !strings.Contains(string(exposed), "\n"+name+"{") && !strings.Contains(string(exposed), "\n"+name+" ") {
				t.Errorf("%s contains %s, which is not a metric of Caddy", file, name)
			}
		}
	}
}
