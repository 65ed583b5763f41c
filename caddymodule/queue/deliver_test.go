package queue

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
)

func TestDeliveryIsAcceptedImmediatelyAndForwardedUnchanged(t *testing.T) {
	s := start(t, usualSite(""))
	before := time.Now().Unix()
	d := event("1")
	d.path = "/in%2Fside/?x=1&y=%20"
	d.header = http.Header{
		"X-Custom": {"a", "b"}, "Content-Type": {"application/json"},
		"Webhook-Verified-Attempt": {"99"}, "Webhook_Verified_Received": {"1"}, "X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Proto": {"https"},
	}
	resp := s.send(d)
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("the provider got %d", resp.StatusCode)
	}
	got := s.app.next(t)
	if got.method != "POST" || got.uri != d.path || got.host != s.address || got.body != d.body {
		t.Errorf("the app received %s %s for %s: %s", got.method, got.uri, got.host, got.body)
	}
	for name, want := range map[string]string{
		"X-Custom": "a,b", "Content-Type": "application/json", "Content-Length": strconv.Itoa(len(d.body)),
		"X-Github-Delivery": "1", "X-Github-Event": "push",
		"Webhook-Verified-Provider": "github", "Webhook-Verified-Id": "1", "Webhook-Verified-Event": "push",
		"Webhook-Verified-Attempt": "1", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": s.address,
		"Via": "1.1 Caddy",
	} {
		if text := strings.Join(got.header[name], ","); text != want {
			t.Errorf("%s: the app received %q, want %q", name, text, want)
		}
	}
	if key := got.header["Webhook-Verified-Key"]; len(key) != 1 || len(key[0]) < 20 {
		t.Errorf("the key is %q", key)
	}
	received, err := strconv.ParseInt(got.header.Get("Webhook-Verified-Received"), 10, 64)
	if err != nil || received < before || received > time.Now().Unix() {
		t.Errorf("Webhook-Verified-Received is %q, %v", got.header["Webhook-Verified-Received"], err)
	}
	s.delivered("orders", 1)

	// Both the replay store and the queue remember it.
	s.mustSend("1", 200)
	s.mustSend("2", 202)
	if got := s.app.next(t); got.id() != "2" {
		t.Errorf("the app received %s", got.id())
	}
}

func TestProviderGetsTheConfiguredStatus(t *testing.T) {
	s := start(t, usualSite("answer 200"))
	s.mustSend("1", 200)
	s.app.next(t)
	s.mustSend("1", 200) // a copy
	s.delivered("orders", 1)
}

func TestFailedDeliveryIsRetried(t *testing.T) {
	s := start(t, usualSite(""))
	s.app.answers(statuses(500, 404, 200))
	s.mustSend("1", 202)
	first := s.app.next(t)
	for number := 2; number <= 3; number++ {
		got := s.app.next(t)
		if got.attempt() != strconv.Itoa(number) || got.body != first.body || got.header.Get("Webhook-Verified-Key") != first.header.Get("Webhook-Verified-Key") {
			t.Errorf("attempt %d: the app received %s, key %s, %s", number, got.attempt(), got.header.Get("Webhook-Verified-Key"), got.body)
		}
	}
	s.delivered("orders", 1)
}

