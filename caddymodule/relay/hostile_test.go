package relay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/listen"
)

// slowLine is a transport whose responses arrive in small pieces.
type slowLine struct{ http.RoundTripper }

func (s slowLine) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = slowBody{resp.Body}
	}
	return resp, err
}

type slowBody struct{ io.ReadCloser }

func (s slowBody) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p[:min(len(p), 32<<10)])
	time.Sleep(20 * time.Millisecond) // the delay of the line
	return n, err
}

func TestATransferCanTakeLongerThanTheHeartbeatTimeout(t *testing.T) {
	s := startServer(t, func(s *server) { s.options = "timeout 20s" }) // a heartbeat is 300ms
	l := s.laptopWith("/", func(c *listen.Listener) {
		c.Remote = &http.Client{Transport: slowLine{&http.Transport{}}}
	})
	l.await(listen.Connected)
	if got := s.send("1", strings.Repeat("x", 2<<20), nil); got.status != 202 {
		t.Errorf("status %d", got.status)
	}
	if n := len(l.seen()); n != 1 {
		t.Errorf("the delivery reached the app %d times", n)
	}
}

func TestAResponseThatCannotBeRelayedFailsImmediately(t *testing.T) {
	for name, test := range map[string]struct{ response, proxy string }{
		"a status that HTTP does not have": {response: "HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n"},
		"another protocol":                 {response: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"},
		"too long a head":                  {response: "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 1200<<10) + "\r\nContent-Length: 0\r\n\r\n"},
		"a proxy that rejects it":          {response: "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + strings.Repeat("x", 5000), proxy: "413"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, func(s *server) { s.options = "timeout 10s" })
			l := s.laptopWith("/", func(c *listen.Listener) {
				if test.proxy != "" {
					c.Remote = &http.Client{Transport: smallUploads{&http.Transport{}}}
				}
			})
			l.await(listen.Connected)
			l.responds(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = conn.Write([]byte(test.response)) // the client may have disconnected
				_ = conn.Close()
			})
			if got := s.send("1", "body", nil); got.status != 502 {
				t.Errorf("status %d, want 502", got.status)
			}
			if r := l.await(listen.Delivered); r.Delivery.Error == "" {
				t.Errorf("the laptop reports %+v", r.Delivery)
			}
		})
	}
}

// smallUploads rejects long bodies, like a proxy in front of Caddy.
type smallUploads struct{ http.RoundTripper }

func (s smallUploads) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.ContentLength > 1000 {
		return &http.Response{StatusCode: 413, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}
	return s.RoundTripper.RoundTrip(r)
}

// A later handler replaces the body, so that its length differs from that of
// the verified body.
func TestAnUnreadableBodyDoesNotEndTheStream(t *testing.T) {
	s := startServer(t, func(s *server) { s.before = "request_body {\nset longer-than-it-was\n}" })
	l := s.raw("session-of-the-test", "")
	l.next("hello")
	got := s.send("1", "body", nil)
	if got.status != 503 {
		t.Errorf("status %d", got.status)
	}
	l.next("withdrawn")
	r := relays.take(s.name)
	defer relays.giveBack(r)
	if !r.signOfLife("session-of-the-test") {
		t.Error("the listener was disconnected")
	}
}

func TestAChangedTokenEndsStreamsOfTheOldOne(t *testing.T) {
	s := startServer(t, func(s *server) { s.listen = "" })
	l := s.raw("session-of-the-test", "")
	l.next("hello")
	if err := os.WriteFile(s.token, []byte("another-token-and-longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	if bye := l.next("bye"); !strings.Contains(string(bye.Data), farewellRevoked) {
		t.Errorf("the goodbye event is %s", bye.Data)
	}
}

func TestEncodeDoesNotDelayEvents(t *testing.T) {
	s := startServer(t, func(s *server) { s.site = "encode {\nminimum_length 1\ngzip\n}" })
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.address+"/relay", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer 0123456789abcdef")
	r.Header.Set(headerSession, "session-of-the-test")
	r.Header.Set("Accept-Encoding", "gzip")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Encoding") != "" {
		t.Error("the events are compressed")
	}
}

