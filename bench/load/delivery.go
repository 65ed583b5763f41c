// Package load sends signed webhook deliveries to an address, a bounded number
// in a bounded time, and counts what comes back.
package load

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Kind says what is right or wrong with deliveries.
type Kind string

const (
	Accepted       Kind = "accepted"        // genuine, each one new
	Duplicate      Kind = "duplicate"       // genuine, and sent before
	WrongSignature Kind = "wrong signature" // well formed, by another secret
	NoSignature    Kind = "no signature"    // without the header
	Stale          Kind = "stale"           // Stripe's, genuine, an hour old
)

// The paths that deliveries of the two providers are posted to.
const (
	GitHubPath = "/github"
	StripePath = "/stripe"
)

const (
	bodyStart = `{"number":"%016d","padding":"`
	bodyEnd   = `"}`
)

// Signer makes deliveries. No two of them have the same body or ID.
type Signer struct {
	secret string
	last   uint64
}

// NewSigner returns a Signer of the given secret.
func NewSigner(secret string) *Signer { return &Signer{secret: secret} }

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
	path, header := GitHubPath, fmt.Sprintf("X-GitHub-Event: push\r\nX-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-%012x\r\n", s.last)
	switch kind {
	case NoSignature:
	case WrongSignature:
		header += "X-Hub-Signature-256: sha256=" + sign("not "+s.secret, start, tail) + "\r\n"
	case Stale:
		at := fmt.Sprint(time.Now().Add(-time.Hour).Unix())
		path, header = StripePath, "Stripe-Signature: t="+at+",v1="+sign(s.secret, []byte(at+"."), start, tail)+"\r\n"
	default:
		header += "X-Hub-Signature-256: sha256=" + sign(s.secret, start, tail) + "\r\n"
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
