package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/internal/nolog"
)

// Result is the outcome of a vector.
type Result struct {
	// Accepted reports whether the request reached the app or was answered as
	// a handshake.
	Accepted bool
	// Status is the status code of the response.
	Status int
	// Reason is why the request was refused.
	Reason string
	// Wrong describes how the result differs from what the vector expects. It is
	// empty if the result is as expected.
	Wrong string
}

// Run sends a vector through a new handler. It returns an error if the endpoint
// cannot be set up.
func Run(v Vector) (Result, error) {
	trial, err := v.Open()
	if err != nil && v.Expect == "reject" && v.blankSecret() {
		return Result{Reason: "an endpoint with an empty secret cannot be set up"}, nil
	}
	if err != nil {
		return Result{}, err
	}
	defer trial.Close()
	if v.SentBefore {
		if _, err := v.send(trial); err != nil {
			return Result{}, err
		}
	}
	return v.send(trial)
}

// Open returns a handler with the provider of the vector, at its time. The
// caller must close it.
func (v Vector) Open() (*dryrun.Endpoint, error) {
	config, err := json.Marshal(map[string]json.RawMessage{"provider": v.Provider})
	if err != nil {
		return nil, fmt.Errorf("writing config: %w", err)
	}
	trial, err := dryrun.Open(nolog.Context(context.Background()), config, func() time.Time { return time.Unix(v.Now, 0) })
	if err != nil {
		return nil, fmt.Errorf("setting up the endpoint: %w", err)
	}
	return trial, nil
}

// blankSecret reports whether the vector has an empty secret.
func (v Vector) blankSecret() bool {
	for _, s := range v.endpoint().Secrets {
		if s.Secret == "" {
			return true
		}
	}
	return false
}

// send sends the request and compares the response.
func (v Vector) send(trial *dryrun.Endpoint) (Result, error) {
	r, err := v.Request.HTTP()
	if err != nil {
		return Result{}, err
	}
	tried := trial.Send(r)
	result := Result{Status: tried.Status, Accepted: tried.Status < 400, Reason: tried.Reason}
	if tried.Outcome == string(caddymodule.Duplicate) {
		result = Result{Status: http.StatusConflict, Reason: "a copy, which is not forwarded"}
	}
	result.Wrong = v.mismatch(result, &tried)
	return result, nil
}

// mismatch describes how the result differs from what is expected, or returns "".
func (v Vector) mismatch(result Result, tried *dryrun.Result) string {
	if result.Accepted != (v.Expect == "accept") {
		return fmt.Sprintf("%s, but %s was expected", map[bool]string{true: "accepted", false: "refused: " + result.Reason}[result.Accepted], v.Expect)
	}
	if !result.Accepted {
		switch {
		case tried.Reached:
			return "refused, but it reached the app"
		case result.Status < 400 || result.Status > 499:
			return fmt.Sprintf("refused with status %d, not with 4xx", result.Status)
		}
		return ""
	}
	if !tried.Reached || v.Answer != nil {
		return v.answerMismatch(tried)
	}
	if !bytes.Equal(tried.ReachedBody, v.Request.Body) {
		return "the app received another body"
	}
	return ""
}

// answerMismatch describes how the response to a handshake differs, or returns "".
func (v Vector) answerMismatch(tried *dryrun.Result) string {
	want := v.Answer
	if want == nil {
		return "accepted, but it did not reach the app"
	}
	if want.Status != 0 && tried.Status != want.Status {
		return fmt.Sprintf("the handshake was answered with status %d, not %d", tried.Status, want.Status)
	}
	for name, value := range want.Headers {
		if list, ok := value.([]any); ok && len(list) == 1 {
			value = list[0]
		}
		if got := tried.Header.Get(name); mediaType(got) != mediaType(fmt.Sprint(value)) {
			return fmt.Sprintf("the handshake was answered with %s: %s, not %v", name, got, value)
		}
	}
	if !sameBody(tried.Body, []byte(want.Body)) {
		return fmt.Sprintf("the handshake was answered with %q, not %q", tried.Body, want.Body)
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

// HTTP returns the request as a server receives it.
func (q Request) HTTP() (*http.Request, error) {
	u, err := url.Parse(q.URL)
	if err != nil {
		return nil, fmt.Errorf("parsing the URL of the request: %w", err)
	}
	r := httptest.NewRequestWithContext(context.Background(), q.Method, q.URL, bytes.NewReader(q.Body))
	r.Host, r.RequestURI = u.Host, u.RequestURI()
	if _, rest, ok := cutURL(q.URL); ok {
		r.RequestURI = rest
	}
	for name, values := range q.Headers {
		for _, value := range values {
			r.Header.Add(name, value)
		}
	}
	return r, nil
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
