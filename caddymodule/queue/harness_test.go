package queue

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"      // the directive header
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy" // the directive reverse_proxy
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"      // the directives rewrite and uri
	_ "github.com/caddyserver/caddy/v2/modules/logging"                // the log encoders

	_ "github.com/verify-webhook/caddy-verify-webhook/caddymodule/store" // the replay stores
	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue"         // the presets
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	_ "github.com/verify-webhook/caddy-verify-webhook/internal/testkit/redial" // a reload resets connections
	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
)

const (
	secret         = "It's a Secret to Everybody"
	secretVariable = "VERIFY_WEBHOOK_TEST_SECRET"
	// within is how long a test waits for an event that must happen.
	within = 20 * time.Second
)

func TestMain(m *testing.M) {
	if err := os.Setenv(secretVariable, secret); err != nil {
		panic(err)
	}
	os.Exit(inEmptyHome(m.Run))
}

// inEmptyHome runs tests with an empty home, so that the default stores are not in
// the user's data folder.
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

// arrival is a request that the app has received.
type arrival struct {
	method, uri, host string
	header            http.Header
	body              string
}

func (a arrival) id() string      { return a.header.Get("X-GitHub-Delivery") }
func (a arrival) attempt() string { return a.header.Get("Webhook-Verified-Attempt") }

// app is an upstream. It responds as a test sets, and with 200 by default.
type app struct {
	*httptest.Server

	arrivals chan arrival

	mu     sync.Mutex
	answer http.HandlerFunc
}

func newApp(t *testing.T) *app {
	a := newStoppedApp(t)
	a.Start()
	return a
}

// newStoppedApp returns an app that refuses connections until it is started.
func newStoppedApp(t *testing.T) *app {
	t.Helper()
	a := &app{arrivals: make(chan arrival, 100_000)}
	address := process.Address(t)
	a.Server = &httptest.Server{Config: &http.Server{Handler: http.HandlerFunc(a.serve)}} //nolint:gosec // no timeouts in a test
	a.Config.Addr = address
	t.Cleanup(func() {
		if a.Listener != nil {
			a.Close()
		}
	})
	return a
}

func (a *app) address() string { return a.Config.Addr }

// Start starts listening.
func (a *app) Start() {
	l, err := net.Listen("tcp", a.address())
	if err != nil {
		panic(err)
	}
	a.Listener = l
	a.Server.Start()
}

func (a *app) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		body = append(body, ("[" + err.Error() + "]")...)
	}
	a.mu.Lock()
	answer := a.answer
	a.mu.Unlock()
	a.arrivals <- arrival{r.Method, r.RequestURI, r.Host, r.Header, string(body)}
	if answer != nil {
		answer(w, r)
	}
}

// answers sets how the app responds; nil is 200.
func (a *app) answers(f http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = f
}

// hold makes the app block until release is called or the test ends.
func (a *app) hold(t *testing.T) (release func()) {
	t.Helper()
	held := make(chan struct{})
	a.answers(func(http.ResponseWriter, *http.Request) { <-held })
	release = sync.OnceFunc(func() {
		a.answers(nil)
		close(held)
	})
	t.Cleanup(release)
	return release
}

// statuses responds with each status in turn, and then repeats the last one.
func statuses(all ...int) http.HandlerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.WriteHeader(all[0])
		if len(all) > 1 {
			all = all[1:]
		}
	}
}

// next returns the next arrival.
func (a *app) next(t *testing.T) arrival {
	t.Helper()
	select {
	case got := <-a.arrivals:
		return got
	case <-time.After(within):
		t.Fatal("the app received nothing")
		return arrival{}
	}
}

// site is a Caddy in this process, with queues in front of an app.
type site struct {
	t       *testing.T
	scheme  string
	address string
	log     string // the file with all logs
	queue   string // the file of the queues
	admin   string // off, or the address of the admin API
	store   string // of the queues
	app     *app
	client  *http.Client
}

// usual is a site with one queue. OPTIONS is replaced by options of webhook_queue.
const usual = `verify_webhook github {env.` + secretVariable + `}
	webhook_queue orders {
		deliver {
			reverse_proxy APP
		}
		retry 10ms
		OPTIONS
	}`

func usualSite(options string) string { return strings.ReplaceAll(usual, "OPTIONS", options) }

// start runs a site. In its text, APP is replaced by the address of the app.
func start(t *testing.T, text string) *site {
	t.Helper()
	s := newSite(t)
	s.load(text)
	return s
}

func newSite(t *testing.T) *site {
	t.Helper()
	folder := t.TempDir()
	s := &site{
		t: t, scheme: "http", address: process.Address(t), app: newApp(t),
		log: filepath.Join(folder, "caddy.log"), queue: filepath.Join(folder, "queue.db"),
		admin: "off", store: "file " + filepath.Join(folder, "queue.db"),
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: within},
	}
	t.Cleanup(s.stop)
	return s
}

func (s *site) stop() {
	s.t.Helper()
	if err := caddy.Stop(); err != nil {
		s.t.Error(err)
	}
}

