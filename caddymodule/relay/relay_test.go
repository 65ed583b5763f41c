package relay

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/encode" // the directive encode
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/encode/gzip"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/requestbody"  // the directive request_body
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy" // the directive reverse_proxy
	_ "github.com/caddyserver/caddy/v2/modules/logging"                // the log encoders

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/listen"
	_ "github.com/verify-webhook/caddy-verify-webhook/caddymodule/store" // the replay stores
	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue"         // the presets
	"github.com/verify-webhook/caddy-verify-webhook/internal/sse"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	_ "github.com/verify-webhook/caddy-verify-webhook/internal/testkit/redial" // a reload resets connections
)

const (
	githubSecret = "It's a Secret to Everybody"
	within       = 30 * time.Second
)

func TestMain(m *testing.M) {
	for name, value := range map[string]string{"RELAY_TEST_GITHUB": githubSecret, "RELAY_TEST_TOKEN": "0123456789abcdef", "RELAY_TEST_EMPTY": ""} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// server is a Caddy instance in this process with a relay.
type server struct {
	t       *testing.T
	address string
	log     string
	name    string // of the relay: unique per test, because the process shares relays
	token   string // the file of the token
	before  string // directives between verify_webhook and webhook_relay
	behind  string // directives after webhook_relay
	site    string // directives of the site
	second  bool   // the site has a second server
	options string // of webhook_relay
	listen  string // options of webhook_listeners
}

func startServer(t *testing.T, change func(*server)) *server {
	t.Helper()
	s := &server{
		t: t, address: process.Address(t), log: filepath.Join(t.TempDir(), "caddy.log"),
		name: strings.NewReplacer("/", "_", " ", "_", ",", "").Replace(t.Name()), token: filepath.Join(t.TempDir(), "token"),
		listen: "heartbeat 300ms",
	}
	s.name = s.name[:min(len(s.name), 60)]
	if change != nil {
		change(s)
	}
	if err := os.WriteFile(s.token, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.load()
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// load replaces the running config, like a reload.
func (s *server) load() {
	s.t.Helper()
	second := ""
	if s.second {
		second = ", http://" + process.Address(s.t)
	}
	// By default, request_body is before verify_webhook.
	route, end := "", ""
	if s.before != "" {
		route, end = "route {", "}"
	}
	text := fmt.Sprintf(`{
	admin off
	persist_config off
	grace_period 10s
	log default {
		output file %s
		format json
	}
}
http://%s%s {
	# %d
	%s
	handle /dev/github {
	%s
		verify_webhook github {env.RELAY_TEST_GITHUB} {
			namespace test
			replay {
				store memory
			}
		}
		%s
		webhook_relay %s {
			%s
		}
		%s
	%s
	}
	handle /relay* {
		webhook_listeners %s {file.%s} {
			%s
		}
	}
}`, s.log, s.address, second, time.Now().UnixNano(), s.site, route, s.before, s.name, s.options, s.behind, end, s.name, s.token, s.listen)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		s.t.Fatal(err)
	}
}

// got is the response that the provider received.
type got struct {
	status int
	header http.Header
	body   string
}

func (s *server) send(id, body string, header http.Header) got {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.address+"/dev/github?a=1&b", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	maps.Copy(r.Header, header)
	mac := hmac.New(sha256.New, []byte(githubSecret))
	mac.Write([]byte(body))
	r.Header.Set("X-GitHub-Delivery", id)
	r.Header.Set("X-GitHub-Event", "push")
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	// A reload can break a connection, as in any Caddy. A provider would resend
	// the delivery.
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
	r.Header.Set("Idempotency-Key", id)
	resp, err := http.DefaultClient.Do(r)
	for tries := 0; err != nil && tries < 5 && r.Context().Err() == nil; tries++ {
		r.Body = io.NopCloser(strings.NewReader(body)) // the first attempt can have read it
		resp, err = http.DefaultClient.Do(r)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return got{resp.StatusCode, resp.Header, string(content)}
}

// laptop is a listening machine.
type laptop struct {
	t       *testing.T
	app     *httptest.Server
	cancel  context.CancelFunc
	reports chan listen.Report
	ended   chan error

	mu       sync.Mutex
	response http.HandlerFunc
	arrivals []arrival
}

type arrival struct {
	method, uri string
	header      http.Header
	body        []byte
}

func (s *server) laptop(path string) *laptop {
	s.t.Helper()
	return s.laptopWith(path, func(*listen.Listener) {})
}

// laptopWith starts a laptop with changed settings.
func (s *server) laptopWith(path string, change func(*listen.Listener)) *laptop {
	s.t.Helper()
	l := &laptop{t: s.t, reports: make(chan listen.Report, 1000), ended: make(chan error, 1)}
	l.response = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }
	l.app = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		l.mu.Lock()
		l.arrivals = append(l.arrivals, arrival{r.Method, r.RequestURI, r.Header.Clone(), body})
		response := l.response
		l.mu.Unlock()
		response(w, r)
	}))
	s.t.Cleanup(l.app.Close)
	to, err := url.Parse(l.app.URL + path)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	client := &listen.Listener{
		From: "http://" + s.address + "/relay", Token: "0123456789abcdef", To: to,
		Remote: &http.Client{Transport: &http.Transport{}},
		Local:  &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		Report: func(r listen.Report) { l.reports <- r },
	}
	change(client)
	go func() { l.ended <- client.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if l.ended != nil {
			if err := <-l.ended; err != nil {
				s.t.Error(err)
			}
		}
	})
	return l
}

