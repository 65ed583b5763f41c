// Package load sends signed webhook deliveries to an address, a bounded number
// in a bounded time, and counts what comes back.
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

// Kind says what is right or wrong with deliveries.
type Kind string

// The kinds of deliveries.
const (
	Accepted       Kind = "accepted"        // genuine, each one new
	Duplicate      Kind = "duplicate"       // genuine, and sent before
	WrongSignature Kind = "wrong signature" // well formed, by another secret
	NoSignature    Kind = "no signature"    // without the header
	Stale          Kind = "stale"           // Stripe's, genuine, an hour old
	Malformed      Kind = "malformed"       // the signature is not hexadecimal
	TooLarge       Kind = "too large"       // to an endpoint that takes only shorter ones
)

// The paths that deliveries of the two providers are posted to.
const (
	GitHubPath = "/github"
	StripePath = "/stripe"
	// ShortPath is an endpoint of GitHub with max_body MaxShort.
	ShortPath = "/short"
)

// MaxShort is the max_body of ShortPath: less than any delivery has.
const MaxShort = 512

const (
	bodyStart = `{"number":"%016d","padding":"`
	bodyEnd   = `"}`
)

// Signer makes deliveries. No two of them have the same body or ID.
type Signer struct {
	endpoints []Endpoint
	last      uint64
}

// Endpoint is where GitHub's deliveries are posted to, and what signs them.
type Endpoint struct{ Path, Secret string }

// NewSigner returns a Signer of the given secret.
func NewSigner(secret string) *Signer { return NewSignerOf(Endpoint{GitHubPath, secret}) }

// NewSignerOf returns a Signer whose deliveries go to each endpoint in turn.
func NewSignerOf(endpoints ...Endpoint) *Signer { return &Signer{endpoints: endpoints} }

// Batch is a number of signed deliveries of one size. They share all of their
// bodies but the beginning, so that a thousand of 1 MiB fit into memory.
type Batch struct {
	first [][]byte // the head of each, with the beginning of its body
	tail  []byte
}

// Len returns how many deliveries the batch has.
func (b *Batch) Len() int { return len(b.first) }

// Sign makes n deliveries whose bodies have size bytes, at least 64. Those of
// kind Duplicate are as Accepted ones: send the batch twice.
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

// head returns the request line and the header of a delivery.
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
