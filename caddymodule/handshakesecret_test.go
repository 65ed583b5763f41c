package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	notionToken = "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"
	notionFirst = `{"verification_token":"` + notionToken + `"}`
)

// handshakes returns the secrets that the admin API lists.
func (o operator) handshakes(query string) []HandshakeSecret {
	o.t.Helper()
	status, raw := o.call(http.MethodGet, AdminHandshakesPath+query, "")
	var found []HandshakeSecret
	if err := json.Unmarshal([]byte(raw), &found); status != 200 || err != nil {
		o.t.Fatalf("status %d, %v: %s", status, err, raw)
	}
	return found
}

// call sends a request to the admin API.
func (o operator) call(method, path, body string) (int, string) {
	o.t.Helper()
	r, err := http.NewRequest(method, "http://"+o.admin+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// firstSecretSite returns the config of an endpoint whose provider sends its
// secret in a handshake.
func firstSecretSite(provider, options string) string {
	return fmt.Sprintf("verify_webhook %s {\n%s\nreplay {\nstore memory STORE\n}\n}\nreverse_proxy APP", provider, options)
}

func forgetHandshakes(t *testing.T) {
	t.Cleanup(func() { handshakes.forget("", time.Now()) })
}

// The steps are those of an operator who sets up a webhook at Notion.
func TestWebhookCanBeSetUpBeforeItsSecretIsKnown(t *testing.T) {
	forgetHandshakes(t)
	t.Setenv("NOTION_SECRET", notionToken)
	const delivery = `{"id":"367cba44-b6f3-4c92-81e7-6a2e9659efd4","type":"page.created"}`
	signed := []string{"X-Notion-Signature", "sha256=" + sign(notionToken, delivery)}

	c, o := startWithAdmin(t, firstSecretSite("notion", "accept_handshake"))
	overHTTP := client(t, "HTTP/1.1")
	got := c.send(overHTTP, strings.NewReader(notionFirst), "Content-Type", "application/json")
	if got.status != 200 || got.body != "" {
		t.Errorf("the handshake got %d %q", got.status, got.body)
	}
	// A delivery before the secret is configured must be retried.
	if got := c.send(overHTTP, strings.NewReader(delivery), signed...); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("a delivery without a configured secret got %d, Retry-After %q", got.status, got.header.Get("Retry-After"))
	}
	found := o.handshakes("")
	if len(found) != 1 || found[0].Secret != notionToken || found[0].Provider != "notion" || found[0].From != "127.0.0.1" || !strings.HasSuffix(found[0].URL, "/in") {
		t.Errorf("the admin API shows %+v", found)
	}
	if seen := c.app.arrivals(); len(seen) > 0 {
		t.Errorf("the app received %+v", seen)
	}

	c.load("admin "+o.admin, firstSecretSite("notion", "secret {env.NOTION_SECRET}"))
	overHTTP = client(t, "HTTP/1.1") // the old server closes its connections
	if got := c.send(overHTTP, strings.NewReader(delivery), signed...); got.status != 200 || len(c.app.arrivals()) != 1 {
		t.Errorf("the delivery got %d", got.status)
	}
	if got := c.send(overHTTP, strings.NewReader(notionFirst)); got.status != 401 {
		t.Errorf("a handshake that is not accepted got %d", got.status)
	}
	if found := o.handshakes("?provider=notion"); len(found) != 1 {
		t.Errorf("after the reload the admin API shows %+v", found)
	}
	if found := o.handshakes("?provider=asana"); len(found) != 0 {
		t.Errorf("for another provider it shows %+v", found)
	}
	if status, raw := o.call(http.MethodDelete, AdminHandshakesPath, ""); status != 200 || strings.TrimSpace(raw) != `{"removed":1}` || len(o.handshakes("")) > 0 {
		t.Errorf("removing: %d %s", status, raw)
	}

	_, config := o.call(http.MethodGet, "/config/", "")
	for what, text := range map[string]string{"the log": c.logged(), "/config/": config} {
		if strings.Contains(text, notionToken) {
			t.Errorf("%s contains the secret", what)
		}
	}
	for _, want := range []string{"a handshake contained a secret", "no secret is configured", "write accept_handshake and have the provider resend it"} {
		if !strings.Contains(c.logged(), want) {
			t.Errorf("the log does not contain: %s", want)
		}
	}
}

// An attacker who sends a secret in a handshake cannot sign deliveries with it.
func TestSecretsFromHandshakesAreNeverUsed(t *testing.T) {
	forgetHandshakes(t)
	c, _ := startWithAdmin(t, firstSecretSite("notion", "accept_handshake"))
	overHTTP := client(t, "HTTP/1.1")
	c.send(overHTTP, strings.NewReader(`{"verification_token":"planted-by-an-attacker"}`))
	for _, secret := range []string{"planted-by-an-attacker", ""} {
		if got := c.send(overHTTP, strings.NewReader("{}"), "X-Notion-Signature", "sha256="+sign(secret, "{}")); got.status != 503 || len(c.app.arrivals()) > 0 {
			t.Errorf("a delivery signed with %q got %d", secret, got.status)
		}
	}
}

func TestHandshakeSecretsAreBoundedAndListed(t *testing.T) {
	forgetHandshakes(t)
	c, o := startWithAdmin(t, firstSecretSite("asana", "accept_handshake"))
	overHTTP := client(t, "HTTP/1.1")
	send := func(secret string, status int) {
		t.Helper()
		got := c.send(overHTTP, strings.NewReader(""), "X-Hook-Secret", secret)
		if got.status != status || (status == 200 && got.header.Get("X-Hook-Secret") != secret) || (status != 200 && got.header.Get("X-Hook-Secret") != "") {
			t.Errorf("%.20s: status %d, X-Hook-Secret %q, want %d", secret, got.status, got.header.Get("X-Hook-Secret"), status)
		}
	}
	for i := range maxHandshakeSecrets {
		send(fmt.Sprint("planted", i), 200)
		send(fmt.Sprint("planted", i), 200) // a repeated secret needs no further space
	}
	send("of the provider", 400) // a secret contains no space
	send("of-the-provider", 503)
	send(strings.Repeat("a", 257), 400)
	if found := o.handshakes(""); len(found) != maxHandshakeSecrets {
		t.Errorf("%d secrets are listed", len(found))
	}
	if !strings.Contains(c.logged(), "limit of kept secrets") {
		t.Error("the log does not report that the list is full")
	}
	o.call(http.MethodDelete, AdminHandshakesPath+"?provider=asana", "")
	send("of-the-provider", 200)
	if found := o.handshakes("?provider=asana"); len(found) != 1 || found[0].Secret != "of-the-provider" {
		t.Errorf("listed secrets: %+v", found)
	}
}

// The config does not change.
func TestCommandAcceptsHandshakesForALimitedTime(t *testing.T) {
	forgetHandshakes(t)
	t.Cleanup(func() { handshakes.accept("asana", time.Time{}) })
	t.Setenv("ASANA_SECRET", "b537207f20cbfa02357cf448134da559")
	c, o := startWithAdmin(t, firstSecretSite("asana", "secret {env.ASANA_SECRET}"))
	overHTTP := client(t, "HTTP/1.1")
	send := func(status int) {
		t.Helper()
		if got := c.send(overHTTP, strings.NewReader(""), "X-Hook-Secret", "of-a-second-webhook"); got.status != status {
			t.Errorf("status %d, want %d", got.status, status)
		}
	}
	send(401)
	if status, raw := o.call(http.MethodPost, AdminHandshakesPath, `{"provider":"asana","accept":"10m"}`); status != 200 || !strings.Contains(raw, `"endpoints":["asana"]`) {
		t.Fatalf("%d %s", status, raw)
	}
	send(200)
	if found := o.handshakes(""); len(found) != 1 || found[0].Secret != "of-a-second-webhook" {
		t.Errorf("listed secrets: %+v", found)
	}
	handshakes.accept("asana", time.Now().Add(-time.Second)) // expired
	send(401)

	for _, q := range []struct {
		method, body string
		status       int
		want         string
	}{
		{"POST", `{"provider":"asana","accept":"2h"}`, 400, "between 1s and 1h"},
		{"POST", `{"provider":"asana"}`, 400, "between 1s and 1h"},
		{"POST", `{"accept":"10m"}`, 400, "must not be empty"},
		{"POST", `{"provider":"notion","accept":"10m"}`, 404, "available: asana"},
		{"POST", `{"provider":"asana","for":"10m"}`, 400, "unknown field"},
		{"PUT", "", 405, "GET, POST, DELETE"},
	} {
		if status, raw := o.call(q.method, AdminHandshakesPath, q.body); status != q.status || !strings.Contains(raw, q.want) {
			t.Errorf("%s %s: %d %s", q.method, q.body, status, raw)
		}
	}
}

// Secrets from handshakes are removed after an hour.
func TestHandshakeSecretsExpireAfterAnHour(t *testing.T) {
	var k handshakeDesk
	start := time.Unix(1790000000, 0)
	secret := func(of, text string, at time.Time) HandshakeSecret {
		return HandshakeSecret{Provider: "asana", Endpoint: of, Secret: text, Received: at}
	}
	k.keep(secret("a", "1", start))
	k.keep(secret("b", "2", start.Add(30*time.Minute)))
	for _, c := range []struct {
		name  string
		after time.Duration
		want  int
	}{
		{"", 59 * time.Minute, 2},
		{"a", 59 * time.Minute, 1},
		{"asana", 59 * time.Minute, 2},
		{"c", 59 * time.Minute, 0},
		{"", 61 * time.Minute, 1},
		{"", 91 * time.Minute, 0},
	} {
		if got := k.list(c.name, start.Add(c.after)); len(got) != c.want {
			t.Errorf("%q after %s: %d secrets, want %d", c.name, c.after, len(got), c.want)
		}
	}
	k.accept("a", start.Add(10*time.Minute))
	for after, want := range map[time.Duration]bool{0: true, 9 * time.Minute: true} {
		if k.accepts("a", start.Add(after)) != want || k.accepts("b", start.Add(after)) {
			t.Errorf("after %s", after)
		}
	}
	if k.accepts("a", start.Add(10*time.Minute)) || k.accepts("a", start) {
		t.Error("the handshake is still accepted")
	}
	for i := range 2 * maxHandshakeSecretsOfAll {
		k.keep(secret(fmt.Sprint("endpoint", i), "1", start))
	}
	if got := len(k.list("", start)); got != maxHandshakeSecretsOfAll {
		t.Errorf("%d secrets are stored for all endpoints", got)
	}
}

// TestURLCheckIsAnsweredWithoutABody uses both protocols.
func TestURLCheckIsAnsweredWithoutABody(t *testing.T) {
	t.Setenv("CHECK_SECRET", "a-client-secret-of-intercom")
	c := startCaddy(t, "", firstSecretSite("intercom", "secret {env.CHECK_SECRET}"))
	overBoth(t, func(t *testing.T, client *http.Client) {
		for method, want := range map[string]int{"HEAD": 200, "GET": 401, "OPTIONS": 401, "POST": 401} {
			r, err := http.NewRequest(method, "http://"+c.addr+"/in", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want || len(c.app.arrivals()) > 0 {
				t.Errorf("%s: status %d, want %d", method, resp.StatusCode, want)
			}
		}
	})
	if !strings.Contains(c.logged(), `"outcome":"handshake"`) {
		t.Error("the log does not report a handshake")
	}
}

// The log must name the option with which the gate answers the handshake.
func TestForwardedHandshakeNamesTheOption(t *testing.T) {
	stamp := fmt.Sprint(present.Unix())
	validate := func() *http.Request {
		r := request("", "X-UA-TIMESTAMP", stamp, "X-UA-SIGNATURE", sign(secret, stamp+":"))
		r.Method, r.RequestURI = http.MethodGet, "/in/validate"
		r.URL.Path = "/in/validate"
		return r
	}
	without := trial(t, config("airship", ""))
	without.expect(t, validate(), Verified, 200)
	if lines := without.lines("forwarding a handshake to the app"); len(lines) != 1 || !strings.Contains(lines[0], "write verify_token") {
		t.Errorf("logged: %v", lines)
	}
	with := trial(t, `{"provider":{"name":"airship","secrets":[{"secret":"{env.`+secretVariable+`}"}],"verify_token":"559384cd-6284-4e3e-9e4e-7c260019a251"}}`)
	with.expect(t, validate(), Handshake, 200)
	if lines := with.lines("forwarding a handshake to the app"); len(lines) != 0 {
		t.Errorf("logged: %v", lines)
	}
}

// The request is also forwarded.
func TestModeMonitorKeepsTheSecretOfAHandshake(t *testing.T) {
	b := trial(t, `{"mode":"monitor","provider":{"name":"asana","accept_handshake":true}}`)
	got := b.Send(request("", "X-Hook-Secret", "abc"))
	if !got.Reached || got.ReachedHeader.Get(headerOutcome) != string(Handshake) {
		t.Errorf("reached %t, outcome %s", got.Reached, got.ReachedHeader.Get(headerOutcome))
	}
	if found := b.handler.handshakes.list("", present); len(found) != 1 || found[0].Secret != "abc" {
		t.Errorf("stored secrets: %+v", found)
	}
}

// Each config that accepts handshakes logs it.
func TestAcceptHandshakeIsLoggedAtStart(t *testing.T) {
	for options, want := range map[string]string{
		`{"provider":{"name":"notion","accept_handshake":true}}`:                                     "no secret is configured",
		`{"provider":{"name":"notion","accept_handshake":true,"secrets":[{"secret":"secret_abc"}]}}`: "remove it after you have set up yours",
		`{"provider":{"name":"notion","secrets":[{"secret":"secret_abc"}]}}`:                         "",
	} {
		said := strings.Join(trial(t, options).lines(""), "\n")
		if got := strings.Contains(said, "accept_handshake is set") || strings.Contains(said, "no secret is configured"); got != (want != "") || !strings.Contains(said, want) {
			t.Errorf("%s: %s", options, said)
		}
	}
}
