package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/verify-webhook/caddy-verify-webhook/internal/filewatch"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// settled is longer than the time until a changed file is reloaded.
const settled = 10 * time.Second

// rotating is an endpoint whose secret is in a file.
type rotating struct {
	*Trial
	t    *testing.T
	file string
	n    int
}

func openRotating(t *testing.T, file, provider string) *rotating {
	t.Helper()
	trial, err := OpenTrial(quietly(t), json.RawMessage(`{"provider":`+provider+`}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &rotating{Trial: trial, t: t, file: file}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// accepts reports whether a new delivery that is signed with a secret is
// forwarded.
func (r *rotating) accepts(secret string) bool {
	r.n++
	got := r.Send(githubRequest(secret, strings.Repeat("x", r.n), strings.Repeat("body", r.n)))
	return got.Outcome == Verified
}

func (r *rotating) want(secret string, accepted bool) {
	r.t.Helper()
	if got := r.accepts(secret); got != accepted {
		r.t.Errorf("signed with %q: accepted %t, want %t", secret, got, accepted)
	}
}

// wantOutdated checks the metric secrets_outdated.
func (r *rotating) wantOutdated(value float64) {
	r.t.Helper()
	var m dto.Metric
	if err := r.handler.metrics.outdated.Write(&m); err != nil {
		r.t.Fatal(err)
	}
	if got := m.Gauge.GetValue(); got != value {
		r.t.Errorf("secrets_outdated is %v, want %v", got, value)
	}
}

const customGitHub = `{"name":"custom","algorithm":"hmac-sha256","signature":{"from":"header","name":"X-Hub-Signature-256","prefix":"sha256="},"id":{"from":"header","name":"X-GitHub-Delivery"},"secrets":[{"secret":"{file.FILE}"}]}`

func TestSecretsAreReloadedWhenTheirFileChanges(t *testing.T) {
	for name, config := range map[string]string{
		"preset": `{"name":"github","secrets":[{"secret":"{file.FILE}"}]}`,
		"custom": customGitHub,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "secret")
			writeFile(t, file, "first\n")
			synctest.Test(t, func(t *testing.T) {
				r := openRotating(t, file, strings.ReplaceAll(config, "FILE", file))
				defer r.Close()
				r.want("first", true)
				writeFile(t, file, "second one\n")
				r.want("first", true) // not reloaded yet
				time.Sleep(settled)
				r.want("second one", true)
				r.want("first", false)

				for _, bad := range []string{"", " \n", " third"} {
					writeFile(t, file, bad)
					time.Sleep(settled)
					r.wantOutdated(1)
					r.want("second one", true)
					r.want("third", false)
				}
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
				time.Sleep(settled)
				r.want("second one", true)
				r.wantOutdated(1)
				writeFile(t, file, "fourth")
				time.Sleep(settled)
				r.wantOutdated(0)
				r.want("fourth", true)
				r.want("second one", false)
			})
		})
	}
}

func TestFileThatIsBeingWrittenIsNotRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	writeFile(t, file, "first")
	synctest.Test(t, func(t *testing.T) {
		r := openRotating(t, file, `{"name":"github","secrets":[{"secret":"{file.`+file+`}"}]}`)
		defer r.Close()
		time.Sleep(time.Second) // write between two checks of the file, not during one
		for i := range 5 {
			writeFile(t, file, strings.Repeat("half", i+1))
			time.Sleep(2 * time.Second)
			r.want("first", true)
		}
		time.Sleep(settled)
		r.want("halfhalfhalfhalfhalf", true)
	})
}

func TestSecretsAreReloadedThroughSymbolicLinks(t *testing.T) {
	dir := t.TempDir()
	for version, secret := range map[string]string{"v1": "first", "v2": "secnd"} { // of the same length
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, version, "secret"), secret)
	}
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("v1", "..data")
	link(filepath.Join("..data", "secret"), "secret")
	file := filepath.Join(dir, "secret")
	synctest.Test(t, func(t *testing.T) {
		r := openRotating(t, file, `{"name":"github","secrets":[{"secret":"{file.`+file+`}"}]}`)
		defer r.Close()
		r.want("first", true)
		link("v2", "..tmp")
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(settled)
		r.want("secnd", true)
	})
}

func TestOneOfSeveralSecretsRotates(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	writeFile(t, file, "first")
	t.Setenv("STAYS", "stays")
	synctest.Test(t, func(t *testing.T) {
		r := openRotating(t, file, `{"name":"github","secrets":[{"secret":"{env.STAYS}"},{"secret":"{file.`+file+`}"}]}`)
		defer r.Close()
		writeFile(t, file, "stays") // duplicate secrets are an error
		time.Sleep(settled)
		r.want("first", true)
		writeFile(t, file, "another")
		time.Sleep(settled)
		r.want("another", true)
		r.want("stays", true)
	})
}

// logged opens the endpoints of one config, with a log that the test can read.
func logged(t *testing.T, logs zapcore.Core, configs ...string) context.CancelFunc {
	t.Helper()
	app := newAppInMemory()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	for _, config := range configs {
		h := &Handler{logger: zap.New(logs), app: app}
		if err := caddy.StrictUnmarshalJSON([]byte(config), h); err != nil {
			t.Fatal(err)
		}
		if err := h.Provision(ctx); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = h.Cleanup() })
	}
	return cancel
}

func TestSecretThatBecomesSharedIsLogged(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	writeFile(t, one, "first")
	writeFile(t, two, "second")
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.ErrorLevel)
		cancel := logged(t, core,
			`{"provider":{"name":"github","secrets":[{"secret":"{file.`+one+`}"}]}}`,
			`{"provider":{"name":"stripe","secrets":[{"secret":"{file.`+two+`}"}]}}`)
		defer cancel()
		writeFile(t, two, "third")
		time.Sleep(settled)
		if logs.Len() != 0 {
			t.Errorf("logged %v", logs.All())
		}
		writeFile(t, two, "first")
		time.Sleep(time.Minute)
		if logs.Len() != 1 || !strings.Contains(logs.All()[0].Message, "is also used by another endpoint") {
			t.Errorf("logged %v", logs.All())
		}
		cancel()
	})
}

func TestRequestUsesTheSecretsFromItsStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	writeFile(t, file, "first")
	synctest.Test(t, func(t *testing.T) {
		r := openRotating(t, file, `{"name":"github","secrets":[{"secret":"{file.`+file+`}"}]}`)
		defer r.Close()
		req := githubRequest("first", "1", "body")
		d := r.handler.newDelivery(&quiet{}, req)
		if err := r.handler.checkHeaders(d); err != nil {
			t.Fatal(err)
		}
		writeFile(t, file, "second")
		time.Sleep(settled)
		if err := r.handler.readBody(d); err != nil {
			t.Fatal(err)
		}
		defer d.body.Release()
		if err := r.handler.verify(d); err != nil {
			t.Errorf("refused: %v", err)
		}
		r.want("first", false)
	})
}

// failing is a provider whose secrets cannot be reloaded.
type failing struct{ provider.Provider }

func (failing) Renew() (provider.Provider, error) { return nil, errors.New("blank") }

func TestInvalidSecretFileIsLoggedOncePerChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	writeFile(t, file, "first")
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		b := trial(t, config("github", ""))
		b.handler.logger = zap.New(core)
		b.use(failing{b.handler.current.Load().Provider})
		before := b.handler.current.Load()
		ctx, cancel := context.WithCancel(t.Context())
		b.handler.startRotation(ctx, filewatch.InJSON(json.RawMessage(`{"secret":"{file.`+file+`}"}`)))
		for i, text := range []string{"second", "third one"} {
			writeFile(t, file, text)
			time.Sleep(time.Minute)
			if logs.FilterLevelExact(zap.ErrorLevel).Len() != i+1 {
				t.Errorf("after %d changes: %v", i+1, logs.All())
			}
		}
		if b.handler.current.Load() != before {
			t.Error("the last good secrets were replaced")
		}
		cancel()
	})
}