// await waits for a report of the given kind and returns it.
func (l *laptop) await(kind string) listen.Report {
	l.t.Helper()
	deadline := time.After(within)
	for {
		select {
		case r := <-l.reports:
			if r.Kind == kind {
				return r
			}
		case <-deadline:
			l.t.Fatalf("there was no report of kind %s", kind)
		}
	}
}

func (l *laptop) responds(response http.HandlerFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.response = response
}

func (l *laptop) seen() []arrival {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]arrival(nil), l.arrivals...)
}

func TestTheProviderReceivesTheLaptopsResponseByteForByte(t *testing.T) {
	s := startServer(t, nil)
	l := s.laptop("/webhooks/github")
	l.await(listen.Connected)
	l.responds(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-Two"] = []string{"1", "2"}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte("\x00\xff\r\n"))
	})
	for name, body := range map[string]string{
		"text":  `{"zen":"x"}`,
		"empty": "",
		"any":   "\x00\xff\r\n.\n",
		"large": strings.Repeat("0123456789", 300_000),
	} {
		t.Run(name, func(t *testing.T) {
			before := len(l.seen())
			got := s.send(name, body, http.Header{"X-Repeated": {"a", "b", "\xe9"}, "Content-Type": {"application/x-anything"}})
			if got.status != 201 || got.body != "\x00\xff\r\n" || !reflect.DeepEqual(got.header["X-Two"], []string{"1", "2"}) {
				t.Errorf("the provider got %+v", got)
			}
			seen := l.seen()
			if len(seen) != before+1 {
				t.Fatalf("%d deliveries reached the laptop, want %d", len(seen), before+1)
			}
			a := seen[before]
			if string(a.body) != body || a.method != "POST" || a.uri != "/webhooks/github?a=1&b" {
				t.Errorf("the laptop got %s %s with %d bytes", a.method, a.uri, len(a.body))
			}
			for header, want := range map[string][]string{
				"X-Repeated": {"a", "b", "\xe9"}, "Content-Type": {"application/x-anything"}, "X-Github-Delivery": {name},
				"Webhook-Verified-Provider": {"github"}, "Webhook-Verified-Id": {name}, "Webhook-Verified-Event": {"push"}, "X-Forwarded-Proto": {"http"},
			} {
				if !reflect.DeepEqual(a.header[header], want) {
					t.Errorf("%s is %q, want %q", header, a.header[header], want)
				}
			}
			if d := l.await(listen.Delivered).Delivery; d.Status != 201 || d.Provider != "github" || d.ID != name || d.Size != int64(len(body)) || d.Error != "" {
				t.Errorf("the laptop reports %+v", d)
			}
		})
	}
}

func TestATargetWithoutAPathKeepsThePathOfTheRequest(t *testing.T) {
	s := startServer(t, nil)
	l := s.laptop("")
	l.await(listen.Connected)
	s.send("1", "body", nil)
	if seen := l.seen(); len(seen) != 1 || seen[0].uri != "/dev/github?a=1&b" {
		t.Errorf("the laptop got %+v", seen)
	}
}