// load replaces the running config, as a reload does.
func (s *site) load(text string) {
	s.t.Helper()
	if err := s.tryLoad(text); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) tryLoad(text string) error {
	s.t.Helper()
	config, err := adapt(s.caddyfile(text))
	if err != nil {
		return err
	}
	return caddy.Load(config, true)
}

func (s *site) caddyfile(text string) string {
	_, port, _ := net.SplitHostPort(s.address)
	text = fmt.Sprintf(`{
	admin %s
	persist_config off
	auto_https off
	grace_period 10s
	log default {
		output file %s
		format json
		level DEBUG
	}
	verify_webhook {
		store memory %s
		queue %s
	}
}
http://:%s {
	bind 127.0.0.1
	%s
}
`, s.admin, s.log, strings.ReplaceAll(s.t.Name(), "/", "_"), s.store, port, text)
	return strings.ReplaceAll(text, "APP", s.app.address())
}

func adapt(caddyfile string) ([]byte, error) {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	return config, err
}

// delivery is a request that a provider sends.
type delivery struct {
	id, path, body string
	header         http.Header
}

// send sends a GitHub delivery, and retries it if its connection is lost: a reload
// can close a socket with connections that were not accepted yet.
func (s *site) send(d delivery) *http.Response {
	s.t.Helper()
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(d.body))
	for range 100 {
		r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.scheme+"://"+s.address+d.path, strings.NewReader(d.body))
		if err != nil {
			s.t.Fatal(err)
		}
		r.Header.Set("X-GitHub-Event", "push")
		maps.Copy(r.Header, d.header)
		r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
		r.Header.Set("X-GitHub-Delivery", d.id)
		resp, err := s.client.Do(r)
		if err == nil {
			resp.Body.Close()
			return resp
		}
	}
	s.t.Fatal("all connections were lost")
	return nil
}

// event returns a delivery with unique content.
func event(id string) delivery {
	return delivery{id: id, path: "/in?x=1", body: `{"number":"` + id + `"}`}
}

// mustSend sends a delivery and checks the status of its response.
func (s *site) mustSend(id string, want int) {
	s.t.Helper()
	if resp := s.send(event(id)); resp.StatusCode != want {
		s.t.Fatalf("delivery %s got %d, want %d", id, resp.StatusCode, want)
	}
}

// opened returns the store of the running config.
func (s *site) opened() durable.Queue {
	s.t.Helper()
	g := services.latest()
	if g == nil {
		s.t.Fatal("no queue is open")
	}
	q, done, err := g.use(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	done()
	return q
}

// eventually waits until the counts of a queue are as wanted, and returns them.
func (s *site) eventually(name, what string, want func(durable.Stats) bool) durable.Stats {
	s.t.Helper()
	q := s.opened()
	deadline := time.Now().Add(within)
	for {
		stats, err := q.Stats(s.t.Context(), name)
		if err == nil && want(stats) {
			return stats
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("queue %s: %+v, %v; want %s", name, stats, err, what)
		}
		time.Sleep(2 * time.Millisecond) // the store has no notifications
	}
}

// delivered waits until a queue contains only n tombstones.
func (s *site) delivered(name string, n int64) {
	s.t.Helper()
	s.eventually(name, fmt.Sprintf("%d delivered and nothing else", n), func(stats durable.Stats) bool {
		return stats.Waiting == 0 && stats.InFlight == 0 && stats.Dead == 0 && stats.Tombstones == n
	})
}

// dead waits until a queue contains n dead entries and no waiting ones.
func (s *site) dead(name string, n int64) {
	s.t.Helper()
	s.eventually(name, fmt.Sprintf("%d dead", n), func(stats durable.Stats) bool {
		return stats.Waiting == 0 && stats.InFlight == 0 && stats.Dead == n
	})
}

// entries lists a queue.
func (s *site) entries(name string) []durable.Entry {
	s.t.Helper()
	page, err := s.opened().List(s.t.Context(), durable.Filter{Queue: name})
	if err != nil {
		s.t.Fatal(err)
	}
	return page.Entries
}

// failed waits until the only entry of a queue has failed, and returns it.
func (s *site) failed(name string) durable.Entry {
	s.t.Helper()
	deadline := time.Now().Add(within)
	for time.Now().Before(deadline) {
		if all := s.entries(name); len(all) == 1 && !all[0].Last.At.IsZero() && all[0].State != durable.InFlight {
			return all[0]
		}
		time.Sleep(2 * time.Millisecond) // the store has no notifications
	}
	s.t.Fatalf("queue %s contains %+v", name, s.entries(name))
	return durable.Entry{}
}

// logged returns the lines of the log with a message.
func (s *site) logged(message string) (lines []map[string]any) {
	s.t.Helper()
	p, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(p)) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			s.t.Fatal(err)
		}
		if text, _ := entry["msg"].(string); strings.Contains(text, message) {
			lines = append(lines, entry)
		}
	}
	return lines
}

// validate validates a config as `caddy validate` does.
func validate(t *testing.T, config []byte) error {
	t.Helper()
	c := new(caddy.Config)
	if err := json.Unmarshal(config, c); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(c)
}
