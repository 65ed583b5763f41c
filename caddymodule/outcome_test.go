package caddymodule

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/body"
	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// outcomeCase is one row of the table of outcomes: its cause, and what sender,
// app and operator get.
type outcomeCase struct {
	name    string
	config  string
	prepare func(t *testing.T, b *bench)
	request *http.Request

	outcome    Outcome
	status     int
	answer     string
	retryAfter bool
	level      string // of the only log entry; empty if there is none
}

func outcomeCases() []outcomeCase {
	plain, stripeConfig := config("github", ""), config("stripe", "")
	before := func(requests ...*http.Request) func(*testing.T, *bench) {
		return func(t *testing.T, b *bench) {
			for _, r := range requests {
				b.expect(t, r, Verified, 200)
			}
			b.logs.TakeAll()
		}
	}
	return []outcomeCase{
		{name: "genuine and new", config: plain, request: github("1", content), outcome: Verified, status: 200},
		{
			name: "handled before", config: plain, prepare: before(github("1", content)), request: github("1", content),
			outcome: Duplicate, status: 200, level: "info",
		},
		{
			name: "handled before, on_duplicate", config: config("github", `"replay":{"on_duplicate":204}`),
			prepare: before(github("1", content)), request: github("1", content),
			outcome: Duplicate, status: 204, level: "info",
		},
		{
			name: "handled before, without an ID", config: plain, prepare: before(github("", content)), request: github("", content),
			outcome: Duplicate, status: 200, level: "info",
		},
		{
			name: "the same content with a new ID", config: plain, prepare: before(github("1", content)), request: github("2", content),
			outcome: Replayed, status: 200, level: "warn",
		},
		{
			name: "the same content with a new ID, on_replay", config: config("github", `"replay":{"on_replay":202}`),
			prepare: before(github("1", content)), request: github("2", content),
			outcome: Replayed, status: 202, level: "warn",
		},
		{
			name: "an event type that is not in events", config: config("github", `"events":["issues","pull*"]`), request: github("1", content),
			outcome: Ignored, status: 204, level: "debug",
		},
		{
			name: "no handler after it", config: plain, request: github("1", content),
			prepare: func(_ *testing.T, b *bench) {
				b.App = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { caddyhttp.SetVar(r.Context(), unhandledVar, true) })
			},
			outcome: Unhandled, status: 503, retryAfter: true, level: "error",
		},
		{
			name: "a handshake", config: config("slack", ""), request: slackChallenge(),
			outcome: Handshake, status: 200, answer: `{"challenge":"3eZbrw1aBm2rZgRNFdxV"}`, level: "info",
		},
		{
			name: "no signature", config: plain, request: request(content, "X-GitHub-Delivery", "1"),
			outcome: MissingSignature, status: 401, level: "info",
		},
		{
			name: "another secret", config: plain, request: request(content, "X-Hub-Signature-256", "sha256="+sign("another", content)),
			outcome: InvalidSignature, status: 401, level: "warn",
		},
		{
			name: "a changed byte", config: plain, request: request(content+" ", "X-Hub-Signature-256", "sha256="+sign(secret, content)),
			outcome: InvalidSignature, status: 401, level: "warn",
		},
		{
			name: "too old", config: stripeConfig, request: stripe(present.Add(-301e9), content),
			outcome: Stale, status: 401, level: "warn",
		},
		{
			name: "an unreadable signature", config: plain, request: request(content, "X-Hub-Signature-256", "sha256=xyz"),
			outcome: Malformed, status: 400, level: "warn",
		},
		{
			name: "a body that ends unexpectedly", config: plain, request: withBody(github("1", content), 30, errReader{io.ErrUnexpectedEOF}),
			outcome: Malformed, status: 400, level: "warn",
		},
		{
			name: "a declared length past max_body", config: config("github", `"max_body":10`), request: github("1", content),
			outcome: TooLarge, status: 413, level: "warn",
		},
		{
			name: "a body past max_body", config: config("github", `"max_body":10`), request: chunked(github("1", content)),
			outcome: TooLarge, status: 413, level: "warn",
		},
		{
			name: "a body past request_body", config: plain,
			request: withBody(github("1", content), -1, errReader{caddyhttp.Error(413, &http.MaxBytesError{Limit: 5})}),
			outcome: TooLarge, status: 413, level: "warn",
		},
		{
			name: "a body that takes too long", config: plain, request: withBody(github("1", content), 30, errReader{os.ErrDeadlineExceeded}),
			outcome: BodyTimeout, status: 408, level: "info",
		},
		{
			name: "body_memory and body_disk are exhausted", config: plain,
			prepare: func(_ *testing.T, b *bench) { b.handler.app.budget = body.NewBudget(0, 0) },
			request: github("1", content), outcome: Overloaded, status: 503, retryAfter: true, level: "error",
		},
		{
			name: "the store is unavailable", config: plain,
			prepare: func(_ *testing.T, b *bench) { b.faultyStore().claim = errStore },
			request: github("1", content), outcome: StoreUnavailable, status: 503, retryAfter: true, level: "error",
		},
		{
			name: "the store is full", config: plain,
			prepare: func(_ *testing.T, b *bench) { b.faultyStore().claim = replay.ErrFull },
			request: github("1", content), outcome: StoreUnavailable, status: 503, retryAfter: true, level: "error",
		},
		{
			name: "no decision", config: plain,
			prepare: func(_ *testing.T, b *bench) { b.use(oddProvider{err: errors.New("keys are unavailable")}) },
			request: github("1", content), outcome: Undecided, status: 503, retryAfter: true, level: "error",
		},
		{
			name: "a provider module that returns no secret", config: plain,
			prepare: func(_ *testing.T, b *bench) { b.use(oddProvider{delivery: &signature.Delivery{}}) },
			request: github("1", content), outcome: Undecided, status: 503, retryAfter: true, level: "error",
		},
		{
			name: "a provider module that returns nothing", config: plain,
			prepare: func(_ *testing.T, b *bench) { b.use(oddProvider{}) },
			request: github("1", content), outcome: Undecided, status: 503, retryAfter: true, level: "error",
		},
		{
			name: "a handshake without a status", config: plain,
			prepare: func(_ *testing.T, b *bench) {
				b.use(oddProvider{delivery: &signature.Delivery{Answer: &signature.Answer{Body: []byte("hi")}}})
			},
			request: github("1", content), outcome: Handshake, status: 200, answer: "hi", level: "info",
		},
	}
}

