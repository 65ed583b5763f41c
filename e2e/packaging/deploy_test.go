package packaging

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"

	"github.com/verify-webhook/caddy-verify-webhook/e2e/prepared"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/redisserver"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

const secret = "It's a Secret to Everybody"

// write writes a file to a temporary folder.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// linter returns the path of a program in requirements.txt.
func linter(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(prepared.PythonPackages(t, "e2e/packaging"), name)
}

// validate runs `caddy validate` on a Caddyfile.
func validate(t *testing.T, caddyfile string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), prepared.Caddy(t), "validate", "--adapter", "caddyfile", "--config", caddyfile)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_DATA_HOME=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestEveryCaddyfileIsValid(t *testing.T) {
	github, stripe := write(t, "github", secret), write(t, "stripe", "whsec_"+secret)
	for _, file := range []string{
		"packaging/Caddyfile", "packaging/container.Caddyfile", "examples/systemd/Caddyfile", "examples/compose/Caddyfile",
		"examples/kubernetes/with-redis.yaml", "examples/kubernetes/with-file.yaml",
	} {
		t.Run(file, func(t *testing.T) {
			text := read(t, file)
			if strings.HasSuffix(file, ".yaml") {
				text = configMap(t, file)
			}
			text = regexp.MustCompile(`/run/(secrets|secrets/webhooks|credentials/caddy.service)/github`).ReplaceAllLiteralString(text, github)
			text = regexp.MustCompile(`/run/(secrets|credentials/caddy.service)/stripe`).ReplaceAllLiteralString(text, stripe)
			validate(t, write(t, "Caddyfile", text))
		})
	}
}