func TestTheLaptopsStatusDecidesWhetherADeliveryIsHandled(t *testing.T) {
	s := startServer(t, nil)
	l := s.laptop("/")
	l.await(listen.Connected)
	l.responds(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	if got := s.send("1", "body", nil); got.status != 500 {
		t.Errorf("status %d", got.status)
	}
	l.responds(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for _, want := range []int{204, 200} { // the second is a duplicate
		if got := s.send("1", "body", nil); got.status != want {
			t.Errorf("status %d, want %d", got.status, want)
		}
	}
	if n := len(l.seen()); n != 2 {
		t.Errorf("%d deliveries reached the laptop, want 2", n)
	}
}

func TestAnAppThatDoesNotRespondIsAFailure(t *testing.T) {
	for name, response := range map[string]http.HandlerFunc{
		"it disconnects":           func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"its response is too long": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, mostAnswer+1)) },
		"its response is truncated": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("half"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, nil)
			l := s.laptop("/")
			l.await(listen.Connected)
			l.responds(response)
			if got := s.send("1", "body", nil); got.status != 502 {
				t.Errorf("status %d", got.status)
			}
			if d := l.await(listen.Delivered).Delivery; d.Error == "" {
				t.Errorf("the laptop reports %+v", d)
			}
		})
	}
}

func TestIfNoMachineIsListeningTheNextHandlerIsUsed(t *testing.T) {
	for name, test := range map[string]struct {
		behind string
		status int
	}{
		"no handler":                    {"", 503},
		"a staging app":                 {"respond staging 202", 202},
		"a failing handler":             {"error 500", 500},
		"a handler that does not match": {"respond /elsewhere staging 202", 503},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, func(s *server) { s.behind = test.behind })
			got := s.send("1", "body", nil)
			if got.status != test.status {
				t.Errorf("status %d, want %d", got.status, test.status)
			}
			if got.status == 503 && got.header.Get("Retry-After") == "" {
				t.Error("missing Retry-After")
			}
		})
	}
}

func TestOnlyVerifiedDeliveriesAreRelayed(t *testing.T) {
	s := startServer(t, nil)
	l := s.laptop("/")
	l.await(listen.Connected)
	config := fmt.Sprintf("{\nadmin off\npersist_config off\n}\nhttp://%s {\nwebhook_relay %s\n}", s.address, s.name)
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(adapted, true); err != nil {
		t.Fatal(err)
	}
	if got := s.send("1", "body", nil); got.status != 503 {
		t.Errorf("status %d", got.status)
	}
	if n := len(l.seen()); n != 0 {
		t.Errorf("%d requests reached the laptop", n)
	}
}

func TestOnlyAMachineWithTheTokenCanListen(t *testing.T) {
	s := startServer(t, nil)
	good := http.Header{"Authorization": {"Bearer 0123456789abcdef"}, headerSession: {"a session of the test"}}
	good.Set(headerSession, "session-of-the-test")
	for name, test := range map[string]struct {
		change func(http.Header)
		method string
		status int
	}{
		"no token":                   {func(h http.Header) { h.Del("Authorization") }, "GET", 401},
		"another token":              {func(h http.Header) { h.Set("Authorization", "Bearer 0123456789abcdee") }, "GET", 401},
		"a prefix of the token":      {func(h http.Header) { h.Set("Authorization", "Bearer 0123456789") }, "GET", 401},
		"another scheme":             {func(h http.Header) { h.Set("Authorization", "Basic 0123456789abcdef") }, "GET", 401},
		"two tokens":                 {func(h http.Header) { h["Authorization"] = []string{"Bearer x", "Bearer 0123456789abcdef"} }, "GET", 401},
		"a response without a token": {func(h http.Header) { h.Del("Authorization") }, "POST", 401},
		"no session":                 {func(h http.Header) { h.Del(headerSession) }, "GET", 400},
		"a session like a path":      {func(h http.Header) { h.Set(headerSession, "../../../../../etc") }, "GET", 400},
		"another method":             {func(http.Header) {}, "PUT", 405},
		"an unknown session":         {func(http.Header) {}, "POST", 410},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), test.method, "http://"+s.address+"/relay", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = good.Clone()
			test.change(r.Header)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != test.status {
				t.Errorf("status %d, want %d", resp.StatusCode, test.status)
			}
		})
	}
}

