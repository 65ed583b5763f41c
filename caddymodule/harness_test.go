package caddymodule

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue"
	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/internal/nolog"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// The secret, the body and the current time of most tests.
const (
	secret  = "It's a Secret to Everybody"
	content = `{"action":"opened","number":7}`
)

// secretVariable contains the secret: a plaintext secret would log a warning.
const secretVariable = "VERIFY_WEBHOOK_TEST_SECRET"

func TestMain(m *testing.M) {
	if err := os.Setenv(secretVariable, secret); err != nil {
		panic(err)
	}
	os.Exit(inEmptyHome(m.Run))
}

// inEmptyHome runs tests with an empty home, so that the default store is not in
// the user's data folder.
func inEmptyHome(run func() int) int {
	home, err := os.MkdirTemp("", "verify-webhook-home-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(home)
	for _, name := range []string{"HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "AppData"} {
		if err := os.Setenv(name, home); err != nil {
			panic(err)
		}
	}
	return run()
}

var present = time.Unix(1700000000, 0)

func frozen() time.Time { return present }

func hmacSHA256(secret, signed string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return mac.Sum(nil)
}

func sign(secret, signed string) string { return hex.EncodeToString(hmacSHA256(secret, signed)) }

func sign64(secret, signed string) string {
	return base64.StdEncoding.EncodeToString(hmacSHA256(secret, signed))
}

// config returns the JSON of a handler: a provider with the usual secret, and
// further options.
func config(provider, options string) string {
	if options != "" {
		options = "," + options
	}
	return `{"provider":{"name":"` + provider + `","secrets":[{"secret":"{env.` + secretVariable + `}"}]}` + options + `}`
}

// request returns a POST. headers are pairs of name and value.
func request(body string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://hooks.example.com/in", strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// github returns a genuine GitHub delivery.
func github(id, body string) *http.Request {
	return request(body, githubHeaders(id, body)...)
}

func githubHeaders(id, body string) []string {
	headers := []string{"X-Hub-Signature-256", "sha256=" + sign(secret, body), "X-GitHub-Event", "push"}
	if id != "" {
		headers = append(headers, "X-GitHub-Delivery", id)
	}
	return headers
}

// githubRequest returns a GitHub delivery that is signed with a secret, or without
// signature if the secret is empty.
func githubRequest(secret, id, body string) *http.Request {
	r := request(body, "X-GitHub-Delivery", id, "X-GitHub-Event", "push")
	if secret != "" {
		r.Header.Set("X-Hub-Signature-256", "sha256="+sign(secret, body))
	}
	return r
}

// stripe returns a genuine Stripe delivery with a timestamp.
func stripe(at time.Time, body string) *http.Request {
	t := strconv.FormatInt(at.Unix(), 10)
	return request(body, "Stripe-Signature", "t="+t+",v1="+sign(secret, t+"."+body))
}

// Trial is a provisioned handler without a server.
type Trial struct {
	*dryrun.Endpoint
	handler *Handler
}

// Result is the result of a request that was sent to a [Trial].
type Result struct {
	dryrun.Result
	Outcome Outcome
}

// OpenTrial opens a trial whose logs are discarded. now is as for [dryrun.Open].
func OpenTrial(ctx context.Context, config json.RawMessage, now func() time.Time) (*Trial, error) {
	return openTrial(ctx, config, &Handler{logger: zap.NewNop(), now: now})
}

func openTrial(ctx context.Context, config json.RawMessage, h *Handler) (*Trial, error) {
	cleanup, err := h.provisionAlone(ctx, config)
	if err != nil {
		return nil, err
	}
	return &Trial{dryrun.New(h, cleanup), h}, nil
}

// Send sends a request through the handler.
func (t *Trial) Send(r *http.Request) Result {
	result := t.Endpoint.Send(r)
	return Result{result, Outcome(result.Outcome)}
}

// bench is a trial with the state that tests check.
type bench struct {
	*Trial
	logs *observer.ObservedLogs
}

// trial opens a trial at the time present, with logs that tests can read.
func trial(t testing.TB, config string) *bench {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	tr, err := openTrial(quietly(t), json.RawMessage(config), &Handler{logger: zap.New(core), now: frozen})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return &bench{tr, logs}
}

// quietly returns a context that discards the logs of providers. The logs of a
// handler are in [bench.logs].
func quietly(t testing.TB) context.Context { return nolog.Context(t.Context()) }

// expect sends a request and checks its outcome, its status and whether it
// reached the app.
func (b *bench) expect(t testing.TB, r *http.Request, outcome Outcome, status int) Result {
	t.Helper()
	got := b.Send(r)
	if got.Outcome != outcome || got.Status != status || got.Reached != (outcome == Verified || outcome == Unhandled) {
		t.Errorf("got %s (%s), status %d, reached %t; want %s, status %d", got.Outcome, got.Reason, got.Status, got.Reached, outcome, status)
	}
	return got
}

// answering returns an app that always responds with a status.
func answering(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

// use replaces the provider.
func (b *bench) use(p provider.Provider) {
	b.handler.current.Store(&loadedProvider{p, *b.handler.info(), b.handler.current.Load().unsigned})
}

// serve runs the handler with next instead of the trial's own next handler.
func (b *bench) serve(w http.ResponseWriter, r *http.Request, next caddyhttp.HandlerFunc) error {
	return b.handler.ServeHTTP(w, r, next)
}

// Store is an alias, so that the field that embeds a store is named Store.
type Store = gateStore

// faulty is a store whose operations can be made to fail.
type faulty struct {
	Store

	mu                                   sync.Mutex
	claim, renew, commit, release, await error
	calls                                []string
}

var errStore = errors.New("store is away")

func (f *faulty) called(name string, fault *error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, name)
	return *fault
}

func (f *faulty) set(fault *error, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*fault = err
}

// count returns how often an operation was called.
func (f *faulty) count(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, call := range f.calls {
		if call == name {
			n++
		}
	}
	return n
}

func (f *faulty) Claim(ctx context.Context, k replay.Keys, o replay.Owner, lease time.Duration) (replay.Verdict, error) {
	if err := f.called("claim", &f.claim); err != nil {
		return 0, err
	}
	return f.Store.Claim(ctx, k, o, lease)
}

func (f *faulty) Renew(ctx context.Context, k replay.Keys, o replay.Owner, lease time.Duration) error {
	if err := f.called("renew", &f.renew); err != nil {
		return err
	}
	return f.Store.Renew(ctx, k, o, lease)
}

func (f *faulty) Commit(ctx context.Context, k replay.Keys, o replay.Owner, window time.Duration, status int) error {
	if err := f.called("commit", &f.commit); err != nil {
		return err
	}
	return f.Store.Commit(ctx, k, o, window, status)
}

func (f *faulty) Release(ctx context.Context, k replay.Keys, o replay.Owner, status int) error {
	if err := f.called("release", &f.release); err != nil {
		return err
	}
	return f.Store.Release(ctx, k, o, status)
}

func (f *faulty) Wait(ctx context.Context, k replay.Keys) (replay.Resolution, error) {
	if err := f.called("wait", &f.await); err != nil {
		return replay.Resolution{}, err
	}
	return f.Store.Wait(ctx, k)
}

// faultyStore wraps the trial's store in one that can fail.
func (b *bench) faultyStore() *faulty {
	f := &faulty{Store: b.handler.store}
	b.handler.store = f
	return f
}

// lines returns the log entries with a message, or all, as text.
func (b *bench) lines(message string) []string {
	var lines []string
	for _, e := range b.logs.All() {
		if message == "" || e.Message == message {
			lines = append(lines, fmt.Sprint(e.Level, " ", e.Message, " ", e.ContextMap()))
		}
	}
	return lines
}

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	p, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}
