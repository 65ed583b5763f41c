package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
)

// Result is what became of a vector.
type Result struct {
	// Accepted: the request reached the app, or was answered as a handshake.
	Accepted bool
	// Status of the response.
	Status int
	// Reason says why a request was refused.
	Reason string
	// Wrong says in what the result is not what the vector expects, empty if
	// it is.
	Wrong string
}

// namespaces keeps vectors from being replays of each other: all of them share
// one memory store.
var namespaces atomic.Int64

// Run sends a vector through a handler of its own. The error says that the
// endpoint could not be set up.
func Run(v Vector) (Result, error) {
	provider, err := v.providerJSON()
	if err != nil {
		return Result{}, err
	}
	config, err := json.Marshal(map[string]any{
		"provider":  provider,
		"namespace": fmt.Sprintf("vector %d", namespaces.Add(1)),
		"replay":    map[string]any{"store": map[string]string{"type": "memory"}},
	})
	if err != nil {
		return Result{}, fmt.Errorf("writing config: %w", err)
	}
	ctx, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}, Logging: silent()})
	if err != nil {
		return Result{}, fmt.Errorf("provisioning Caddy: %w", err)
	}
	m, err := ctx.LoadModuleByID("http.handlers.verify_webhook", config)
	if err != nil {
		return Result{}, fmt.Errorf("setting up the endpoint: %w", err)
	}
	h, ok := m.(*caddymodule.Handler)
	if !ok {
		return Result{}, fmt.Errorf("the module verify_webhook is a %T", m)
	}
	h.SetClock(func() time.Time { return time.Unix(v.Now, 0) })
	return v.send(h)
}

// silent is a logging config that writes nothing.
func silent() *caddy.Logging {
	return &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output":"discard"}`)}}}}
}

// send sends the request and judges what comes back.
func (v Vector) send(h *caddymodule.Handler) (Result, error) {
	r, err := v.Request.build()
	if err != nil {
		return Result{}, err
	}
	reached := 0
	var body []byte
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		reached++
		var err error
		body, err = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusOK)
		return err
	})
	w := httptest.NewRecorder()
	err = h.ServeHTTP(w, r, next)
	result := Result{Status: w.Code, Accepted: err == nil && w.Code < 400}
	var refused caddyhttp.HandlerError
	if errors.As(err, &refused) {
		result.Status, result.Reason = refused.StatusCode, refused.Error()
	} else if err != nil {
		return result, err
	}
	result.Reason = placeholder(r, "reason", result.Reason)
	result.Wrong = v.judge(result, w, reached, body)
	return result, nil
}

func placeholder(r *http.Request, name, otherwise string) string {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return otherwise
	}
	if text, ok := repl.GetString("http.verify_webhook." + name); ok && text != "" {
		return text
	}
	return otherwise
}

// judge says in what the result is wrong.
func (v Vector) judge(result Result, w *httptest.ResponseRecorder, reached int, body []byte) string {
	if result.Accepted != (v.Expect == "accept") {
		return fmt.Sprintf("%s, but %s was expected", map[bool]string{true: "accepted", false: "refused: " + result.Reason}[result.Accepted], v.Expect)
	}
	if !result.Accepted {
		switch {
		case reached > 0:
			return "refused, but it reached the app"
		case result.Status < 400 || result.Status > 499:
			return fmt.Sprintf("refused with status %d, not with 4xx", result.Status)
		}
		return ""
	}
	if reached == 0 || v.Answer != nil {
		return v.judgeAnswer(w)
	}
	if !bytes.Equal(body, v.Request.Body) {
		return "the app received another body"
	}
	if reached != 1 {
		return fmt.Sprintf("the app received it %d times", reached)
	}
	return ""
}

// judgeAnswer compares the answer to a handshake.
func (v Vector) judgeAnswer(w *httptest.ResponseRecorder) string {
	want := v.Answer
	if want == nil {
		return "accepted, but it did not reach the app"
	}
	if want.Status != 0 && w.Code != want.Status {
		return fmt.Sprintf("the handshake is answered with status %d, not %d", w.Code, want.Status)
	}
	for name, value := range want.Headers {
		if list, ok := value.([]any); ok && len(list) == 1 {
			value = list[0]
		}
		if got := w.Header().Get(name); mediaType(got) != mediaType(fmt.Sprint(value)) {
			return fmt.Sprintf("the handshake is answered with %s: %s, not %v", name, got, value)
		}
	}
	if !sameBody(w.Body.Bytes(), []byte(want.Body)) {
		return fmt.Sprintf("the handshake is answered with %q, not %q", w.Body, want.Body)
	}
	return ""
}

func mediaType(value string) string {
	if t, _, err := mime.ParseMediaType(value); err == nil {
		return t
	}
	return value
}

func sameBody(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// build makes the request as Caddy's server would hand it over.
func (q Request) build() (*http.Request, error) {
	u, err := url.Parse(q.URL)
	if err != nil {
		return nil, fmt.Errorf("the URL of the request: %w", err)
	}
	r := httptest.NewRequest(q.Method, q.URL, bytes.NewReader(q.Body))
	r.Host, r.RequestURI = u.Host, u.RequestURI()
	if _, rest, ok := cutURL(q.URL); ok {
		r.RequestURI = rest
	}
	for name, values := range q.Headers {
		for _, value := range values {
			r.Header.Add(name, value)
		}
	}
	repl := caddy.NewReplacer()
	ctx := context.WithValue(r.Context(), caddy.ReplacerCtxKey, repl)
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{})
	return r.WithContext(ctx), nil
}

// cutURL returns path and query exactly as written.
func cutURL(text string) (host, rest string, ok bool) {
	for i, slashes := 0, 0; i < len(text); i++ {
		switch {
		case text[i] == '/' && slashes == 2:
			return text[:i], text[i:], true
		case text[i] == '/':
			slashes++
		case text[i] == '?' && slashes == 2:
			return text[:i], "/" + text[i:], true
		}
	}
	return text, "/", false
}