func TestATokenIsNotSentInPlaintext(t *testing.T) {
	for name, test := range map[string]struct {
		remote, forwarded string
		trusted, secure   bool
	}{
		"this machine":                          {"127.0.0.1:1", "", false, true},
		"this machine, IPv6":                    {"[::1]:1", "", false, true},
		"another machine":                       {"192.0.2.1:1", "", false, false},
		"this machine, for a proxy without TLS": {"127.0.0.1:1", "http", false, false},
		"another machine that claims https":     {"192.0.2.1:1", "https", false, false},
		"a trusted proxy with TLS":              {"192.0.2.1:1", "https", true, true},
		"a trusted proxy without TLS":           {"192.0.2.1:1", "http", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "http://example.com/relay", nil)
			r.RemoteAddr = test.remote
			r.Header.Set("X-Forwarded-Proto", test.forwarded)
			vars := map[string]any{"trusted_proxy": test.trusted}
			r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, vars))
			if secure(r) != test.secure {
				t.Errorf("secure is %t", !test.secure)
			}
		})
	}
}

func TestANewerListenerReplacesTheOlderOne(t *testing.T) {
	s := startServer(t, nil)
	one := s.laptop("/")
	one.await(listen.Connected)
	two := s.laptop("/")
	two.await(listen.Connected)
	select {
	case err := <-one.ended:
		one.ended = nil
		if err == nil || !strings.Contains(err.Error(), "another machine has replaced") {
			t.Errorf("the older one ended with %v", err)
		}
		if told := one.await(listen.Disconnected); strings.Contains(told.Text, "connecting again") {
			t.Errorf("it reports %q, but it ended", told.Text)
		}
	case <-time.After(within):
		t.Fatal("the older one was not notified")
	}
	if got := s.send("1", "body", nil); got.status != 202 {
		t.Errorf("status %d", got.status)
	}
	if len(one.seen()) != 0 || len(two.seen()) != 1 {
		t.Errorf("%d reached the older one, %d the newer", len(one.seen()), len(two.seen()))
	}
}

func TestAReloadLosesNothingAndEndsImmediately(t *testing.T) {
	s := startServer(t, nil)
	l := s.laptop("/")
	l.await(listen.Connected)
	for i := range 5 {
		reloaded := make(chan struct{})
		go func() { s.load(); close(reloaded) }()
		for n := range 10 {
			if got := s.send(fmt.Sprint(i, "-", n), fmt.Sprint(i, "-", n), nil); got.status != 202 {
				t.Errorf("reload %d, delivery %d: status %d", i, n, got.status)
			}
		}
		select {
		case <-reloaded:
		case <-time.After(within):
			t.Fatal("the reload hangs")
		}
	}
	if n := len(l.seen()); n != 50 {
		t.Errorf("%d deliveries reached the laptop, want 50", n)
	}
}

func TestAResponseCanArriveThroughANewerConfig(t *testing.T) {
	s := startServer(t, nil)
	l := s.laptop("/")
	l.await(listen.Connected)
	arrived, release := make(chan struct{}), make(chan struct{})
	l.responds(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		w.WriteHeader(http.StatusCreated)
	})
	result := make(chan got)
	go func() { result <- s.send("1", "body", nil) }()
	<-arrived
	s.load()
	l.await(listen.Connected)
	close(release)
	if got := <-result; got.status != 201 {
		t.Errorf("status %d", got.status)
	}
}

