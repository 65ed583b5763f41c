package caddymodule

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
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
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"    // the directive basic_auth
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/requestbody"  // the directive request_body
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy" // the directive reverse_proxy
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"      // the directive rewrite
	_ "github.com/caddyserver/caddy/v2/modules/logging"                // the log encoders and filters

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/redial"
)

// realCaddy is a Caddy in this process, with reverse_proxy to a real app.
type realCaddy struct {
	t    *testing.T
	addr string // of the site
	log  string // the file with all logs
	app  *realApp
}

// realApp is an upstream that records the requests it receives.
type realApp struct {
	*httptest.Server

	mu     sync.Mutex
	seen   []arrival
	answer http.HandlerFunc
}

// arrival is a request that the app has received.
type arrival struct {
	method, uri      string
	header, trailer  http.Header
	body             string
	length           int64
	transferEncoding []string
}

func newRealApp(t *testing.T) *realApp {
	a := &realApp{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			body = append(body, ("[" + err.Error() + "]")...)
		}
		a.mu.Lock()
		a.seen = append(a.seen, arrival{r.Method, r.RequestURI, r.Header, r.Trailer, string(body), r.ContentLength, r.TransferEncoding})
		answer := a.answer
		a.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *realApp) answers(f http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = f
}

// arrivals returns the requests that the app received since the last call.
func (a *realApp) arrivals() []arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.seen
	a.seen = nil
	return seen
}

func freeAddress(t *testing.T) string {
	t.Helper()
	return process.Address(t) // outside of the range of ephemeral ports
}

// startCaddy runs a site. In its text, APP is replaced by the address of the app,
// and STORE by a unique name for a memory store. global is inserted into the
// global options.
func startCaddy(t *testing.T, global, site string) *realCaddy {
	t.Helper()
	c := &realCaddy{t: t, addr: freeAddress(t), log: filepath.Join(t.TempDir(), "caddy.log"), app: newRealApp(t)}
	c.load(global, site)
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// load replaces the running config, as a reload does.
func (c *realCaddy) load(global, site string) {
	c.t.Helper()
	c.loadText(c.caddyfile(global, site))
}

func (c *realCaddy) loadText(caddyfile string) {
	c.t.Helper()
	config, err := adapt(caddyfile)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		c.t.Fatal(err)
	}
}

func (c *realCaddy) caddyfile(global, site string) string {
	if !strings.Contains(global, "admin ") {
		global += "\nadmin off"
	}
	if !strings.Contains(global, "servers ") {
		global += "\nservers {\nprotocols h1 h2c\n}"
	}
	_, port, _ := net.SplitHostPort(c.addr)
	text := fmt.Sprintf(`{
	persist_config off
	auto_https off
	grace_period 5s
	log default {
		output file %s
		format json
		level DEBUG
	}
	%s
}
http://:%s {
	bind 127.0.0.1
	log
	%s
}
`, c.log, global, port, site)
	return strings.NewReplacer("APP", c.app.Listener.Addr().String(), "STORE", strings.ReplaceAll(c.t.Name(), "/", "_")).Replace(text)
}

func adapt(caddyfile string) ([]byte, error) {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	return config, err
}

// siteOf returns the usual site: an endpoint in front of the app.
func siteOf(provider, options string) string {
	return fmt.Sprintf(`verify_webhook %s {env.%s} {
		replay {
			store memory STORE
		}
		%s
	}
	reverse_proxy APP`, provider, secretVariable, options)
}

// logged returns the log so far.
func (c *realCaddy) logged() string {
	c.t.Helper()
	p, err := os.ReadFile(c.log)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(p)
}

// accessLine returns the last line of the access log that has this field.
func (c *realCaddy) accessLine(field string) map[string]any {
	c.t.Helper()
	var last map[string]any
	for line := range strings.Lines(c.logged()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			c.t.Fatal(err)
		}
		if _, ok := entry[field]; ok && entry["msg"] == "handled request" {
			last = entry
		}
	}
	return last
}

// client returns a client for HTTP/1.1 or cleartext HTTP/2.
func client(t *testing.T, protocol string) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(protocol == "HTTP/1.1")
	protocols.SetUnencryptedHTTP2(protocol == "HTTP/2")
	transport := &http.Transport{Protocols: protocols, DialContext: redial.Dial}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// overBoth runs a test with both protocols.
func overBoth(t *testing.T, test func(t *testing.T, client *http.Client)) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(protocol, func(t *testing.T) { test(t, client(t, protocol)) })
	}
}

// answer is the response that the sender gets.
type answer struct {
	status int
	header http.Header
	body   string
}

// send sends a delivery. headers are pairs of name and value.
func (c *realCaddy) send(client *http.Client, body io.Reader, headers ...string) answer {
	c.t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+c.addr+"/in?x=1", body)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return c.do(client, r)
}

func (c *realCaddy) do(client *http.Client, r *http.Request) answer {
	c.t.Helper()
	resp, err := client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	return answer{resp.StatusCode, resp.Header, readAll(c.t, resp.Body)}
}

// onlyReader hides the length of a body, so that it is sent chunked.
type onlyReader struct{ io.Reader }

