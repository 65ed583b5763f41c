package caddymodule

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// The errors are the same in a Caddyfile, where they name the line, and in JSON.
func TestImplausibleEventsAreRejected(t *testing.T) {
	for _, test := range []struct{ caddyfile, json, want string }{
		{`push,pull_request`, `["push,pull_request"]`, `write events push pull_request (in JSON: "events": ["push", "pull_request"])`},
		{`push, pull_request`, `["push,", "pull_request"]`, `write events push pull_request (in JSON: "events": ["push", "pull_request"])`},
		{`push ,pull_request`, `["push", ",pull_request"]`, `write events push pull_request`},
		{`push,`, `["push,"]`, `write events push (in JSON: "events": ["push"])`},
		{`push|pull_request`, `["push|pull_request"]`, `write events push pull_request`},
		{`push;pull_request`, `["push;pull_request"]`, `write events push pull_request`},
		{`"Push Hook,Tag Push Hook"`, `["Push Hook,Tag Push Hook"]`, `write events "Push Hook" "Tag Push Hook"`},
		{`invoice.*,customer.*`, `["invoice.*,customer.*"]`, `write events invoice.* customer.*`},
		{`push "push"`, `["push","push"]`, `duplicate event type in events: push`},
		{`a.* b a.*`, `["a.*", "b", "a.*"]`, `duplicate event type in events: a.*`},
		{`{env.EVENTS}`, `["{env.EVENTS}"]`, `placeholders are not replaced`},
		{"`\"push\"`", `["\"push\""]`, `contains quotes`},
		{`'push'`, `["'push'"]`, `contains quotes`},
		{`!push`, `["!push"]`, `does not exclude`},
		{`-push`, `["-push"]`, `does not exclude`},
		{`^push$`, `["^push$"]`, `not a regular expression`},
		{`invoice\..*`, `["invoice\\..*"]`, `not a regular expression`},
		{`" push"`, `[" push"]`, `begins or ends with a space`},
		{`""`, `[""]`, `is empty`},
	} {
		_, err := adapt("http://:8080 {\nverify_webhook github {env.VERIFY_WEBHOOK_TEST_SECRET} {\nevents " + test.caddyfile + "\n}\n}")
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "Caddyfile:3") {
			t.Errorf("events %s: got %v, want %q", test.caddyfile, err, test.want)
		}
		refusedJSON(t, `"events":`+test.json, test.want)
	}
	for _, good := range []string{`push`, `push pull_request.*`, `*`, `"Push Hook" "Tag Push Hook"`, `jira:issue_created`, `app/installed`, `App\Events\Paid`, `com.example.v1+json`} {
		if _, err := adapt("http://:8080 {\nverify_webhook gitlab {env.VERIFY_WEBHOOK_TEST_SECRET} {\nevents " + good + "\n}\n}"); err != nil {
			t.Errorf("events %s: %v", good, err)
		}
	}
}

// refusedJSON checks that options of a handler are rejected with an error.
func refusedJSON(t *testing.T, options, want string) {
	t.Helper()
	trial, err := OpenTrial(quietly(t), []byte(config("github", options)), nil)
	if err == nil {
		trial.Close()
		t.Errorf("%s is accepted", options)
	} else if !strings.Contains(err.Error(), want) {
		t.Errorf("%s: got %v, want %q", options, err, want)
	}
}

func TestGitLabsEventTypesHaveSpaces(t *testing.T) {
	if trial, err := OpenTrial(quietly(t), []byte(config("gitlab", `"events":["Push","Hook"]`)), nil); err == nil || !strings.Contains(err.Error(), `events "Push Hook"`) {
		trial.Close()
		t.Errorf("got %v", err)
	}
}

// A number in JSON is in nanoseconds, so one that was meant as seconds or
// milliseconds is too short and is rejected.
func TestDurationsWithoutUnitAreRejected(t *testing.T) {
	for option, example := range map[string]string{"body_timeout": "30s", "app_timeout": "5m", "window": "7d", "lease": "1m", "wait": "10s"} {
		for _, number := range []int{1, 30, 300, 86400, 604800, 30000, 300000} {
			json := fmt.Sprintf("%q:%d", option, number)
			if option == "window" || option == "lease" || option == "wait" {
				json = `"replay":{` + json + `}`
			}
			refusedJSON(t, json, fmt.Sprintf(`in JSON a number is nanoseconds: write %q: %q`, option, example))
		}
	}
	refusedJSON(t, `"replay":{"window":604800000}`, `write "window": "7d"`)
	refusedJSON(t, `"replay":{"window":"500ms"}`, `write, for example, window 7d`)
	refusedJSON(t, `"replay":{"store":{"type":"redis","url":"redis://127.0.0.1:1","timeout":500}}`, `write "timeout": "1s"`)
	refusedJSON(t, `"replay":{"handled":[2,1]}`, `handled 1xx`)
	for _, good := range []string{`"body_timeout":"50ms"`, `"app_timeout":"1s"`, `"replay":{"wait":"1ms"}`, `"replay":{"window":"10m"}`, `"body_timeout":30000000000`} {
		trial, err := OpenTrial(quietly(t), []byte(config("github", good)), nil)
		if err != nil {
			t.Errorf("%s: %v", good, err)
			continue
		}
		trial.Close()
	}
}

func TestHandledWithCommasIsRejectedWithAFix(t *testing.T) {
	for _, statuses := range []string{"2xx,410", "200, 201", "2xx,"} {
		_, err := adapt("http://:8080 {\nverify_webhook github {env.VERIFY_WEBHOOK_TEST_SECRET} {\nreplay {\nhandled " + statuses + "\n}\n}\n}")
		if err == nil || !strings.Contains(err.Error(), "separate status codes with spaces") {
			t.Errorf("handled %s: got %v", statuses, err)
		}
	}
}

