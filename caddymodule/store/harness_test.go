package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy" // the directive reverse_proxy
	_ "github.com/caddyserver/caddy/v2/modules/logging"                // the log encoders

	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue" // the presets
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
)

const (
	secret         = "It's a Secret to Everybody"
	secretVariable = "VERIFY_WEBHOOK_TEST_SECRET"
)

func TestMain(m *testing.M) {
	if err := os.Setenv(secretVariable, secret); err != nil {
		panic(err)
	}
	os.Exit(inEmptyHome(m.Run))
}

// inEmptyHome keeps the default store out of the user's data folder.
func inEmptyHome(run func() int) int {
	home, err := os.MkdirTemp("", "verify-webhook-home-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(home)
	for _, name := range []string{"HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "AppData"} {
		if err := os.Setenv(name, home); err != nil {
			panic(err)
		}
	}
	return run()
}

// site is a Caddy instance in this process, with one endpoint in front of an
// app.
type site struct {
	t        *testing.T
	address  string
	log      string // the file of all its logs
	app      *httptest.Server
	reached  atomic.Int64
	response atomic.Pointer[http.HandlerFunc] // response of the app; nil: 200
}

// start runs a site. store is the argument of `store` in the Caddyfile; empty
// means the default store.
func start(t *testing.T, store string) *site {
	t.Helper()
	s := &site{t: t, log: filepath.Join(t.TempDir(), "caddy.log")}
	s.app = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.reached.Add(1)
		if response := s.response.Load(); response != nil {
			(*response)(w, r)
		}
	}))
	t.Cleanup(s.app.Close)
	s.address = process.Address(t)
	s.load(store)
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// load replaces the running config, like a reload.
func (s *site) load(store string) {
	s.t.Helper()
	if err := caddy.Load(s.config(store, ""), true); err != nil {
		s.t.Fatal(err)
	}
}

// config returns the JSON of the site. more is appended to its Caddyfile.
func (s *site) config(store, more string) []byte {
	s.t.Helper()
	if store != "" {
		store = "replay {\nstore " + store + "\n}"
	}
	_, port, _ := net.SplitHostPort(s.address)
	text := fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https off
	grace_period 100ms
	log default {
		output file %s
		format json
		level DEBUG
	}
}
http://:%s {
	bind 127.0.0.1
	verify_webhook github {env.%s} {
		%s
	}
	reverse_proxy %s
	%s
}
`, s.log, port, secretVariable, store, s.app.Listener.Addr(), more)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		s.t.Fatal(err)
	}
	return config
}

// validate validates a config like `caddy validate`.
func validate(t *testing.T, config []byte) error {
	t.Helper()
	c := new(caddy.Config)
	if err := json.Unmarshal(config, c); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(c)
}

// send sends a delivery, and resends it when its connection is lost, like a
// provider: a reload closes connections that are still in the queue of a
// socket.
func (s *site) send(id string) (status int) {
	content := `{"number":"` + id + `"}`
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(content))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	for range 100 {
		r, err := http.NewRequest(http.MethodPost, "http://"+s.address+"/in", strings.NewReader(content))
		if err != nil {
			s.t.Error(err)
			return 0
		}
		r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
		r.Header.Set("X-GitHub-Delivery", id)
		resp, err := client.Do(r)
		if err == nil {
			resp.Body.Close()
			return resp.StatusCode
		}
	}
	return 0
}

// once sends a delivery that must reach the app the given number of times.
func (s *site) once(id string, want int) {
	s.t.Helper()
	before := s.reached.Load()
	status := s.send(id)
	if reached := s.reached.Load() - before; status != 200 || reached != int64(want) {
		s.t.Errorf("delivery %s: status %d, it reached the app %d times, want %d", id, status, reached, want)
	}
}

// logged returns the log.
func (s *site) logged() string {
	s.t.Helper()
	p, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(p)
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// loadStore loads a config with a default store in JSON and without servers,
// and returns the error.
func loadStore(store string) error {
	return caddy.Load([]byte(`{"admin":{"disabled":true,"config":{"persist":false}},"logging":{"logs":{"default":{"writer":{"output":"discard"}}}},
		"apps":{"http":{"servers":{"s":{"listen":["unix//`+os.Getenv("HOME")+`/site.sock"],"automatic_https":{"disable":true},"routes":[{"handle":[
			{"handler":"verify_webhook","provider":{"name":"github","secrets":[{"secret":"{env.`+secretVariable+`}"}]},"replay":{"store":`+store+`}}]}]}}}}}`), true)
}
