package inspector_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"                // the directive basic_auth
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/forwardauth" // the directive forward_auth
	_ "github.com/caddyserver/caddy/v2/modules/logging"                            // the log encoders
	"github.com/spf13/cobra"

	_ "github.com/verify-webhook/caddy-verify-webhook/caddymodule/command"   // caddy verify-webhook
	_ "github.com/verify-webhook/caddy-verify-webhook/caddymodule/inspector" // the handler
	_ "github.com/verify-webhook/caddy-verify-webhook/caddymodule/store"     // the replay stores
	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue"             // the presets
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	_ "github.com/verify-webhook/caddy-verify-webhook/internal/testkit/redial" // a reload resets connections
)

const (
	githubSecret = "It's a Secret to Everybody"
	gitlabToken  = "glwt-0123456789abcdef"
	within       = 30 * time.Second
)

// server is a Caddy in this process with endpoints and an inspector.
type server struct {
	t                      *testing.T
	admin, site, inspector string
}

// start runs a Caddyfile in which ADMIN and SITE are addresses. INSPECTOR is a port,
// so that Caddy accepts every Host.
func start(t *testing.T, caddyfile string) *server {
	t.Helper()
	s := &server{t: t, admin: process.Address(t), site: process.Address(t), inspector: process.Address(t)}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := s.load(caddyfile); err != nil {
		t.Fatal(err)
	}
	s.ask("/api/clear", struct{}{}) // from other tests in this process
	return s
}

// load replaces the running config, as a reload does.
func (s *server) load(caddyfile string) error {
	text := strings.NewReplacer("ADMIN", s.admin, "SITE", s.site, "INSPECTOR", s.inspector[strings.LastIndexByte(s.inspector, ':'):]).Replace(caddyfile)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	if err != nil {
		return err
	}
	return caddy.Load(config, true)
}

// config returns a site with endpoints of GitHub and GitLab, and an inspector with
// these options.
func config(options string) string {
	return `{
	admin ADMIN
	persist_config off
	log default {
		output discard
	}
	verify_webhook {
		store memory
	}
}
http://SITE {
	bind 127.0.0.1
	handle /webhooks/github {
		verify_webhook github "` + githubSecret + `"
		respond "done" 202
	}
	handle /webhooks/gitlab {
		verify_webhook gitlab ` + gitlabToken + `
		respond 500
	}
}
http://INSPECTOR {
	bind 127.0.0.1
	webhook_inspector {
		` + options + `
	}
}
`
}

const capture = "capture {\n}\n"

// github returns a genuine delivery, different for each ID.
func github(id string) delivery.Delivery {
	return delivery.GitHub(githubSecret, id, "push", []byte(`{"ref":"refs/heads/`+id+`"}`))
}

// forged returns a delivery that is signed with another secret.
func forged(id string) delivery.Delivery {
	return delivery.GitHub("another", id, "push", []byte(`{"ref":"refs/heads/`+id+`"}`))
}

// send sends a delivery and returns the status.
func (s *server) send(d delivery.Delivery) int {
	s.t.Helper()
	answer, err := d.Send(s.t.Context(), http.DefaultClient, "http://"+s.site)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.Status
}

// ask sends a request to the inspector, as a page of the same origin does.
func (s *server) ask(path string, body any) (status int, text string) {
	s.t.Helper()
	method, content := http.MethodGet, []byte(nil)
	if body != nil {
		method = http.MethodPost
		var err error
		if content, err = json.Marshal(body); err != nil {
			s.t.Fatal(err)
		}
	}
	r := s.request(method, path, content)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", "http://"+s.inspector)
	}
	return s.do(r)
}

func (s *server) request(method, path string, content []byte) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.inspector+path, bytes.NewReader(content))
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *server) do(r *http.Request) (status int, text string) {
	s.t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// summary contains the compared members of a delivery in the list.
type summary struct {
	Number    uint64 `json:"number"`
	Endpoint  string `json:"endpoint"`
	Outcome   string `json:"outcome"`
	ID        string `json:"id"`
	Path      string `json:"path"`
	Response  int    `json:"response"`
	AppStatus int    `json:"app_status"`
}

// watch returns the next deliveries in the output of `watch`.
func (s *server) watch(count int, args ...string) (all []summary) {
	s.t.Helper()
	out, err := s.command(append([]string{"watch", "--json", "--count", fmt.Sprint(count)}, args...)...)
	if err != nil {
		s.t.Fatalf("watch: %v\n%s", err, out)
	}
	for line := range strings.Lines(out) {
		var one summary
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		all = append(all, one)
	}
	return all
}

// command runs `caddy verify-webhook` with the admin API of the server.
func (s *server) command(args ...string) (out string, err error) {
	s.t.Helper()
	root := &cobra.Command{Use: "caddy", SilenceUsage: true}
	cmd := &cobra.Command{Use: "verify-webhook"}
	caddycmd.Commands()["verify-webhook"].CobraFunc(cmd)
	root.AddCommand(cmd)
	var b, errors bytes.Buffer
	root.SetOut(&b)
	root.SetErr(&errors)
	root.SetArgs(append(append([]string{"verify-webhook"}, args...), "--address", s.admin))
	err = root.ExecuteContext(s.t.Context())
	return b.String(), err
}