func TestEveryOutcomeHasItsResponsePlaceholderAndLogEntry(t *testing.T) {
	seen := []Outcome{InProgress} // has its own tests
	for _, c := range outcomeCases() {
		seen = append(seen, c.outcome)
		t.Run(c.name, func(t *testing.T) {
			b := trial(t, c.config)
			if c.prepare != nil {
				c.prepare(t, b)
			}
			got := b.expect(t, c.request, c.outcome, c.status)
			if string(got.Body) != c.answer {
				t.Errorf("the response body is %q, want %q", got.Body, c.answer)
			}
			if (got.Header.Get("Retry-After") != "") != c.retryAfter {
				t.Errorf("Retry-After is %q", got.Header.Get("Retry-After"))
			}
			if c.outcome != Verified && c.outcome != Handshake && got.Reason == "" {
				t.Error("the reason is empty")
			}
			checkLine(t, b, c)
		})
	}
	for _, o := range Outcomes {
		if !slices.Contains(seen, o) {
			t.Errorf("no case leads to %s", o)
		}
	}
}

// checkLine checks that there is one log entry, with level, outcome and provider.
func checkLine(t *testing.T, b *bench, c outcomeCase) {
	t.Helper()
	lines := b.logs.All()
	if c.level == "" {
		if len(lines) > 0 {
			t.Errorf("logged %v", b.lines(""))
		}
		return
	}
	if len(lines) != 1 {
		t.Fatalf("logged %d lines: %v", len(lines), b.lines(""))
	}
	fields := lines[0].ContextMap()
	if lines[0].Level.String() != c.level || fields["outcome"] != string(c.outcome) || fields["provider"] == "" {
		t.Errorf("logged %v; want level %s", b.lines(""), c.level)
	}
}

func TestRefusalResponseContainsOnlyItsStatus(t *testing.T) {
	for _, c := range outcomeCases() {
		b := trial(t, c.config)
		if c.prepare != nil {
			c.prepare(t, b)
		}
		repl := caddy.NewReplacer()
		w := &quiet{header: make(http.Header)}
		r := caddyhttp.PrepareRequest(dryrun.AsReceived(c.request), repl, w, nil)
		err := b.serve(w, r, func(http.ResponseWriter, *http.Request) error { return nil })
		var refused caddyhttp.HandlerError
		if !errors.As(err, &refused) {
			continue
		}
		if got := refused.Err.Error(); got != "webhook "+string(c.outcome) {
			t.Errorf("%s: {http.error.message} is %q", c.name, got)
		}
	}
}

func TestHandshakeResponseIsNotHTMLAndNotCached(t *testing.T) {
	b := trial(t, config("slack", ""))
	got := b.expect(t, slackChallenge(), Handshake, 200)
	for name, want := range map[string]string{
		"Content-Type": "application/json", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Content-Length": "36",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Header.Get(name), want)
		}
	}
}

func TestOnlyConfiguredEventsReachTheApp(t *testing.T) {
	b := trial(t, config("github", `"events":["push","pull_request*"]`))
	for event, want := range map[string]Outcome{
		"push": Verified, "pull_request": Verified, "pull_request_review": Verified,
		"Push": Ignored, "pushed": Ignored, "issues": Ignored, "": Ignored,
	} {
		body := content + event
		r := request(body, "X-Hub-Signature-256", "sha256="+sign(secret, body))
		if event != "" {
			r.Header.Set("X-GitHub-Event", event)
		}
		if got := b.Send(r); got.Outcome != want {
			t.Errorf("event %q: %s, want %s", event, got.Outcome, want)
		}
	}
}

