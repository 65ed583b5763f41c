package signature

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/iotest"
	"time"
)

// now is the time of all tests.
var now = time.Unix(1760000000, 0)

const nowText = "1760000000"

// post returns a POST request with body and headers, given as alternating names and
// values.
func post(body string, headers ...string) *Request {
	r := &Request{Method: "POST", Scheme: "https", Host: "hooks.example.com", RequestURI: "/in", Header: http.Header{}, Body: BytesBody(body), Now: now}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// mac returns the HMAC-SHA256 of text.
func mac(key, text string) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(text))
	return m.Sum(nil)
}

func hexOf(b []byte) string    { return hex.EncodeToString(b) }
func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func secretsOf(tb testing.TB, texts ...string) []Secret {
	tb.Helper()
	var all []Secret
	for _, text := range texts {
		s, err := NewSecret(text, "")
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func compile(tb testing.TB, s Scheme, secrets ...string) *Verifier {
	tb.Helper()
	v, err := s.Compile(secretsOf(tb, secrets...), 0)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// want checks the result of a request. If kind is empty, it must be accepted. The
// result must be the same for a body in memory and a streamed body.
func want(tb testing.TB, v *Verifier, r *Request, kind RefusalKind) *Delivery {
	tb.Helper()
	d, err := v.Verify(r)
	if got := kindOf(tb, err); got != kind {
		tb.Fatalf("got %q (%v), want %q", got, err, kind)
	}
	if (d != nil) != (err == nil) {
		tb.Fatalf("delivery %v and error %v", d, err)
	}
	if body, ok := r.Body.(BytesBody); ok {
		streamed := *r
		streamed.Body = streamedBody(body)
		d2, err := v.Verify(&streamed)
		if kindOf(tb, err) != kind {
			tb.Fatalf("streamed: got %v, want %q", err, kind)
		}
		if d != nil && (d2.ID != d.ID || d2.Event != d.Event || !bytes.Equal(d2.Matches[0].Digest, d.Matches[0].Digest)) {
			tb.Fatalf("streamed: got %+v, in memory %+v", d2, d)
		}
	}
	return d
}

// wantHeaders checks the result of CheckHeaders.
func wantHeaders(tb testing.TB, v *Verifier, r *Request, kind RefusalKind) {
	tb.Helper()
	headersOnly := *r
	headersOnly.Body = nil
	if err := v.CheckHeaders(&headersOnly); kindOf(tb, err) != kind {
		tb.Fatalf("headers: got %v, want %q", err, kind)
	}
}

func kindOf(tb testing.TB, err error) RefusalKind {
	tb.Helper()
	var refused *Refusal
	if err != nil && !errors.As(err, &refused) {
		tb.Fatalf("not a refusal: %v", err)
	}
	if refused == nil {
		return ""
	}
	return refused.Kind
}

// streamedBody is a body that is not in memory and is read byte by byte.
type streamedBody []byte

func (b streamedBody) Size() int64   { return int64(len(b)) }
func (b streamedBody) Bytes() []byte { return nil }
func (b streamedBody) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, iotest.OneByteReader(bytes.NewReader(b)))
}

func (b streamedBody) Open() io.ReadCloser {
	return io.NopCloser(iotest.OneByteReader(bytes.NewReader(b)))
}

// brokenBody returns an error when it is read.
type brokenBody struct{ streamedBody }

var errBroken = errors.New("disk is gone")

func (brokenBody) WriteTo(io.Writer) (int64, error) { return 0, errBroken }
func (brokenBody) Open() io.ReadCloser              { return io.NopCloser(iotest.ErrReader(errBroken)) }

func inHeader(name string) Field { return Field{From: "header", Name: name} }

// The schemes of well-known providers, which the tests use.
func githubScheme() Scheme {
	return Scheme{
		Algorithm: HMACSHA256,
		Signature: SignatureField{Field: inHeader("X-Hub-Signature-256"), Prefix: "sha256="},
		ID:        new(inHeader("X-GitHub-Delivery")),
		Event:     new(inHeader("X-GitHub-Event")),
	}
}

func stripeScheme() Scheme {
	return Scheme{
		Algorithm: HMACSHA256,
		Signature: SignatureField{Field: inHeader("Stripe-Signature"), Separator: ",", Assign: "=", Element: "v1"},
		Signed:    "{timestamp}.{body}",
		Timestamp: &TimestampField{Field: Field{From: "element", Name: "t"}},
		ID:        &Field{From: "json", Name: "id"},
		Event:     &Field{From: "json", Name: "type"},
	}
}

func standardScheme() Scheme {
	return Scheme{
		Algorithm: HMACSHA256,
		Key:       KeyFormat{Encoding: "base64", Prefix: "whsec_"},
		Signature: SignatureField{Field: inHeader("webhook-signature"), Encoding: Base64, Separator: " ", Assign: ",", Element: "v1"},
		Signed:    "{id}.{timestamp}.{body}",
		Timestamp: &TimestampField{Field: inHeader("webhook-timestamp")},
		ID:        new(inHeader("webhook-id")),
		Event:     &Field{From: "json", Name: "type"},
	}
}

func standardEd25519() Scheme {
	s := standardScheme()
	s.Algorithm, s.Signature.Element = Ed25519, "v1a"
	s.Key = KeyFormat{Encoding: "base64", Prefix: "whpk_", PrefixRequired: true}
	return s
}

func githubPost(secret, body string) *Request {
	return post(body, "X-Hub-Signature-256", "sha256="+hexOf(mac(secret, body)), "X-GitHub-Delivery", "d-1", "X-GitHub-Event", "push")
}

func stripePost(secret, body string) *Request {
	return post(body, "Stripe-Signature", "t="+nowText+",v1="+hexOf(mac(secret, nowText+"."+body)))
}

func standardPost(key, id, body string) *Request {
	return post(body, "webhook-id", id, "webhook-timestamp", nowText, "webhook-signature", "v1,"+base64Of(mac(key, id+"."+nowText+"."+body)))
}

// TestSignedURL checks that public_url replaces scheme and host of the request. Path
// and query are those of the request if public_url has none.
func TestSignedURL(t *testing.T) {
	for _, test := range []struct{ publicURL, requestURI, want, withRoot string }{
		{"", "/in?a=1", "http://attacker.example/in?a=1", ""},
		{"https://h.example", "/in", "https://h.example/in", ""},
		{"https://h.example", "/in?a=1&b=%20", "https://h.example/in?a=1&b=%20", ""},
		{"https://h.example:8443", "/in/", "https://h.example:8443/in/", ""},
		{"https://h.example", "/", "https://h.example", "https://h.example/"},
		{"https://h.example", "/?a=1", "https://h.example?a=1", "https://h.example/"},
		{"https://h.example?b=2", "/", "https://h.example?b=2", "https://h.example/?b=2"},
		{"https://h.example/", "/", "https://h.example/", ""},
		{"https://h.example/", "/in", "https://h.example/", ""},
		{"https://h.example/out", "/in", "https://h.example/out", ""},
		{"https://h.example/out", "/in?a=1", "https://h.example/out?a=1", ""},
		{"https://h.example/out?b=2", "/in?a=1", "https://h.example/out?b=2", ""},
		{"https://h.example/out?", "/in?a=1", "https://h.example/out?", ""},
		{"https://h.example?b=2", "/in?a=1", "https://h.example/in?b=2", ""},
		// No part of a request line becomes part of the host.
		{"https://h.example", ".attacker.example/in", "https://h.example/.attacker.example/in", ""},
		{"https://h.example", ":1@attacker.example/in", "https://h.example/:1@attacker.example/in", ""},
		{"https://h.example", "//attacker.example/in", "https://h.example//attacker.example/in", ""},
		{"https://h.example", "*", "https://h.example/*", ""},
		{"https://h.example", "", "https://h.example/", ""},
	} {
		r := &Request{Scheme: "http", Host: "attacker.example", PublicURL: test.publicURL, RequestURI: test.requestURI}
		if got := r.URL(); got != test.want {
			t.Errorf("%q and %q: the URL is %q, want %q", test.publicURL, test.requestURI, got, test.want)
		}
		if got := r.WithRootPath(); got != test.withRoot {
			t.Errorf("%q and %q: with the root path %q, want %q", test.publicURL, test.requestURI, got, test.withRoot)
		}
	}
}
