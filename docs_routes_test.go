package verifywebhook_test

import (
	"bufio"
	"bytes"
	"context"
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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
)

// forged begins the value of every header that these tests forge.
const forged = "forged-"

// echoApp is the app behind every upstream of an example. It records forged
// identity headers that reach it, in any spelling that an app could accept.
type echoApp struct {
	*httptest.Server

	mu      sync.Mutex
	reached int
	forged  []string
	header  http.Header // of the last request
}

func startEchoApp(t *testing.T) *echoApp {
	a := new(echoApp)
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.reached++
		a.header = r.Header
		for name, values := range r.Header {
			if strings.Contains(strings.Join(values, " "), forged) {
				a.forged = append(a.forged, r.Method+" "+r.RequestURI+" "+name)
			}
		}
		fmt.Fprintln(w, "the app")
	}))
	t.Cleanup(a.Close)
	return a
}

// runExample runs a config of the documentation on a free local port, without TLS
// and with the app behind every upstream.
func runExample(t *testing.T, config []byte, app *echoApp) (address string, hosts, paths []string) {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	c["admin"] = map[string]any{"disabled": true, "config": map[string]any{"persist": false}}
	c["logging"] = map[string]any{"logs": map[string]any{"default": map[string]any{"level": "ERROR"}}}
	apps := c["apps"].(map[string]any)
	delete(apps, "tls")
	if own, ok := apps["verify_webhook"].(map[string]any); ok {
		delete(own, "store")
	}
	address = process.Address(t)
	servers := apps["http"].(map[string]any)["servers"].(map[string]any)
	maps.DeleteFunc(servers, func(_ string, s any) bool { return len(servers) > 1 && !verifies(t, s) })
	for name, s := range servers {
		server := s.(map[string]any)
		server["listen"] = []string{address}
		server["automatic_https"] = map[string]any{"disable": true}
		delete(server, "tls_connection_policies")
		delete(server, "logs")
		if len(servers) > 1 {
			t.Fatalf("the config has a second server: %s", name)
		}
	}
	found := map[string]map[string]bool{"host": {}, "path": {}}
	rewire(c, app.Listener.Addr().String(), found)
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(raw, true); err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return address, slices.Sorted(maps.Keys(found["host"])), slices.Sorted(maps.Keys(found["path"]))
}

// verifies reports whether a part of a config contains an endpoint.
func verifies(t *testing.T, part any) bool {
	t.Helper()
	raw, err := json.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(raw, []byte(`"handler":"verify_webhook"`))
}

// rewire replaces every upstream with the app's address and every store with a
// memory store, and collects the hosts and paths of matchers.
func rewire(v any, app string, found map[string]map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, member := range v {
			rewire(member, app, found)
		}
	case map[string]any:
		if _, ok := v["dial"]; ok {
			v["dial"] = app
		}
		if _, ok := v["window"]; ok && v["store"] != nil {
			delete(v, "store")
		}
		for kind, list := range found {
			values, _ := v[kind].([]any)
			for _, value := range values {
				if text, ok := value.(string); ok {
					list[text] = true
				}
			}
		}
		for _, member := range v {
			rewire(member, app, found)
		}
	}
}

// detours returns paths that some app, framework or web server treats as equal to
// path.
func detours(path string) []string {
	path = strings.TrimSuffix(strings.TrimSuffix(path, "*"), "/")
	i := strings.LastIndex(path, "/") + 1
	return []string{
		path, path + "/", path + "//", "/" + path, strings.ReplaceAll(path, "/", "//"), path[:i] + "./" + path[i:], "/x/.." + path, path + "/.", path + "/x/..",
		strings.ToUpper(path), path[:i] + strings.ToUpper(path[i:i+1]) + path[i+1:],
		path[:i] + fmt.Sprintf("%%%02x", path[i]) + path[i+1:], strings.ReplaceAll(path[:i-1], "/", "%2f") + "/" + path[i:], path[:i-1] + "%2f" + path[i:], path[:i-1] + "%5c" + path[i:], path + "%2f", path + "%00", path + "%20", path + "%0a",
		path + ";v=1", path + ";jsessionid=1", path + "?x=1", path + "%3fx=1", path + "%23x", path + ".json", path + ".php", path + ".",
		"/index.php" + path, "/index.php?path=" + path, "/app.cgi" + path, "/?_url=" + path,
		"/", "/wrong", "/robots.txt", path[:i] + "wrong",
	}
}

// identitySpellings are the names under which an app might read the identity headers:
// Go, Rack and WSGI fold case and dashes, and PHP also folds dots.
var identitySpellings = []string{
	"Webhook-Verified-Key", "webhook-verified-key", "WEBHOOK-VERIFIED-KEY", "Webhook_Verified_Key", "webhook.verified.key", "Webhook-Verified_Key", "Webhook.Verified-Key",
	"Webhook-Verified-Provider", "Webhook-Verified-Id", "Webhook-Verified-Event", "Webhook-Verified-Timestamp", "Webhook-Verified-Unsigned", "Webhook-Verified-Secret", "WEBHOOK_VERIFIED_PROVIDER",
}