func TestInvariant01ExactlyTheVerifiedBytesReachTheApp(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", "max_body 4MiB"))
	big := bytes.Repeat([]byte("0123456789abcde\n"), 3<<20/16) // stored in a temporary file
	bodies := map[string]string{
		"small": content, "empty": "", "one byte": "\x00", "binary": "\xff\xfe\r\n\r\n\x00", "spooled": string(big),
		"the largest in memory": string(big[:1<<20]), "larger": string(big[:1<<20+1]),
	}
	overBoth(t, func(t *testing.T, client *http.Client) {
		for name, body := range bodies {
			for _, mode := range []string{"declared", "chunked"} {
				t.Run(name+", "+mode, func(t *testing.T) {
					var reader io.Reader = strings.NewReader(body)
					if mode == "chunked" {
						reader = onlyReader{reader}
					}
					id := t.Name()
					// The body is part of the digest: a new ID makes a new delivery.
					got := c.send(client, io.MultiReader(strings.NewReader(id), reader), githubHeaders(id, id+body)...)
					seen := c.app.arrivals()
					if got.status != 200 || len(seen) != 1 {
						t.Fatalf("status %d, the app received %d requests", got.status, len(seen))
					}
					if a := seen[0]; a.body != id+body || a.length != int64(len(id+body)) || a.transferEncoding != nil {
						t.Errorf("the app received %d bytes, Content-Length %d, Transfer-Encoding %v; %d bytes were sent", len(a.body), a.length, a.transferEncoding, len(id+body))
					}

					altered := c.send(client, io.MultiReader(strings.NewReader(id+"!"), strings.NewReader(body)), githubHeaders(id+"!", id+body)...)
					// Refused before the body is read: sending a long body would fail.
					unsigned := c.send(client, strings.NewReader(id))
					if altered.status != 401 || unsigned.status != 401 {
						t.Errorf("a modified delivery got %d, an unsigned one %d", altered.status, unsigned.status)
					}
					if seen := c.app.arrivals(); len(seen) != 0 {
						t.Errorf("%d deliveries that are not genuine reached the app", len(seen))
					}
				})
			}
		}
	})
}

func TestInvariant01EmptyBodyIsVerifiedAndForwarded(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", ""))
	overBoth(t, func(t *testing.T, client *http.Client) {
		got := c.send(client, nil, githubHeaders(t.Name(), "")...)
		seen := c.app.arrivals()
		if t.Name() == "TestInvariant01EmptyBodyIsVerifiedAndForwarded/HTTP/2" {
			if got.status != 200 || len(seen) != 0 { // the same digest as the first
				t.Errorf("status %d, the app received %d", got.status, len(seen))
			}
			return
		}
		if got.status != 200 || len(seen) != 1 || seen[0].body != "" || seen[0].length != 0 {
			t.Errorf("status %d, the app received %+v", got.status, seen)
		}
	})
}

func TestInvariant01NeitherBodyNorIdentityReachesErrorRoutes(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", "")+`
	handle_errors {
		header Outcome {http.verify_webhook.outcome}
		reverse_proxy APP
	}`)
	overBoth(t, func(t *testing.T, client *http.Client) {
		spoofed := []string{"Webhook-Verified-Id", "spoofed", "Webhook-Verified-Outcome", "verified"}
		cases := map[Outcome][]string{
			MissingSignature: spoofed,
			InvalidSignature: append([]string{"X-Hub-Signature-256", "sha256=" + sign("another", content)}, spoofed...),
		}
		for outcome, headers := range cases {
			got := c.send(client, onlyReader{strings.NewReader(content)}, headers...)
			if got.header.Get("Outcome") != string(outcome) {
				t.Errorf("the error route responded with %q, want %s", got.header.Get("Outcome"), outcome)
			}
			checkBare(t, c.app.arrivals())
		}

		// Verified, but the app's handler fails.
		c.app.answers(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Webhook-Verified-Key") != "" {
				panic(http.ErrAbortHandler)
			}
		})
		defer c.app.answers(nil)
		c.send(client, onlyReader{strings.NewReader(content)}, githubHeaders(t.Name(), content)...)
		seen := c.app.arrivals()
		if len(seen) < 1 || seen[0].body != content {
			t.Fatalf("the app received %+v", seen)
		}
		checkBare(t, seen[1:])
	})
}

// checkBare checks that there is one arrival, without body and without identity.
func checkBare(t *testing.T, seen []arrival) {
	t.Helper()
	if len(seen) != 1 {
		t.Fatalf("the error route received %d requests", len(seen))
	}
	if seen[0].body != "" {
		t.Errorf("the error route got the body %q", seen[0].body)
	}
	for name := range seen[0].header {
		if looksLikeIdentity(name) {
			t.Errorf("the error route got %s", name)
		}
	}
}

// rawConversation sends bytes and returns the response. It never sends more.
func (c *realCaddy) rawConversation(request string) (*http.Response, *bufio.Reader) {
	c.t.Helper()
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		c.t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, &http.Request{Method: http.MethodPost})
	if err != nil {
		c.t.Fatalf("no response: %v", err)
	}
	return resp, in
}
