// Package signature verifies how webhook deliveries are signed.
//
// A [Scheme] is plain data: which algorithm, where the signature is and how it
// is encoded, what exactly is signed, and where timestamp, delivery ID and event
// type are. [Scheme.Compile] combines it with secrets into a [Verifier], which
// turns a [Request] into a [Delivery] or a [Refusal].
//
// A delivery from GitHub passes through these files:
//
//	secret.go     at start, the secret becomes an HMAC key
//	verifier.go   CheckHeaders: is X-Hub-Signature-256 there and well-formed?
//	header.go     splits "sha256=…" into prefix and signature
//	encoding.go   decodes the hex, of exactly 32 bytes
//	template.go   writes what is signed, here only the body, into the HMAC
//	verifier.go   Verify: compares in constant time, for each secret
//	place.go      reads the ID and the event type from their headers
//
// The package imports only the standard library. It starts no server, fetches
// nothing and keeps no state between requests.
package signature

import (
	"bytes"
	"crypto/sha512"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Request is a delivery as its provider sent it.
type Request struct {
	// Method, Scheme, Host and RequestURI are those of the original request,
	// before any rewrite. RequestURI is path and query as written.
	Method, Scheme, Host, RequestURI string
	// PublicURL is the URL that the provider calls, if the operator has
	// configured it. Empty: Scheme, Host and RequestURI are used. A missing path
	// or query is that of the request.
	PublicURL string
	Header    http.Header
	// WebSocket: the request opens a WebSocket. Header does not contain the
	// headers for that.
	WebSocket bool
	// Body is nil while only the headers have been read.
	Body Body
	// MaxBody is set by CheckHeaders of a provider if the request is not a
	// delivery, but may be a handshake: with a longer body it is neither. 0: the
	// limit is that of a delivery.
	MaxBody int64
	// Slow is set by CheckHeaders of a provider if a long body takes more CPU time
	// than reading and hashing it with SHA-256. The default of max_body is then
	// smaller, because an unsigned request can be as long.
	Slow bool
	// MaxInflated is the maximum uncompressed length of a body in bytes, if it is
	// more than 25 MiB.
	MaxInflated int64
	// MaxHashed is the maximum total length in bytes that several Ed25519 signatures
	// hash, if it is more than 4 MiB.
	MaxHashed int64
	// AcceptHandshake: the operator accepts unsigned handshakes now, independent
	// of the config.
	AcceptHandshake bool
	// Now is the time for checking timestamps.
	Now time.Time
	// Values are computed by the provider's own code, for {value.NAME} in the
	// signed content.
	Values     map[string]string
	form       url.Values // see Form
	formRead   bool
	fields     *formFields
	fieldsRead bool
}

// URL returns the URL for schemes that sign it: the URL of the request, or PublicURL
// with the path and the query of the request unless PublicURL has its own. Scheme
// and host are those of PublicURL, whatever the request contains. A PublicURL without
// a path is unchanged for the path "/", because some providers sign the URL as it was
// entered.
func (r *Request) URL() string {
	if r.PublicURL == "" {
		return r.Scheme + "://" + r.Host + r.RequestURI
	}
	path, sent, hasSent := strings.Cut(r.RequestURI, "?")
	base, own, hasOwn := strings.Cut(r.PublicURL, "?")
	if !hasPath(base) && path != "/" {
		base += rooted(path)
	}
	switch {
	case hasOwn:
		return base + "?" + own
	case hasSent:
		return base + "?" + sent
	default:
		return base
	}
}

// WithRootPath returns PublicURL with the path "/" if it has no path and the request
// is for "/", otherwise "". Providers that do not sign the URL as it was entered sign
// this one.
func (r *Request) WithRootPath() string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	base, query, found := strings.Cut(r.PublicURL, "?")
	switch {
	case r.PublicURL == "" || path != "/" || hasPath(base):
		return ""
	case found:
		return base + "/?" + query
	}
	return base + "/"
}

// hasPath reports whether a URL without query has a path.
func hasPath(base string) bool {
	_, rest, _ := strings.Cut(base, "://")
	return strings.Contains(rest, "/")
}

// rooted returns the path of a request with a slash in front. Without it, the
// path of an unusual request line would become a part of the host.
func rooted(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return "/" + path
}

// target returns the parts of URL.
func (r *Request) target() (host, path, query string) {
	host, uri := r.split()
	path, query, _ = strings.Cut(uri, "?")
	if path == "" {
		path = "/"
	}
	return host, path, query
}