// rawRequest sends a request with a path and headers that no client library
// sends, and returns the response.
func rawRequest(t *testing.T, address, method, host, path string, headers map[string]string, body string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	var request strings.Builder
	fmt.Fprintf(&request, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", method, path, host, len(body))
	for name, value := range headers {
		fmt.Fprintf(&request, "%s: %s\r\n", name, value)
	}
	if _, err := io.WriteString(conn, request.String()+"\r\n"+body); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	response.Body = io.NopCloser(bytes.NewReader(content))
	return response
}

// TestNoExampleAcceptsOtherPathsOrForgedHeaders sends requests of an attacker or of a
// misconfigured provider through every config of the documentation and the examples. No
// forged identity header reaches the app, and Caddy answers no request with its default
// 200, which a provider would count as success.
func TestNoExampleAcceptsOtherPathsOrForgedHeaders(t *testing.T) {
	for _, e := range examples(t) {
		if e.fromCatalogue() {
			continue // these all have the same structure, which examples on other pages have too
		}
		if !strings.Contains(e.text, "verify_webhook ") {
			continue // a page for operators, without an app
		}
		t.Run(e.name, func(t *testing.T) {
			t.Setenv("XDG_DATA_HOME", t.TempDir())
			t.Setenv("XDG_CONFIG_HOME", t.TempDir())
			app := startEchoApp(t)
			address, hosts, paths := runExample(t, adapted(t, e), app)
			if len(hosts) == 0 {
				hosts = []string{"localhost"}
			}
			if len(paths) == 0 {
				paths = []string{"/webhooks/github"}
			}
			headers := make(map[string]string)
			for i, name := range identitySpellings {
				headers[name] = forged + fmt.Sprint(i)
			}
			for _, host := range hosts {
				for _, path := range paths {
					for _, detour := range detours(path) {
						for _, method := range []string{"POST", "GET"} {
							app.checkHandled(t, rawRequest(t, address, method, host, detour, headers, `{"forged":true}`), method, detour, e.text)
						}
					}
				}
			}
			for _, where := range app.forged {
				t.Errorf("a forged header reaches the app: %s\n%s", where, e.text)
			}
		})
	}
}

// checkHandled checks that the app or an error status answered the request, not
// Caddy's default 200.
func (a *echoApp) checkHandled(t *testing.T, response *http.Response, method, path, text string) {
	t.Helper()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode < 300 && string(content) != "the app\n" {
		t.Errorf("%s %s: no handler answered: got %d %q\n%s", method, path, response.StatusCode, content, text)
	}
}

// adapted returns an example as JSON.
func adapted(t *testing.T, e example) []byte {
	t.Helper()
	config := []byte(ready(t, e))
	if e.language == "json" {
		return config
	}
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(config, map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatalf("%v\n%s", err, e.text)
	}
	return config
}

// TestCompleteSiteVerifiesWebhooksAndServesOtherPages uses the config of
// docs/security.md for an app whose pages are in the same site.
func TestCompleteSiteVerifiesWebhooksAndServesOtherPages(t *testing.T) {
	all := examples(t)
	i := slices.IndexFunc(all, func(e example) bool {
		return strings.HasPrefix(e.name, "docs/security.md") && strings.Contains(e.text, "request_header -Webhook-Verified-*")
	})
	if i < 0 {
		t.Fatal("docs/security.md contains no complete site")
	}
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	app := startEchoApp(t)
	address, hosts, _ := runExample(t, adapted(t, all[i]), app)
	host := hosts[0]
	send := func(method, path string, headers map[string]string, body string) int {
		response := rawRequest(t, address, method, host, path, headers, body)
		app.checkHandled(t, response, method, path, all[i].text)
		return response.StatusCode
	}
	genuine := func(id, body string) map[string]string {
		mac := hmac.New(sha256.New, []byte(secretFor("GITHUB_WEBHOOK_SECRET")))
		mac.Write([]byte(body))
		return map[string]string{"X-Hub-Signature-256": "sha256=" + hex.EncodeToString(mac.Sum(nil)), "X-GitHub-Event": "push", "X-GitHub-Delivery": id, "Webhook-Verified-Key": forged + "key"}
	}
	if status := send("POST", "/webhooks/github", genuine("1", `{"n":1}`), `{"n":1}`); status != 200 || app.header.Get("Webhook-Verified-Provider") != "github" || app.header.Get("Webhook-Verified-Key") == "" {
		t.Errorf("a genuine delivery: got %d, the app got %v", status, app.header)
	}
	if status := send("POST", "/webhooks/github", map[string]string{"Webhook-Verified-Key": forged + "key"}, `{"n":2}`); status != 401 {
		t.Errorf("a forged delivery: got %d", status)
	}
	if status := send("GET", "/", nil, ""); status != 200 {
		t.Errorf("a page of the app: got %d", status)
	}
	// docs/security.md lists the paths that Caddy treats as equal, and those that
	// only an app does.
	for path, verified := range map[string]bool{
		"//webhooks/github": true, "/webhooks//github": true, "/WEBHOOKS/GitHub": true, "/webhooks/%67ithub": true, "/webhooks/x/../github": true, "/webhooks%2fgithub": true,
		"/webhooks/github/": false, "/index.php/webhooks/github": false, "/webhooks/github;v=1": false, "/webhooks/github.json": false, "/webhooks/github%2f": false, "/": false,
	} {
		body := `{"path":"` + path + `"}`
		status := send("POST", path, genuine(path, body), body)
		if got := app.header.Get("Webhook-Verified-Provider") != ""; status != 200 || got != verified {
			t.Errorf("%s: got %d, verified %t", path, status, got)
		}
	}
	if len(app.forged) > 0 {
		t.Errorf("forged headers reach the app: %v", app.forged)
	}
}