func TestUnlikelyOptionsLogAWarning(t *testing.T) {
	for options, want := range map[string]string{
		`"max_body":25`:                 "max_body is 25 bytes",
		`"body_timeout":"30ms"`:         "body_timeout is 30ms",
		`"app_timeout":"300ms"`:         "app_timeout is 300ms",
		`"replay":{"lease":"7d"}`:       "lease is 168h",
		`"replay":{"handled":[2,5]}`:    "handled 5xx",
		`"replay":{"handled":[502]}`:    "handled 502",
		`"events":["all"]`:              "remove events",
		`"replay":{"handled":[3]}`:      "handled 3xx: a delivery that the app answers with 2xx is not remembered",
		`"replay":{"handled":[204]}`:    "",
		`"replay":{"on_duplicate":404}`: "on_duplicate 404",
		`"replay":{"on_duplicate":409}`: "",
		`"max_body":10737418240`:        "max_body is 10737418240 bytes, more than body_disk",
		``:                              "",
		`"max_body":1048576,"body_timeout":"10s","replay":{"handled":[2,410],"lease":"1m"}`: "",
	} {
		b := trial(t, config("github", options))
		said := b.handler.unlikely()
		if (want == "") != (len(said) == 0) || !strings.Contains(strings.Join(said, "\n"), want) {
			t.Errorf("%s: got %q, want %q", options, said, want)
		}
	}
}

func TestNegativeBudgetsForBodiesAreRejected(t *testing.T) {
	for want, app := range map[string]*App{
		`body_memory -1 is negative: write, for example, "body_memory": 268435456`: {BodyMemory: -1},
		`body_disk -1 is negative: write, for example, "body_disk": 2147483648`:    {BodyDisk: -1},
	} {
		if err := app.Validate(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestUnlikelyOptionsAreLoggedAtStart runs a real Caddy.
func TestUnlikelyOptionsAreLoggedAtStart(t *testing.T) {
	c := startCaddy(t, "verify_webhook {\nstore memory STORE\nbody_memory 256\n}", siteOf("github", "max_body 25"))
	var got []string
	for _, entry := range c.entries("warn") {
		got = append(got, entry["msg"].(string))
	}
	if said := strings.Join(got, "\n"); len(got) != 2 || !strings.Contains(said, "max_body is 25 bytes") || !strings.Contains(said, "body_memory 256MiB") {
		t.Errorf("got %q", got)
	}
}

func TestShortSecretLogsAWarning(t *testing.T) {
	for text, want := range map[string]bool{"hunter2": true, "a": true, "hunter2-hunter2": false, "It's a Secret to Everybody": false} {
		t.Setenv("WEBHOOK_TEST_SHORT", text)
		b := trial(t, `{"provider":{"name":"github","secrets":[{"secret":"{env.WEBHOOK_TEST_SHORT}","label":"new"}]}}`)
		said := strings.Join(b.handler.unlikely(), "\n")
		if strings.Contains(said, "secret new has fewer than 12 characters") != want || strings.Contains(said, "hunter2") {
			t.Errorf("%s: got %q", text, said)
		}
	}
	for name, secret := range map[string]string{"standard-webhooks": "whsec_AAAA", "postmark": "user:pass"} {
		b := trial(t, `{"provider":{"name":"`+name+`","secrets":[{"secret":"`+secret+`"}]}}`)
		if said := strings.Join(b.handler.unlikely(), "\n"); !strings.Contains(said, "secret 1 has fewer") {
			t.Errorf("%s: got %q", name, said)
		}
	}
}

func TestSchemeThatProtectsLittleLogsAWarning(t *testing.T) {
	const secret = `{"provider":{"name":"custom","secrets":[{"secret":"It's a Secret to Everybody"}],"algorithm":"hmac-sha256","signature":{"from":"header","name":"X-S"}`
	for options, want := range map[string]string{
		`,"signed":"{timestamp}.{body}","timestamp":{"from":"header","name":"X-T"}`: "",
		`,"signed":"{body}"`: "",
		`,"signed":"{timestamp}","timestamp":{"from":"header","name":"X-T"}`: "does not cover the body",
		`,"signed":"{body}","timestamp":{"from":"header","name":"X-T"}`:      "the timestamp is not signed",
	} {
		said := strings.Join(trial(t, secret+options+"}}").handler.unlikely(), "\n")
		if (want == "") != (said == "") || !strings.Contains(said, want) {
			t.Errorf("%s: got %q, want %q", options, said, want)
		}
	}
}

// A wrong pattern loses all deliveries, because the provider gets a success.
func TestEventsThatMatchNothingAreLoggedOnce(t *testing.T) {
	b := trial(t, config("github", `"events":["Push"]`))
	for i := range 3 * suspicious {
		b.expect(t, github(strconv.Itoa(i), content), Ignored, 204)
	}
	if got := b.logs.FilterMessageSnippet("no delivery has matched events").Len(); got != 1 {
		t.Errorf("logged %d times", got)
	}
	b = trial(t, config("github", `"events":["push"]`))
	b.expect(t, github("1", content), Verified, 200)
	for i := range 3 * suspicious {
		r := github("ignored "+strconv.Itoa(i), content)
		r.Header.Set("X-GitHub-Event", "ping")
		b.expect(t, r, Ignored, 204)
	}
	if got := b.logs.FilterMessageSnippet("no delivery has matched events").Len(); got != 0 {
		t.Errorf("logged %d times although one has matched", got)
	}
}