func TestATokenFileIsReloadedWhenItChanges(t *testing.T) {
	s := startServer(t, nil)
	if err := os.WriteFile(s.token, []byte("another-token-and-longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(within)
	for {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+s.address+"/relay", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer 0123456789abcdef")
		r.Header.Set(headerSession, "session-of-the-test")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == 401 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the old token is still accepted")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// raw is a listener without the client library, like a user of curl.
type raw struct {
	t      *testing.T
	s      *server
	events *sse.Reader
	resp   *http.Response
}

func (s *server) raw(session, lastID string) *raw {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "GET", "http://"+s.address+"/relay", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer 0123456789abcdef")
	r.Header.Set(headerSession, session)
	if lastID != "" {
		r.Header.Set("Last-Event-Id", lastID)
	}
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	return &raw{s.t, s, sse.NewReader(resp.Body, 1<<20), resp}
}

// next returns the next event of the given kind.
func (r *raw) next(kind string) sse.Event {
	r.t.Helper()
	for {
		e, err := r.events.Next()
		if err != nil {
			r.t.Fatalf("waiting for %s: %v", kind, err)
		}
		if e.Type == kind {
			return e
		}
	}
}

func (r *raw) respond(session, id, text string) int {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), "POST", "http://"+r.s.address+"/relay?answer="+id, strings.NewReader(text))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer 0123456789abcdef")
	req.Header.Set(headerSession, session)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestTheProtocolCanBeUsedWithoutTheClient(t *testing.T) {
	s := startServer(t, func(s *server) { s.listen = "" })
	l := s.raw("session-written-by-hand", "")
	l.next("hello")
	result := make(chan got, 1)
	go func() { result <- s.send("1", "body", nil) }()
	e := l.next("delivery")
	text, err := base64.StdEncoding.DecodeString(string(e.Data))
	if err != nil || !bytes.HasPrefix(text, []byte("POST /dev/github?a=1&b HTTP/1.1\r\nHost: ")) || !bytes.HasSuffix(text, []byte("\r\n\r\nbody")) {
		t.Errorf("the delivery is %q, %v", text, err)
	}
	for _, step := range []struct {
		name, session, id, response string
		status                      int
	}{
		{"another session", "session-of-another-one", e.ID, "HTTP/1.1 200 OK\r\n\r\n", 410},
		{"another delivery", "session-written-by-hand", e.ID + "0", "HTTP/1.1 200 OK\r\n\r\n", 410},
		{"not HTTP", "session-written-by-hand", e.ID, "200", 400},
		{"an informational status", "session-written-by-hand", e.ID, "HTTP/1.1 101 Switching Protocols\r\n\r\n", 400},
		{"a truncated body", "session-written-by-hand", e.ID, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 400},
		{"too long a body", "session-written-by-hand", e.ID, "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", mostAnswer+1), 400},
		{"too long a head", "session-written-by-hand", e.ID, "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", mostHead+mostAnswer), 400},
		{"a response", "session-written-by-hand", e.ID, "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\n\r\nby hand", 204},
		{"a second response", "session-written-by-hand", e.ID, "HTTP/1.1 200 OK\r\n\r\n", 410},
	} {
		if status := l.respond(step.session, step.id, step.response); status != step.status {
			t.Errorf("%s: status %d, want %d", step.name, status, step.status)
		}
	}
	if got := <-result; got.status != 200 || got.body != "by hand" || got.header.Get("X-Hop") != "" || got.header.Get("X-End") != "2" {
		t.Errorf("the provider got %+v", got)
	}
}

func TestOnlyDeliveriesThatWereNotReceivedAreResent(t *testing.T) {
	s := startServer(t, func(s *server) { s.listen = "" })
	one := s.raw("session-that-comes-back", "")
	one.next("hello")
	results := make(chan got, 2)
	go func() { results <- s.send("1", "first", nil) }()
	first := one.next("delivery")
	go func() { results <- s.send("2", "second", nil) }()
	second := one.next("delivery") // the stream breaks before it is acknowledged
	one.resp.Body.Close()
	two := s.raw("session-that-comes-back", first.ID)
	two.next("hello")
	again := two.next("delivery")
	if again.ID != second.ID || !bytes.Equal(again.Data, second.Data) {
		t.Errorf("%s is resent, want %s", again.ID, second.ID)
	}
	for _, id := range []string{first.ID, second.ID} {
		if status := two.respond("session-that-comes-back", id, "HTTP/1.1 200 OK\r\n\r\n"); status != 204 {
			t.Errorf("the status of the response is %d", status)
		}
	}
	for range 2 {
		if got := <-results; got.status != 200 {
			t.Errorf("status %d", got.status)
		}
	}
}

func TestASilentListenerIsDisconnected(t *testing.T) {
	s := startServer(t, func(s *server) { s.listen = "heartbeat 200ms" })
	l := s.raw("session-that-falls-silent", "")
	l.next("hello")
	// It reads, but sends no heartbeat.
	if got := s.send("1", "body", nil); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("the provider got %+v", got)
	}
	bye := l.next("bye")
	if !strings.Contains(string(bye.Data), "silent") {
		t.Errorf("the goodbye event is %s", bye.Data)
	}
	if got := s.send("2", "body 2", nil); got.status != 503 {
		t.Errorf("afterwards: status %d", got.status)
	}
	back := s.raw("session-that-comes-back", "")
	back.next("hello")
	if gap := back.next("gap"); !strings.Contains(string(gap.Data), `"missed":2`) {
		t.Errorf("the gap is %s", gap.Data)
	}
}

