package command

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp" // the app http, and static_response
	"github.com/spf13/cobra"

	_ "github.com/verify-webhook/caddy-verify-webhook/caddymodule/store" // the store memory
)

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestSeenAndForgetQueryTheRunningCaddy(t *testing.T) {
	t.Setenv("WEBHOOK_SECRET", "It's a Secret to Everybody")
	admin, site := freeAddress(t), freeAddress(t)
	config := fmt.Sprintf(`{"admin":{"listen":%q,"config":{"persist":false}},"logging":{"logs":{"default":{"level":"PANIC"}}},"apps":{
		"verify_webhook":{"store":{"type":"memory","name":"seen"}},
		"http":{"servers":{"s":{"listen":[%q],"automatic_https":{"disable":true},"routes":[{"handle":[
			{"handler":"verify_webhook","namespace":"code","provider":{"name":"github","secrets":[{"secret":"{env.WEBHOOK_SECRET}","label":"new"}]}},
			{"handler":"static_response","body":"reached"}]}]}}}}}`, admin, site)
	if err := caddy.Load([]byte(config), true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	send := func() string {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, "http://"+site+"/", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, []byte("It's a Secret to Everybody"))
		mac.Write([]byte("{}"))
		r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
		r.Header.Set("X-GitHub-Delivery", "id 1&2")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var body bytes.Buffer
		if _, err := body.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(resp.StatusCode, " ", body.String())
	}
	answers := func(want string) {
		t.Helper()
		if got := send(); got != want {
			t.Errorf("the delivery got %q, want %q", got, want)
		}
	}
	says := func(want, mistake string, args ...string) {
		t.Helper()
		commands := map[string]*cobra.Command{"seen": seenCommand(), "forget": forgetCommand()}
		out, _, err := run(t, commands[args[0]], "", append(args[1:], "--address", admin)...)
		if !strings.Contains(out, want) || (err == nil) != (mistake == "") || (err != nil && !strings.Contains(err.Error(), mistake)) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	line := func(state string) string { return "github    code      new     " + state + "\n" }

	says(line("free"), "", "seen", "github", "id 1&2")
	says("", "no endpoint of github remembers", "forget", "github", "id 1&2")
	answers("200 reached")
	answers("200 ")
	says(line("handled"), "", "seen", "code", "id 1&2")
	says(line("forgotten"), "", "forget", "github", "id 1&2")
	answers("200 reached")
	answers("200 ")
	says("", "available: code, github", "seen", "gitlab", "id 1&2")
	if _, _, err := run(t, seenCommand(), "", "github", "1", "--address", freeAddress(t)); err == nil || !strings.Contains(err.Error(), "querying the running Caddy instance") {
		t.Errorf("no running instance: %v", err)
	}
}