// series returns the value of a relay's series, and reports whether it exists.
func series(t *testing.T, c prometheus.Collector, relay string) (float64, bool) {
	t.Helper()
	found := make(chan prometheus.Metric, 1000)
	c.Collect(found)
	close(found)
	for m := range found {
		var out dto.Metric
		if err := m.Write(&out); err != nil {
			t.Fatal(err)
		}
		for _, label := range out.GetLabel() {
			if label.GetName() == "relay" && label.GetValue() == relay {
				return out.GetGauge().GetValue() + out.GetCounter().GetValue(), true
			}
		}
	}
	return 0, false
}

func TestTheMetricsOfARelayExistAsLongAsItsConfig(t *testing.T) {
	s := startServer(t, nil)
	if value, there := series(t, connected, s.name); !there || value != 0 {
		t.Errorf("before a machine has connected: %v, %t", value, there)
	}
	l := s.laptop("/")
	l.await(listen.Connected)
	s.send("1", "body", nil)
	s.load()
	l.await(listen.Connected)
	if value, there := series(t, connected, s.name); !there || value != 1 {
		t.Errorf("after a reload: %v, %t", value, there)
	}
	if value, there := series(t, relayed, s.name); !there || value != 1 {
		t.Errorf("deliveries after a reload: %v, %t", value, there)
	}
	former := s.name
	s.name = "another-name"
	s.load()
	for name, c := range map[string]prometheus.Collector{"connected": connected, "deliveries": relayed, "refused": refused} {
		if _, there := series(t, c, former); there {
			t.Errorf("%s: the series still exists", name)
		}
	}
	relays.mu.Lock()
	defer relays.mu.Unlock()
	if _, there := relays.relays[former]; there {
		t.Error("the relay still exists")
	}
}

func TestASiteWithTwoServersHasOneRelay(t *testing.T) {
	s := startServer(t, func(s *server) { s.second = true })
	l := s.laptop("/")
	l.await(listen.Connected)
	if got := s.send("1", "body", nil); got.status != 202 {
		t.Errorf("status %d", got.status)
	}
}

func TestAMessageIsExactlyOneRequest(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*http.Request)
		want   func(*http.Request) bool
	}{
		"a space in the query, as HTTP/2 allows": {
			func(r *http.Request) { r.URL = &url.URL{Path: "/x", RawQuery: "a b HTTP/1.1"} },
			func(r *http.Request) bool { return r.URL.RawQuery == "a%20b%20HTTP/1.1" },
		},
		"line breaks in a value": {
			func(r *http.Request) { r.Header.Set("X-A", "1\r\nX-B: 2\r\n\r\nGET / HTTP/1.1") },
			func(r *http.Request) bool { return r.Header.Get("X-B") == "" },
		},
		"an invalid name": {
			func(r *http.Request) { r.Header["X-A: 1\r\nX-B"] = []string{"2"} },
			func(r *http.Request) bool { return r.Header.Get("X-B") == "" && r.Header.Get("X-A") == "" },
		},
		"two lengths": {
			func(r *http.Request) { r.Header["Content-Length"] = []string{"1", "2"} },
			func(r *http.Request) bool { return r.ContentLength == 4 },
		},
		"chunks": {
			func(r *http.Request) { r.Header.Set("Transfer-Encoding", "chunked") },
			func(r *http.Request) bool { return r.ContentLength == 4 && len(r.TransferEncoding) == 0 },
		},
		"a Unix socket": {
			func(r *http.Request) { r.RemoteAddr = "@" },
			func(r *http.Request) bool { return r.Header["X-Forwarded-For"] == nil },
		},
		"an IPv6 address with a zone": {
			func(r *http.Request) { r.RemoteAddr = "[fe80::1%eth0]:1" },
			func(r *http.Request) bool { return r.Header.Get("X-Forwarded-For") == "fe80::1" },
		},
		"a client that sends its own address": {
			func(r *http.Request) { r.Header["X-Forwarded-For"] = []string{"10.0.0.1"} },
			func(r *http.Request) bool { return r.Header.Get("X-Forwarded-For") == "192.0.2.1" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/x", strings.NewReader("body"))
			r.RemoteAddr = "192.0.2.1:1"
			test.change(r)
			wire := append(newMessage(r).head, "body"...)
			in := bufio.NewReader(bytes.NewReader(wire))
			got, err := http.ReadRequest(in)
			if err != nil {
				t.Fatalf("%v in %q", err, wire)
			}
			body, err := io.ReadAll(got.Body)
			if err != nil || string(body) != "body" || in.Buffered() != 0 {
				t.Errorf("the body is %q, %v, and %d bytes follow", body, err, in.Buffered())
			}
			if !test.want(got) {
				t.Errorf("the request is %q", wire)
			}
		})
	}
}

