package command

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// startSite runs a Caddy with a GitHub endpoint, and a route for all other paths.
func startSite(t *testing.T) (admin, site string) {
	t.Helper()
	t.Setenv("WEBHOOK_SECRET", sendSecret)
	admin, site = freeAddress(t), freeAddress(t)
	config := fmt.Sprintf(`{"admin":{"listen":%q,"config":{"persist":false}},"logging":{"logs":{"default":{"level":"PANIC"}}},"apps":{
		"verify_webhook":{"store":{"type":"memory","name":"send outcomes"}},
		"http":{"servers":{"s":{"listen":[%q],"automatic_https":{"disable":true},"routes":[
			{"match":[{"path":["/webhooks/github"]}],"terminal":true,"handle":[
			{"handler":"verify_webhook","provider":{"name":"github","secrets":[{"secret":"{env.WEBHOOK_SECRET}"}]}},
			{"handler":"static_response","body":"reached"}]},
			{"handle":[{"handler":"static_response"}]}]}}}}}`, admin, site)
	if err := caddy.Load([]byte(config), true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	return admin, "http://" + site
}

func TestSendPrintsOutcomeAndReasonOfTheRunningCaddy(t *testing.T) {
	admin, site := startSite(t)
	for _, c := range []struct {
		name string
		args []string
		want []string // in the output or the error
		ok   bool
	}{
		{"genuine", []string{"--secret", sendSecret}, []string{"  200 in ", "  verified\n"}, true},
		{"another secret", []string{"--secret", "another"}, []string{"  401 in ", "invalid_signature: signature mismatch", "1 of 1 did not get the expected response"}, false},
		{"altered", []string{"--secret", sendSecret, "--tamper"}, []string{"invalid_signature: "}, true},
		{"twice", []string{"--secret", sendSecret, "--replay"}, []string{"  verified, then 200 "}, true},
		{"a path without an endpoint", []string{"--secret", sendSecret, "--url", site + "/webhooks/gihtub"}, []string{"  200 in ", "not verified by any endpoint", "no endpoint at /webhooks/gihtub has received the delivery", "the running config has: /webhooks/github github"}, false},
		{"several", []string{"--secret", sendSecret, "--count", "7", "--parallel", "3"}, []string{"7 sent in ", ": 7 verified\n"}, true},
		{"quiet", []string{"--secret", "another", "--count", "7", "--quiet"}, []string{"7 sent in ", ": 7 invalid_signature\n"}, false},
	} {
		args := c.args
		if !strings.Contains(strings.Join(args, " "), "--url") {
			args = append(args, "--url", site+"/webhooks/github")
		}
		out, _, err := run(t, sendCommand(), "", append([]string{"github", "--address", admin}, args...)...)
		if c.name == "quiet" && strings.Count(out, "\n") != 1 {
			t.Errorf("%s: %s", c.name, out)
		}
		if err != nil {
			out += err.Error()
		}
		for _, want := range c.want {
			if (err == nil) != c.ok || !strings.Contains(out, want) {
				t.Errorf("%s: %v\n%s\nmissing %q", c.name, err, out, want)
			}
		}
	}
}

func TestSendPrintsJSON(t *testing.T) {
	admin, site := startSite(t)
	out, _, err := run(t, sendCommand(), "", "github", "--address", admin, "--secret", "another", "--url", site+"/webhooks/github", "--count", "2", "--json")
	if err == nil {
		t.Error("no error")
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines: %s", len(lines), out)
	}
	var first struct {
		Outcome    string `json:"outcome"`
		Reason     string `json:"reason"`
		Status     int    `json:"status"`
		AsExpected bool   `json:"as_expected"`
	}
	var last struct {
		Summary struct {
			Sent     int            `json:"sent"`
			Outcomes map[string]int `json:"outcomes"`
		} `json:"summary"`
	}
	if json.Unmarshal([]byte(lines[0]), &first) != nil || first.Outcome != "invalid_signature" || first.Status != 401 || first.Reason == "" || first.AsExpected {
		t.Errorf("a line: %s", lines[0])
	}
	if json.Unmarshal([]byte(lines[2]), &last) != nil || last.Summary.Sent != 2 || last.Summary.Outcomes["invalid_signature"] != 2 {
		t.Errorf("the summary: %s", lines[2])
	}
}

// The admin API of Caddy is not reachable.
func TestSendReadsTheOutcomeOfTheResponse(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Webhook-Verified-Outcome", "ignored")
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	out, _, err := run(t, sendCommand(), "", "github", "--address", freeAddress(t), "--secret", sendSecret, "--url", server.URL+"/in")
	if err != nil || !strings.Contains(out, "  204 in ") || !strings.Contains(out, "  ignored\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestDefaultURLIsAnExampleURL(t *testing.T) {
	out, _, err := run(t, signCommand(), "", "github", "--secret", sendSecret)
	if err != nil || !strings.HasPrefix(out, "POST /webhooks/github HTTP/1.1\r\nHost: localhost:8080\r\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// If the output is not a terminal, nothing is printed.
func TestProgressIsABarOnATerminal(t *testing.T) {
	var out strings.Builder
	now := time.Unix(0, 0)
	p := newProgress(&out, 100)
	p.step()
	p.clear()
	if out.Len() > 0 {
		t.Errorf("not on a terminal: %q", out.String())
	}
	p = &progress{out: &out, total: 100, now: func() time.Time { return now }}
	for range 50 {
		now = now.Add(time.Second)
		p.step()
	}
	if !strings.HasSuffix(out.String(), "\r["+strings.Repeat("#", 20)+strings.Repeat(".", 20)+"] 50/100") {
		t.Errorf("%q", out.String())
	}
	out.Reset()
	for range 20 {
		p.step() // at the same time
	}
	if out.Len() > 0 {
		t.Errorf("too often: %q", out.String())
	}
	p.clear()
	if !strings.HasPrefix(out.String(), "\r ") || !strings.HasSuffix(out.String(), " \r") {
		t.Errorf("not cleared: %q", out.String())
	}
}