func TestHadolintAcceptsTheDockerfile(t *testing.T) {
	if out, err := command(t.Context(), nil, linter(t, "hadolint"), "Dockerfile"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTheImageContainsTheTestedCaddyVersion compares the Dockerfile with go.mod. The
// Dockerfile contains the version for Dependabot and for builds with another version.
func TestTheImageContainsTheTestedCaddyVersion(t *testing.T) {
	inModule := regexp.MustCompile(`caddyserver/caddy/v2 v(\S+)`).FindStringSubmatch(read(t, "go.mod"))
	inImage := regexp.MustCompile(`(?m)^ARG CADDY_VERSION=(\S+)$`).FindStringSubmatch(read(t, "Dockerfile"))
	if inModule == nil || inImage == nil || inModule[1] != inImage[1] {
		t.Errorf("go.mod requires Caddy %v, but the Dockerfile uses %v", inModule, inImage)
	}
}

func TestBothImagesRunCaddyInTheSameWay(t *testing.T) {
	stages := strings.Split(read(t, "Dockerfile"), "\nFROM ")
	if len(stages) != 4 {
		t.Fatalf("the Dockerfile has %d parts, want an introduction and three stages", len(stages))
	}
	settings := func(stage string) string {
		_, after, _ := strings.Cut(stage, "\n")
		before, _, _ := strings.Cut(after, "\n\n")
		return strings.TrimSpace(before)
	}
	if official, distroless := settings(stages[2]), settings(stages[3]); official != distroless {
		t.Errorf("official:\n%s\n\ndistroless:\n%s", official, distroless)
	}
}

func TestKubernetesAcceptsTheManifests(t *testing.T) {
	for _, file := range tracked(t, "examples/kubernetes/*.yaml") {
		if out, err := command(t.Context(), nil, linter(t, "kubernetes-validate"), "--strict", file); err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}

// configMap returns the Caddyfile in a manifest.
func configMap(t *testing.T, file string) string {
	t.Helper()
	var first struct{ Data map[string]string }
	if err := yaml.Unmarshal([]byte(read(t, file)), &first); err != nil {
		t.Fatal(err)
	}
	if first.Data["Caddyfile"] == "" {
		t.Fatalf("%s: the first object is not the ConfigMap", file)
	}
	return first.Data["Caddyfile"]
}

// pod runs the Caddyfile of a manifest as one pod of its Deployment.
type pod struct {
	caddy        *sidecar.Sidecar
	site, probes string
}

func startPod(t *testing.T, file, app, redis, key string) *pod {
	t.Helper()
	p := &pod{site: process.Address(t), probes: process.Address(t)}
	text := strings.NewReplacer(
		"http://:8080", "http://"+p.site, "http_port 8080", "http_port 0", "http://:8081", "http://"+p.probes,
		"/run/secrets/webhooks/github", key, "localhost:5000", app, "redis://webhooks-redis:6379/0", "redis://:pw@"+redis+"/0",
		"shutdown_delay 10s", "shutdown_delay 1s",
	).Replace(configMap(t, file))
	p.caddy = sidecar.Run(t, sidecar.Config{Binary: prepared.Caddy(t), Caddyfile: write(t, "Caddyfile", text), State: t.TempDir()})
	return p
}

// ready returns the status of the readiness probe.
func (p *pod) ready(t *testing.T) int {
	t.Helper()
	resp, err := http.Get("http://" + p.probes + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func (p *pod) send(t *testing.T, id string) (status int, outcome string) {
	t.Helper()
	d := delivery.GitHub(secret, id, "push", []byte(`{"delivery":"`+id+`"}`))
	d.Path = "/webhooks/github"
	answer, err := d.Send(t.Context(), http.DefaultClient, "http://"+p.site)
	if err != nil {
		t.Errorf("sending %s: %v", id, err)
	}
	return answer.Status, answer.Header.Get("Webhook-Verified-Outcome")
}

// TestARolloutLosesNothing checks that a stopping pod fails its readiness probe, serves
// new deliveries, and completes those in progress, and that the next pod recognizes them.
func TestARolloutLosesNothing(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	seen := make(chan string, 10)
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		seen <- r.Header.Get("Webhook-Verified-Id")
		if r.Header.Get("Webhook-Verified-Id") == "slow" {
			close(arrived)
			<-release
		}
	}))
	t.Cleanup(app.Close)
	redis, key := redisserver.Start(t, "pw"), write(t, "github", secret)
	const manifest = "examples/kubernetes/with-redis.yaml"
	upstream := strings.TrimPrefix(app.URL, "http://")
	before := startPod(t, manifest, upstream, redis, key)
	after := startPod(t, manifest, upstream, redis, key)
	if status := before.ready(t); status != http.StatusOK {
		t.Fatalf("ready returns %d before the rollout", status)
	}

	answered := make(chan int)
	go func() {
		status, _ := before.send(t, "slow")
		answered <- status
	}()
	<-arrived
	stopped := make(chan error)
	go func() { stopped <- before.caddy.Stop() }()
	for deadline := time.Now().Add(10 * time.Second); before.ready(t) != http.StatusServiceUnavailable; {
		if time.Now().After(deadline) {
			t.Fatal("a stopping pod passes its readiness probe")
		}
	}
	if status, _ := before.send(t, "late"); status != http.StatusOK {
		t.Errorf("a delivery to the stopping pod got %d", status)
	}
	close(release)
	if status := <-answered; status != http.StatusOK {
		t.Errorf("the delivery in progress got %d", status)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}

	for _, id := range []string{"slow", "late"} {
		if status, outcome := after.send(t, id); status != http.StatusOK || outcome != "duplicate" {
			t.Errorf("%s at the next pod: %d, %s; want 200, duplicate", id, status, outcome)
		}
	}
	if len(seen) != 2 {
		t.Errorf("the app got %d deliveries, want 2", len(seen))
	}
}

// TestComposeAcceptsTheFile loads the file with the loader of docker compose, and checks
// the documented restrictions of the example.
func TestComposeAcceptsTheFile(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{filepath.Join(checkout, "examples/compose/compose.yaml")}, cli.WithWorkingDirectory(filepath.Join(checkout, "examples/compose")))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, service := range project.Services {
		if !service.ReadOnly || len(service.CapDrop) != 1 || service.CapDrop[0] != "ALL" {
			t.Errorf("%s can write to its root, or has capabilities", name)
		}
		if reachable := publishedBeyondLoopback(service); reachable != (name == "caddy") {
			t.Errorf("%s: published to other machines: %v", name, reachable)
		}
		for _, volume := range service.Volumes {
			// Compose creates a folder if a mounted file is missing.
			if _, err := os.Stat(volume.Source); volume.Type == types.VolumeTypeBind && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, name := range []string{"caddy", "app", "redis", "prometheus"} {
		if _, ok := project.Services[name]; !ok {
			t.Errorf("there is no service %s", name)
		}
	}
}

func publishedBeyondLoopback(service types.ServiceConfig) bool {
	for _, port := range service.Ports {
		if port.HostIP != "127.0.0.1" {
			return true
		}
	}
	return false
}

func TestPrometheusAcceptsTheFileOfCompose(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"prometheus.yml": read(t, "examples/compose/prometheus.yml"), "alerts.yml": read(t, "examples/monitoring/alerts.yml")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := command(t.Context(), nil, "promtool", "check", "config", filepath.Join(dir, "prometheus.yml")); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// official is the part of the unit of Caddy's own packages that the drop-in changes.
const official = `[Unit]
After=network-online.target
[Service]
Type=notify
User=caddy
ExecStart=/usr/bin/caddy run --environ --config /etc/caddy/Caddyfile
TimeoutStopSec=5s
`

func TestSystemdAcceptsTheUnits(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"the package's unit":                      {"caddy.service": read(t, "packaging/caddy.service")},
		"the drop-in over the official unit":      {"caddy.service": official, "caddy.service.d/webhooks.conf": read(t, "examples/systemd/webhooks.conf")},
		"the drop-in over the package's own unit": {"caddy.service": read(t, "packaging/caddy.service"), "caddy.service.d/webhooks.conf": read(t, "examples/systemd/webhooks.conf")},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range files {
				path := filepath.Join(dir, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
					t.Fatal(err)
				}
				// systemd checks that the program exists.
				if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "/usr/bin/caddy", prepared.Caddy(t))), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := command(t.Context(), []string{"SYSTEMD_UNIT_PATH=" + dir + ":"}, "systemd-analyze", "verify", "--man=no", "caddy.service")
			if err != nil || strings.Contains(out, "caddy.service") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestNoUnitPrintsTheEnvironment checks the units: many users can read the journal.
func TestNoUnitPrintsTheEnvironment(t *testing.T) {
	for _, file := range []string{"packaging/caddy.service", "examples/systemd/webhooks.conf"} {
		lines := regexp.MustCompile(`(?m)^ExecStart=.+$`).FindAllString(read(t, file), -1)
		if len(lines) != 1 || strings.Contains(lines[0], "--environ") {
			t.Errorf("%s: %v", file, lines)
		}
	}
	if !strings.Contains(read(t, "examples/systemd/webhooks.conf"), "\nExecStart=\n") {
		t.Error("the drop-in adds a second command to the unit: write ExecStart= first")
	}
}
