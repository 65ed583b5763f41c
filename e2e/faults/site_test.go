package faults

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/e2e/prepared"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

const githubSecret = "the secret of the GitHub endpoint"

const caddyfile = `
{
	log {
		level WARN
	}
	verify_webhook {
		store STORE
	}
}

http://SITE {
	bind 127.0.0.1
	route /webhooks/github {
		verify_webhook github {
			secret {env.GITHUB_SECRET}
			app_timeout 1s
			replay {
				lease LEASE
				wait 200ms
			}
		}
		@panic header X-Fault panic
		abort @panic
		@broken header X-Fault broken
		error @broken 502
		reverse_proxy APP
	}
}
`

// site is a Caddy in front of an app, with one store, which it can share with another
// site. Its address and its state persist across restarts of the process.
type site struct {
	t      *testing.T
	url    string
	config sidecar.Config
	fill   *strings.Replacer // everything except the store
	caddy  *sidecar.Sidecar
}

// startSite starts a Caddy. store contains the arguments of `store` in the Caddyfile;
// STATE in it is a folder that persists across crashes.
func startSite(t *testing.T, a *app, store, lease string) *site {
	t.Helper()
	address := process.Address(t)
	folder := t.TempDir()
	s := &site{t: t, url: "http://" + address}
	s.fill = strings.NewReplacer("SITE", address, "APP", a.Listener.Addr().String(), "LEASE", lease, "STATE", folder)
	s.config = sidecar.Config{
		Binary: prepared.Caddy(t), Caddyfile: filepath.Join(folder, "Caddyfile"), State: folder,
		Env: []string{"GITHUB_SECRET=" + githubSecret},
	}
	s.configure(store)
	s.start()
	return s
}

// configure writes the Caddyfile for start or reload.
func (s *site) configure(store string) {
	s.write(strings.Replace(caddyfile, "STORE", store, 1))
}

func (s *site) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.config.Caddyfile, []byte(s.fill.Replace(text)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) start() {
	s.t.Helper()
	s.caddy = sidecar.Run(s.t, s.config)
}

// crash kills Caddy with SIGKILL and restarts it with its remaining state.
func (s *site) crash() {
	s.t.Helper()
	s.caddy.Kill()
	s.start()
}

func (s *site) reload() {
	s.t.Helper()
	if err := s.caddy.Reload(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// validate runs `caddy validate` on the current Caddyfile.
func (s *site) validate() {
	s.t.Helper()
	out, err := s.caddy.Command(s.t.Context(), "validate", "--config", s.config.Caddyfile, "--adapter", "caddyfile").CombinedOutput()
	if err != nil {
		s.t.Errorf("validating: %v\n%s", err, out)
	}
}
