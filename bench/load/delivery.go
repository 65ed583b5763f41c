// Package load sends a bounded number of signed webhook deliveries to an address in
// a bounded time, and counts the responses.
package load

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Kind is the kind of a delivery: valid, or invalid in a specific way.
type Kind string

// The kinds of deliveries.
const (
	Accepted       Kind = "accepted"        // genuine and new
	Duplicate      Kind = "duplicate"       // genuine, but sent before
	WrongSignature Kind = "wrong signature" // well formed, but signed with another secret
	NoSignature    Kind = "no signature"    // the header is missing
	Stale          Kind = "stale"           // Stripe's, genuine, but an hour old
	Malformed      Kind = "malformed"       // the signature is not hexadecimal
	TooLarge       Kind = "too large"       // larger than the endpoint's max_body
)

// The paths of the two providers' endpoints.
const (
	GitHubPath = "/github"
	StripePath = "/stripe"
	// ShortPath is a GitHub endpoint with max_body MaxShort.
	ShortPath = "/short"
)

// MaxShort is the max_body of ShortPath. Every delivery is larger.
const MaxShort = 512

const (
	bodyStart = `{"number":"%016d","padding":"`
	bodyEnd   = `"}`
)

// Signer creates deliveries, each with a unique body and ID.
type Signer struct {
	endpoints []Endpoint
	last      uint64
}

// Endpoint is the path and the secret of a GitHub endpoint.
type Endpoint struct{ Path, Secret string }

// NewSigner returns a Signer that signs with the given secret.
func NewSigner(secret string) *Signer { return NewSignerOf(Endpoint{GitHubPath, secret}) }

// NewSignerOf returns a Signer whose deliveries go to each endpoint in turn.
func NewSignerOf(endpoints ...Endpoint) *Signer { return &Signer{endpoints: endpoints} }

// Batch is a number of signed deliveries of one size. Their bodies differ only at
// the beginning and share the rest, so that a thousand of 1 MiB fit into memory.
type Batch struct {
	first [][]byte // request line, headers and the beginning of each body
	tail  []byte
}

// Len returns how many deliveries the batch has.
func (b *Batch) Len() int { return len(b.first) }

// Sign returns n deliveries with bodies of size bytes, at least 64. Deliveries of
// kind Duplicate equal Accepted ones: send the batch twice.
func (s *Signer) Sign(kind Kind, size, n int) *Batch {
	start := len(fmt.Sprintf(bodyStart, 0))
	batch := &Batch{tail: []byte(strings.Repeat("x", max(size, 64)-start-len(bodyEnd)) + bodyEnd)}
	for range n {
		s.last++
		body := fmt.Appendf(nil, bodyStart, s.last)
		head := s.head(kind, body, batch.tail)
		batch.first = append(batch.first, append(head, body...))
	}
	return batch
}

// head returns the request line and headers of a delivery.
func (s *Signer) head(kind Kind, start, tail []byte) []byte {
	endpoint := s.endpoints[s.last%uint64(len(s.endpoints))]
	path, header := endpoint.Path, fmt.Sprintf("X-GitHub-Event: push\r\nX-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-%012x\r\n", s.last)
	switch kind {
	case NoSignature:
	case WrongSignature:
		header += "X-Hub-Signature-256: sha256=" + sign("not "+endpoint.Secret, start, tail) + "\r\n"
	case Malformed:
		header += "X-Hub-Signature-256: sha256=" + strings.Repeat("x", hex.EncodedLen(sha256.Size)) + "\r\n"
	case Stale:
		at := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
		path, header = StripePath, "Stripe-Signature: t="+at+",v1="+sign(endpoint.Secret, []byte(at+"."), start, tail)+"\r\n"
	default:
		if kind == TooLarge {
			path = ShortPath
		}
		header += "X-Hub-Signature-256: sha256=" + sign(endpoint.Secret, start, tail) + "\r\n"
	}
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: hooks.example.com\r\nUser-Agent: GitHub-Hookshot/bench\r\nAccept: */*\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n%s\r\n", path, len(start)+len(tail), header)
}

func sign(secret string, parts ...[]byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	for _, part := range parts {
		mac.Write(part)
	}
	return hex.EncodeToString(mac.Sum(nil))
}