func slackChallenge() *http.Request {
	const body = `{"type":"url_verification","challenge":"3eZbrw1aBm2rZgRNFdxV"}`
	return request(body, "X-Slack-Request-Timestamp", "1700000000", "X-Slack-Signature", "v0="+sign(secret, "v0:1700000000:"+body))
}

// errReader is a body whose Read fails.
type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func withBody(r *http.Request, length int64, body io.Reader) *http.Request {
	r.Body, r.ContentLength = io.NopCloser(body), length
	return r
}

// chunked returns the request with unknown length.
func chunked(r *http.Request) *http.Request {
	r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
	r.Header.Del("Content-Length")
	return r
}

// oddProvider returns the values that a test sets.
type oddProvider struct {
	provider.Provider
	delivery *signature.Delivery
	err      error
}

func (oddProvider) CheckHeaders(*signature.Request) error { return nil }

func (p oddProvider) Verify(context.Context, *signature.Request) (*signature.Delivery, error) {
	return p.delivery, p.err
}

// clientErrors lists the outcomes that are answered with a 4xx, and why a retry of
// the same delivery gets the same response. Every other outcome that is not
// forwarded is answered with a 2xx or with 503.
var clientErrors = map[Outcome]string{
	MissingSignature: "the sender signs all requests or none",
	InvalidSignature: "the sender has another secret",
	Stale:            "a retry with the same signature is older still",
	Malformed:        "the sender's library writes it so",
	TooLarge:         "a retry has the same length",
	BodyTimeout:      "RFC 9110: 408 asks the sender to repeat the request on another connection",
}

// brokenOff lists the cases of outcomeCases that are answered with a 4xx although
// a retry can fix them. A sender whose body ends before its declared
// length has closed the connection and reads no response. With a 503 a sender
// without the secret could raise the count of internal errors, which operators
// get paged for.
var brokenOff = []string{"a body that ends unexpectedly", "a body that takes too long"}

func TestEveryOutcomeHasTheStatusOfItsCause(t *testing.T) {
	for _, o := range Outcomes {
		if _, sendersFault := clientErrors[o]; sendersFault != (o.status()/100 == 4) {
			t.Errorf("%s is answered with %d", o, o.status())
		}
	}
}

// TestFailuresThatARetryCanFixAreNever4xx retries each delivery that got a 4xx
// to an endpoint that has no internal error, over a connection that does not
// break.
func TestFailuresThatARetryCanFixAreNever4xx(t *testing.T) {
	retries := outcomeCases() // with requests that were not read yet
	for i, c := range outcomeCases() {
		t.Run(c.name, func(t *testing.T) {
			first := trial(t, c.config)
			if c.prepare != nil {
				c.prepare(t, first)
			}
			if got := first.Send(c.request); got.Status/100 != 4 {
				return
			}
			retry := retries[i].request
			if slices.Contains(brokenOff, c.name) {
				retry = github("1", content)
			}
			got := trial(t, c.config).Send(retry)
			if fixed := got.Status/100 != 4; fixed != slices.Contains(brokenOff, c.name) {
				t.Errorf("first answered with %d; the retry is %s, with %d", c.status, got.Outcome, got.Status)
			}
		})
	}
}

func TestLogOfRefusalsIsRateLimited(t *testing.T) {
	b := trial(t, config("github", ""))
	b.handler.log.now = frozen
	for i := range 500 {
		r := request(content, "X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64), "User-Agent", strings.Repeat("x", i))
		b.expect(t, r, InvalidSignature, 401)
		b.expect(t, request(content), MissingSignature, 401)
	}
	if n := b.logs.Len(); n != 2*logBurst {
		t.Errorf("%d lines for 1000 refusals at once", n)
	}
	if n := len(b.handler.log.buckets); n != 2 {
		t.Errorf("%d buckets after the flood", n)
	}
	b.handler.log.now = func() time.Time { return frozen().Add(1e9) }
	b.logs.TakeAll()
	b.expect(t, request(content), MissingSignature, 401)
	if fields := b.logs.All()[0].ContextMap(); fields["suppressed"] != int64(480) {
		t.Errorf("the next line does not count the dropped ones: %v", fields)
	}
}

// Mandrill signs form fields, and its errors quote invalid ones.
func TestRefusalLogsLittleOfTheRequest(t *testing.T) {
	c := startCaddy(t, "", siteOf("mandrill", ""))
	name := strings.Repeat("\x01", 480_000)
	client := client(t, "HTTP/1.1")
	for what, send := range map[string]func() answer{
		"form fields": func() answer {
			return c.send(client, strings.NewReader("a"+name+"=1&a"+name+"=2"), "Content-Type", "application/x-www-form-urlencoded", "X-Mandrill-Signature", sign64(secret, "x")[:28])
		},
		"no signature": func() answer { return c.send(client, strings.NewReader(name)) },
	} {
		before := len(c.logged())
		if got := send(); got.status < 400 || got.status > 499 {
			t.Errorf("%s: status %d", what, got.status)
		}
		if grown := len(c.logged()) - before; grown > 8<<10 {
			t.Errorf("%s: %d bytes of log", what, grown)
		}
	}
}