// A response that is not from the app never counts.
func TestOnlyTheAppsResponseCounts(t *testing.T) {
	const siteErrors = "\n}\nhandle_errors {\nrespond sorry 200"
	for name, test := range map[string]struct{ deliver, want string }{
		"the app is down":              {"reverse_proxy 127.0.0.1:1", "refused"},
		"an error route responds":      {"reverse_proxy 127.0.0.1:1" + siteErrors, "refused"},
		"no route matches":             {"@other path /other\nreverse_proxy @other APP", "no handler in deliver responded"},
		"nothing responds":             {"header a b", "no handler in deliver responded"},
		"an error":                     {"error wrong 200", "wrong"},
		"an error without a text":      {"error 503", "error 503"},
		"an error status of respond":   {"respond 404", ""},
		"the connection is closed":     {"abort", "ended unexpectedly"},
		"marked down by health checks": {"reverse_proxy {\n}", "no upstreams available"},
		"an internal server error":     {"respond 500", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			text := strings.Replace(usualSite("retry 1h"), "\n\t\tretry 10ms", "", 1)
			deliver, rest, found := strings.Cut(test.deliver, "\n}\n")
			text = strings.Replace(text, "reverse_proxy APP", deliver, 1)
			if found {
				text += "\n" + rest + "\n}"
			}
			s.load(text)
			s.mustSend("1", 202)
			e := s.failed("orders")
			if e.State != durable.Waiting || !strings.Contains(e.Last.Error, test.want) || (test.want == "") != (e.Last.Error == "") {
				t.Errorf("the entry is %s, its last attempt %d %q; want %q", e.State, e.Last.Status, e.Last.Error, test.want)
			}
		})
	}
}

// In JSON, a route inside deliver can have its own error route.
func TestErrorRouteInsideDeliverDoesNotCount(t *testing.T) {
	s := newSite(t)
	config, err := adapt(s.caddyfile(strings.Replace(usualSite(""), "retry 10ms", "retry 1h", 1)))
	if err != nil {
		t.Fatal(err)
	}
	proxy := `{"handler":"reverse_proxy","upstreams":[{"dial":"` + s.app.address() + `"}]}`
	down := `{"handler":"subroute","routes":[{"handle":[{"handler":"reverse_proxy","upstreams":[{"dial":"127.0.0.1:1"}]}]}],
		"errors":{"routes":[{"handle":[{"handler":"static_response","status_code":200,"body":"sorry"}]}]}}`
	text := strings.Replace(string(config), proxy, down, 1)
	if text == string(config) {
		t.Fatalf("no %s in %s", proxy, config)
	}
	if err := caddy.Load([]byte(text), true); err != nil {
		t.Fatal(err)
	}
	s.mustSend("1", 202)
	if e := s.failed("orders"); e.State != durable.Waiting || !strings.Contains(e.Last.Error, "refused") {
		t.Errorf("the entry is %s, its last attempt %d %q", e.State, e.Last.Status, e.Last.Error)
	}
}

// reverse_proxy panics in this case, which would crash Caddy in a goroutine.
func TestTruncatedResponseIsAFailure(t *testing.T) {
	s := start(t, usualSite(""))
	broken := make(chan struct{})
	s.app.answers(func(w http.ResponseWriter, _ *http.Request) {
		s.app.answers(nil)
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(200)
		_, _ = w.Write([]byte("half an answer"))
		_ = http.NewResponseController(w).Flush()
		close(broken)
		panic(http.ErrAbortHandler)
	})
	s.mustSend("1", 202)
	s.app.next(t)
	<-broken
	if got := s.app.next(t); got.attempt() != "2" {
		t.Errorf("attempt %s", got.attempt())
	}
	s.delivered("orders", 1)
}

func TestStoredDeliveriesAreDeliveredAfterARestart(t *testing.T) {
	s := newSite(t)
	s.app.Close()
	s.load(usualSite(""))
	for _, id := range []string{"1", "2", "3"} {
		s.mustSend(id, 202)
	}
	s.stop()
	s.app.Listener = nil
	s.app = restarted(t, s.app)
	s.load(usualSite(""))
	for range 3 {
		if got := s.app.next(t); got.attempt() != "1" {
			t.Errorf("%s is attempt %s, but a refused connection is not an attempt", got.id(), got.attempt())
		}
	}
	s.delivered("orders", 3)
}

// restarted returns an app at the address of one that was closed.
func restarted(t *testing.T, old *app) *app {
	t.Helper()
	a := newStoppedApp(t)
	a.Config.Addr = old.address()
	a.Start()
	return a
}