func TestTooManyConcurrentDeliveriesAreRejected(t *testing.T) {
	s := startServer(t, func(s *server) { s.options, s.listen = "max_in_flight 1", "" })
	l := s.raw("session-that-is-slow", "")
	l.next("hello")
	first := make(chan got, 1)
	go func() { first <- s.send("1", "first", nil) }()
	e := l.next("delivery")
	if got := s.send("2", "second", nil); got.status != 503 {
		t.Errorf("status %d", got.status)
	}
	l.respond("session-that-is-slow", e.ID, "HTTP/1.1 200 OK\r\n\r\n")
	if got := <-first; got.status != 200 {
		t.Errorf("status %d", got.status)
	}
}

func TestTheWaitForAResponseIsLimited(t *testing.T) {
	s := startServer(t, func(s *server) { s.options, s.listen = "timeout 100ms", "" })
	l := s.raw("session-that-is-slow", "")
	l.next("hello")
	if got := s.send("1", "first", nil); got.status != 503 {
		t.Errorf("status %d", got.status)
	}
	e := l.next("delivery")
	if status := l.respond("session-that-is-slow", e.ID, "HTTP/1.1 200 OK\r\n\r\n"); status != 410 {
		t.Errorf("the status of the late response is %d", status)
	}
}

func TestInvalidConfigsAreErrors(t *testing.T) {
	for site, want := range map[string]string{
		"webhook_relay":                                                  "missing name",
		"webhook_relay a b":                                              "too many arguments",
		"webhook_relay \"a b\"":                                          "letters, digits",
		"webhook_relay a {\ntimeout 5\n}":                                "timeout",
		"webhook_relay a {\nmax_in_flight 0\n}":                          "max_in_flight",
		"webhook_relay a {\ntimeouts 5m\n}":                              "did you mean timeout",
		"webhook_listeners a":                                            "missing name or token",
		"webhook_listeners a {env.RELAY_TEST_UNSET}":                     "RELAY_TEST_UNSET",
		"webhook_listeners a {env.RELAY_TEST_EMPTY}":                     "RELAY_TEST_EMPTY",
		"webhook_listeners a \"\"":                                       "empty token",
		"webhook_listeners a {env.RELAY_TEST_TOKEN} more":                "too many arguments",
		"webhook_listeners a {env.RELAY_TEST_TOKEN} {\nheartbeat 1ms\n}": "heartbeat",
		"handle /a {\nwebhook_listeners a {env.RELAY_TEST_TOKEN}\n}\nhandle {\nwebhook_listeners a {env.RELAY_TEST_GITHUB}\n}": "duplicate",
	} {
		t.Run(site, func(t *testing.T) {
			config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte("{\nadmin off\n}\nhttp://localhost:1 {\n"+site+"\n}"), nil)
			if err == nil {
				err = validate(config)
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v, want it to contain %q", err, want)
			}
		})
	}
}

func validate(config []byte) error {
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &c); err != nil {
		return err
	}
	return caddy.Validate(&c)
}

func TestDeliveryIDsOfOtherProcessesAreNotAccepted(t *testing.T) {
	r := &relay{epoch: "ABCDEFGH"}
	for id, want := range map[string]uint64{"ABCDEFGH-7": 7, "": 0, "HGFEDCBA-7": 0, "ABCDEFGH": 0, "ABCDEFGH-": 0} {
		if got := r.numberOf(id); got != want {
			t.Errorf("%q is number %d, want %d", id, got, want)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: y\r\n\r\nbody")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := readAnswer(strings.NewReader(text))
		if err != nil {
			return
		}
		if a.status < 200 || len(a.body) > mostAnswer {
			t.Fatalf("status %d with %d bytes", a.status, len(a.body))
		}
		w := httptest.NewRecorder()
		if err := a.write(w); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
			t.Fatal(err)
		}
		for _, name := range hopByHop {
			if len(w.Header()[name]) > 0 && name != "Content-Length" {
				t.Fatalf("%s is forwarded", name)
			}
		}
	})
}