// requestTarget returns the path and query of URL, as in the request line.
func (r *Request) requestTarget() string {
	_, uri := r.split()
	if !strings.HasPrefix(uri, "/") {
		return "/" + uri
	}
	return uri
}

// split returns the host of URL and the rest after it.
func (r *Request) split() (host, uri string) {
	if r.PublicURL == "" {
		return r.Host, r.RequestURI
	}
	_, rest, _ := strings.Cut(r.URL(), "://")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	return rest[:end], rest[end:]
}

// Body is a request body that can be read any number of times.
type Body interface {
	// Size is its length in bytes.
	Size() int64
	// Bytes returns the whole body if it is in memory, else nil. The caller
	// must not change or keep it.
	Bytes() []byte
	// WriteTo writes the whole body, from its start.
	io.WriterTo
	// Open returns a reader that starts at the body's start.
	Open() io.ReadCloser
}

// A Charger is a Body whose copies count against a budget.
type Charger interface {
	// Charge takes n bytes from the budget until the request has been verified.
	// The error means that the budget is exhausted.
	Charge(n int64) error
}

// Charge counts n bytes that are about to be copied from the body against its
// budget, if it has one. The error is not a [Refusal]: a retry can succeed.
func Charge(b Body, n int64) error {
	if c, ok := b.(Charger); ok {
		return c.Charge(n)
	}
	return nil
}

// BytesBody is a Body in memory.
type BytesBody []byte

// Size implements Body.
func (b BytesBody) Size() int64 { return int64(len(b)) }

// Bytes implements Body. It is not nil for an empty body.
func (b BytesBody) Bytes() []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// WriteTo implements Body.
func (b BytesBody) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b)
	return int64(n), err
}

// Open implements Body.
func (b BytesBody) Open() io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }

// Delivery is the result of verification.
type Delivery struct {
	// ID is the delivery ID, empty if there is none.
	ID string
	// IDSigned: the signature covers the ID.
	IDSigned bool
	// Event is the event type, empty if there is none.
	Event string
	// EventSigned: the signature covers the event type.
	EventSigned bool
	// Timestamp is when the delivery was signed, the zero time if there is none.
	// TimestampSigned: the signature covers it.
	Timestamp       time.Time
	TimestampSigned bool
	// Matches contains, for every secret that has signed the delivery, its
	// identity and a digest of the signed content, in the order of the config.
	// There is at least one.
	Matches []Match
	// Contents contains the digest of the signed content under every configured
	// secret of the scheme that verified, in the order of the config, so that a
	// retry that is signed with another secret is recognized. Nil if it equals
	// Matches.
	Contents []Match
	// Repeats: another delivery can have the same content, so that the
	// content alone does not identify this one.
	Repeats bool
	// AlsoContent: equal content is the same delivery although the ID is signed,
	// because a retry can have another ID.
	AlsoContent bool
	// Answer is the response to a handshake. If it is not nil, the delivery is
	// not forwarded.
	Answer *Answer
	// Notice names the option with which the endpoint answers a handshake that
	// is otherwise forwarded; empty for other deliveries.
	Notice string

	// Memory for one match, the usual number, so that a delivery is one allocation.
	match  [1]Match
	digest [sha512.Size]byte
}

// Match is a secret that has signed the delivery.
type Match struct {
	// Secret identifies the secret.
	Secret Identity
	// Digest is computed from the signed bytes, never from the header's text.
	Digest []byte
}

// Digests returns the digest of the content under every configured secret of the
// scheme that verified, in the order of the config.
func (d *Delivery) Digests() []Match {
	if d.Contents != nil {
		return d.Contents
	}
	return d.Matches
}

// Answer is the response to a handshake.
type Answer struct {
	Status      int
	ContentType string
	Header      http.Header
	Body        []byte
	// Secret is the secret that the provider has sent with the handshake. It is
	// kept for the operator, and never used, logged or sent.
	Secret string
}

// BodyBytes returns the whole body, and reads it into memory if necessary. The caller
// must not change or keep it.
func BodyBytes(b Body) ([]byte, error) {
	if p := b.Bytes(); p != nil {
		return p, nil
	}
	if err := Charge(b, b.Size()); err != nil {
		return nil, err
	}
	buf := bytes.NewBuffer(make([]byte, 0, b.Size()))
	if _, err := b.WriteTo(buf); err != nil {
		return nil, fmt.Errorf("rereading body: %w", err)
	}
	return buf.Bytes(), nil
}
