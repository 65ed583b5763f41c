package caddymodule

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

var update = flag.Bool("update", false, "write the results to the golden files")

const separator = "----------\n"

// eachGolden runs a test for each golden file: a Caddyfile, a separator line, and
// the expected JSON or error.
func eachGolden(t *testing.T, folder string, result func(caddyfile string) string) {
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.caddyfiletest"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			p, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			caddyfile, want, _ := strings.Cut(string(p), separator)
			got := strings.TrimSpace(result(caddyfile))
			if *update {
				if err := os.WriteFile(file, []byte(caddyfile+separator+got+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != strings.TrimSpace(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestCaddyfilesAdaptToJSONOrAnErrorWithTheLine(t *testing.T) {
	eachGolden(t, "adapt", func(caddyfile string) string {
		config, err := adapt(caddyfile)
		if err != nil {
			return err.Error()
		}
		var indented bytes.Buffer
		if err := json.Indent(&indented, config, "", "\t"); err != nil {
			t.Fatal(err)
		}
		return indented.String()
	})
}

func TestInvalidConfigsAreRejectedWithAFix(t *testing.T) {
	t.Setenv("WEBHOOK_EMPTY", "")
	t.Setenv("WEBHOOK_SECRET", secret)
	t.Setenv("WEBHOOK_SPACE", secret+" ")
	eachGolden(t, "provision", func(caddyfile string) string {
		config, err := adapt(caddyfile)
		if err != nil {
			t.Errorf("error before provisioning: %v", err)
			return ""
		}
		return validate(t, config)
	})
}

// validate provisions a config, as `caddy validate` does, and returns our part
// of the error.
func validate(t *testing.T, config []byte) string {
	t.Helper()
	c := new(caddy.Config)
	if err := json.Unmarshal(config, c); err != nil {
		t.Fatal(err)
	}
	c.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output":"discard"}`)}}}}
	err := caddy.Validate(c)
	if err == nil {
		return "no error"
	}
	_, ours, found := strings.Cut(err.Error(), "provision http.handlers.verify_webhook: ")
	if !found {
		_, ours, _ = strings.Cut(err.Error(), "http.handlers.verify_webhook: invalid configuration: ")
	}
	return ours
}

func TestInvalidJSONConfigsAreRejected(t *testing.T) {
	for options, want := range map[string]string{
		`"max_body":-1`:     `max_body -1 is negative: write, for example, "max_body": 1048576`,
		`"body_timeout":-1`: "write, for example, body_timeout 30s", `"app_timeout":-1`: "write, for example, app_timeout 5m",
		`"replay":{"window":-1}`: "write, for example, window 7d", `"replay":{"wait":-1}`: "write, for example, wait 10s", `"replay":{"lease":-1}`: "write 1s or more",
		`"replay":{"max_waiting":-1}`:   `max_waiting -1 is negative: write, for example, "max_waiting": 256`,
		`"replay":{"on_duplicate":100}`: "on_duplicate 100 is not a final status", `"replay":{"on_replay":600}`: "on_replay 600 is not a final status",
		`"replay":{"handled":[0]}`: "handled 0 is not a status code", `"replay":{"handled":[2,99]}`: "handled 99 is not a status code",
		`"replay":{"on_store_error":"ignore"}`: "write reject or allow",
		`"mode":"off"`:                         "unrecognized mode: off; write enforce or monitor",
		`"maxbody":1`:                          "unknown field",
		`"replay":{"store":{"type":"memory","max_entries":-1}}`:     "max_entries -1 is negative",
		`"replay":{"store":{"type":"nowhere"}}`:                     "unknown module",
		`"replay":{"store":{"type":"memory","max_entry":1}}`:        "unknown field",
		`"replay":{"lease":"10ms"}`:                                 "write 1s or more",
		`"replay":{"window":"1s","store":{"type":"memory"}},"x":{}`: "unknown field",
	} {
		trial, err := OpenTrial(quietly(t), []byte(config("github", options)), nil)
		if err == nil {
			trial.Close()
			t.Errorf("%s is accepted", options)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", options, err, want)
		}
	}
	for _, bad := range []string{`{}`, `{"provider":{}}`, `{"provider":{"name":"unknown"}}`, `{"provider":{"name":"github"}}`, `[]`, ``} {
		trial, err := OpenTrial(quietly(t), []byte(bad), nil)
		if err == nil {
			trial.Close()
			t.Errorf("%s is accepted", bad)
		}
	}
}
