package command

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestHandshakesPrintsReceivedSecrets(t *testing.T) {
	t.Setenv("ASANA_SECRET", "b537207f20cbfa02357cf448134da559")
	admin, site := freeAddress(t), freeAddress(t)
	config := fmt.Sprintf(`{"admin":{"listen":%q,"config":{"persist":false}},"logging":{"logs":{"default":{"level":"PANIC"}}},"apps":{
		"verify_webhook":{"store":{"type":"memory","name":"handshakes"}},
		"http":{"servers":{"s":{"listen":[%q],"automatic_https":{"disable":true},"routes":[
			{"match":[{"path":["/notion"]}],"handle":[{"handler":"verify_webhook","provider":{"name":"notion","accept_handshake":true}}]},
			{"match":[{"path":["/asana"]}],"handle":[{"handler":"verify_webhook","namespace":"tasks","provider":{"name":"asana","secrets":[{"secret":"{env.ASANA_SECRET}"}]}}]}]}}}}}`, admin, site)
	if err := caddy.Load([]byte(config), true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	send := func(path, body, hookSecret string, status int) {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, "http://"+site+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if hookSecret != "" {
			r.Header.Set("X-Hook-Secret", hookSecret)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%s: status %d, want %d", path, resp.StatusCode, status)
		}
	}
	says := func(want, mistake string, args ...string) {
		t.Helper()
		out, _, err := run(t, handshakesCommand(), "", append(args, "--address", admin)...)
		if !strings.Contains(out, want) || (err == nil) != (mistake == "") || (err != nil && !strings.Contains(err.Error(), mistake)) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}

	says("no handshake with a secret", "")
	send("/notion", `{"verification_token":"secret_of_notion"}`, "", 200)
	says("notion    127.0.0.1  "+site+"/notion  secret_of_notion\n", "")

	send("/asana", "", "of-asana", 401)
	says("tasks: accepting handshakes until", "", "asana", "--accept", "10m")
	send("/asana", "", "of-asana", 200)
	says("asana     tasks     127.0.0.1  "+site+"/asana  of-asana\n", "", "tasks")

	says("", "missing provider", "--accept", "10m")
	says("", "not a duration", "asana", "--accept", "soon")
	says("", "between 1s and 1h", "asana", "--accept", "1d")
	says("", "available: asana, notion, tasks", "github", "--accept", "10m")
	says("", "cannot be combined", "asana", "--accept", "10m", "--forget")

	says("removed 1\n", "", "asana", "--forget")
	says("secret_of_notion", "")
	says("removed 1\n", "", "--forget")
	says("no handshake with a secret", "")
}

// A handshake is not a delivery, so findings about secrets and signatures would
// mislead.
func TestExplainNamesTheOptionOfAHandshake(t *testing.T) {
	t.Setenv("HANDSHAKE_SECRET", "a secret of the provider")
	for provider, c := range map[string]struct{ request, option string }{
		"meta":        {"GET /m?hub.mode=subscribe&hub.challenge=1&hub.verify_token=x HTTP/1.1\r\n", "verify_token"},
		"websub":      {"GET /m?hub.mode=subscribe&hub.topic=https%3A%2F%2Fa.example&hub.challenge=1 HTTP/1.1\r\n", "topic"},
		"asana":       {"POST /m HTTP/1.1\r\nX-Hook-Secret: abc\r\n", "accept_handshake"},
		"cloudevents": {"OPTIONS /m HTTP/1.1\r\nWebHook-Request-Origin: events.example.com\r\n", "allowed_origin events.example.com"},
	} {
		out, _, err := run(t, explainCommand(), c.request+"Host: hooks.example.com\r\n\r\n", provider, "--secret", "env:HANDSHAKE_SECRET")
		if err == nil || !strings.Contains(out, c.option) || !strings.Contains(out, "the provider checks the URL with it") || strings.Contains(out, "set a secret") {
			t.Errorf("%s: %v\n%s", provider, err, out)
		}
	}
}