func TestInvalidHeartbeatsOfAServerAreRejected(t *testing.T) {
	for _, heartbeat := range []string{"0", "-1", "1e300", `"x"`} {
		t.Run(heartbeat, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprintf(w, "event: hello\ndata: {\"relay\":\"dev\",\"heartbeat_seconds\":%s}\n\n", heartbeat)
			}))
			defer server.Close()
			err := (&listen.Listener{
				From: server.URL, To: &url.URL{Scheme: "http", Host: "127.0.0.1:1"},
				Remote: &http.Client{}, Local: &http.Client{}, Report: func(listen.Report) {},
			}).Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), "greeting") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// The listener sends heartbeats but does not read the stream.
func TestAListenerThatDoesNotReadIsDisconnected(t *testing.T) {
	s := startServer(t, func(s *server) { s.options = "timeout 1m" })
	l := s.raw("session-of-the-test", "")
	l.next("hello")
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+s.address+"/relay", nil)
			if err != nil {
				return
			}
			r.Header.Set("Authorization", "Bearer 0123456789abcdef")
			r.Header.Set(headerSession, "session-of-the-test")
			if resp, err := http.DefaultClient.Do(r); err == nil {
				resp.Body.Close()
			}
			select {
			case <-ended:
				return
			case <-time.After(50 * time.Millisecond): // the heartbeats of a hostile listener
			}
		}
	}()
	began := time.Now()
	if got := s.send("1", strings.Repeat("x", 20<<20), nil); got.status != 503 {
		t.Errorf("status %d", got.status)
	}
	if took := time.Since(began); took > within { // a minute before
		t.Errorf("the provider waited for %s", took)
	}
}

func TestAPartlySentDeliveryIsRequeued(t *testing.T) {
	machine := func(session string) *listener {
		return &listener{session: session, heartbeat: time.Hour, logger: zap.NewNop()}
	}
	begin := func() (r *relay, l *listener, s *stream, d *delivery) {
		r = &relay{name: "dev", waiting: make(map[string]*delivery), changed: make(chan struct{}), forgotten: true}
		l, s, _, _ = r.attach(machine("first"), "")
		d, err := r.enter(message{}, 1, nil)
		if err != nil || r.next(l, s) != d || r.next(l, s) != nil {
			t.Fatalf("the delivery is not sent exactly once: %v", err)
		}
		return r, l, s, d
	}
	t.Run("it waits for the listener", func(t *testing.T) {
		r, l, s, d := begin()
		r.takeBack(d, l, s)
		r.detach(l, s)
		if l, s, _, _ := r.attach(machine("first"), ""); r.next(l, s) != d {
			t.Error("the delivery is not resent")
		}
	})
	t.Run("a newer listener gets it", func(t *testing.T) {
		r, l, s, d := begin()
		newer, stream, _, _ := r.attach(machine("second"), "")
		if r.next(newer, stream) != nil {
			t.Error("the delivery is sent to two listeners")
		}
		r.takeBack(d, l, s)
		if r.next(newer, stream) != d {
			t.Error("the delivery is not sent to the newer listener")
		}
	})
	t.Run("a newer stream of the listener sends it", func(t *testing.T) {
		r, _, s, d := begin()
		l, newer, _, _ := r.attach(machine("first"), "")
		if r.next(l, newer) != d {
			t.Fatal("the delivery is not resent")
		}
		r.takeBack(d, l, s)
		if r.next(l, newer) != nil {
			t.Error("the delivery is sent twice")
		}
	})
	t.Run("it fails when no machine is listening any longer", func(t *testing.T) {
		r, l, s, d := begin()
		r.dismiss("first")
		r.takeBack(d, l, s)
		if o := <-d.answered; !errors.Is(o.err, errLost) {
			t.Errorf("the delivery ends with %v", o.err)
		}
	})
}

func TestAFallbackHandlerIsUsedOnlyIfNoMachineIsListening(t *testing.T) {
	s := startServer(t, func(s *server) { s.behind = "respond 299" })
	if got := s.send("1", "body 1", nil); got.status != 299 {
		t.Errorf("no machine listening: status %d", got.status)
	}
	l := s.laptop("/")
	l.await(listen.Connected)
	if got := s.send("2", "body 2", nil); got.status != 202 {
		t.Errorf("a machine listening: status %d", got.status)
	}
}
