package signature

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Hash states and read buffers are reused. Regardless of the previous delivery and how
// its verification ended, a genuine delivery is accepted with its own digest, and no
// other one is accepted.
func TestReusedStatesAcceptOnlyGenuineDeliveries(t *testing.T) {
	secrets := []string{"old secret", "new secret", "third secret"} // during a rotation
	plain := SignatureField{Field: inHeader("X-Sig"), Separator: ","}
	timed := SignatureField{Field: inHeader("X-Sig"), Separator: ",", Assign: "=", Element: "v1", SetSeparator: " "}
	for name, s := range map[string]Scheme{
		"hmac-sha1":             {Algorithm: HMACSHA1, Signature: plain, Signed: "{id}.{body}"},
		"hmac-sha256":           {Algorithm: HMACSHA256, Signature: plain, Signed: "{id}.{body}"},
		"hmac-sha384":           {Algorithm: HMACSHA384, Signature: plain, Signed: "{id}.{body}"},
		"hmac-sha512":           {Algorithm: HMACSHA512, Signature: plain, Signed: "{id}.{body}"},
		"sha256-prefix":         {Algorithm: SHA256Prefix, Signature: plain, Signed: "{id}.{body}"},
		"sha1-suffix":           {Algorithm: SHA1Suffix, Signature: plain, Signed: "{id}.{body}"},
		"sha256-suffix":         {Algorithm: SHA256Suffix, Signature: plain, Signed: "{id}.{body}"},
		"lists with timestamps": {Algorithm: HMACSHA256, Signature: timed, Signed: "{id}.{body}.{timestamp}", Timestamp: &TimestampField{Field: Field{From: "element", Name: "t"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.ID = new(inHeader("X-Id"))
			crowd := &crowd{t: t, v: compile(t, s, secrets...), scheme: s, secrets: secrets}
			var senders sync.WaitGroup
			for sender := range 8 {
				senders.Go(func() { crowd.sendMany(sender, 25) })
			}
			senders.Wait()
			crowd.recheck()
		})
	}
}

// crowd is a group of concurrent senders to one verifier.
type crowd struct {
	t       *testing.T
	v       *Verifier
	scheme  Scheme
	secrets []string

	mu       sync.Mutex
	accepted []accepted
}

// accepted is an accepted delivery with the values that it must still have at the end.
type accepted struct {
	*Delivery
	id, body   string
	signatures [][]byte
}

func (c *crowd) sendMany(sender, rounds int) {
	former := c.sum(c.secrets[0], "former", "delivery")
	for round := range rounds {
		id := fmt.Sprintf("%d-%d", sender, round)
		body := strings.Repeat(id+" ", 100+round)
		old, current := c.sum(c.secrets[0], id, body), c.sum(c.secrets[1], id, body)
		strange := c.sum("an attacker's", id, body)

		c.accepts(id, inPieces(body, pieces, nil), old)
		c.breaks(id, inPieces(body, round%pieces, breaksOff), current)
		c.accepts(id, BytesBody(body), current)
		c.refuses(id, inPieces(body, pieces, nil), strange)
		c.refuses(id, inPieces(body, pieces, nil), former) // the genuine signature of another delivery
		c.breaks(id, inPieces(body, round%pieces, aborts), old)
		c.accepts(id, inPieces(body, pieces, nil), strange, current, old)
		c.refuses(id, BytesBody(body[1:]), old, current)
		former = current
	}
}

// sum returns the signature of a delivery.
func (c *crowd) sum(secret, id, body string) []byte {
	signed := id + "." + body
	if c.scheme.Timestamp != nil {
		signed += "." + nowText
	}
	switch c.scheme.Algorithm {
	case SHA256Prefix:
		sum := sha256.Sum256([]byte(secret + signed))
		return sum[:]
	case SHA1Suffix, SHA256Suffix:
		h := newHash(c.scheme.Algorithm.hash())()
		h.Write([]byte(signed + secret))
		return h.Sum(nil)
	}
	m := hmac.New(newHash(c.scheme.Algorithm.hash()), []byte(secret))
	m.Write([]byte(signed))
	return m.Sum(nil)
}

// header encodes signatures. If the scheme has a timestamp, each one is in its own
// list.
func (c *crowd) header(signatures [][]byte) string {
	var texts []string
	for _, s := range signatures {
		texts = append(texts, hexOf(s))
	}
	if c.scheme.Timestamp == nil {
		return strings.Join(texts, ",")
	}
	return "t=" + nowText + ",v1=" + strings.Join(texts, " t="+nowText+",v1=")
}

func (c *crowd) send(id string, body Body, signatures [][]byte) (*Delivery, error) {
	r := post("", "X-Id", id, "X-Sig", c.header(signatures))
	r.Body = body
	return c.v.Verify(r)
}

func (c *crowd) accepts(id string, body Body, signatures ...[]byte) {
	d, err := c.send(id, body, signatures)
	if err != nil {
		c.t.Errorf("%s: a genuine delivery is refused: %v", id, err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted = append(c.accepted, accepted{d, id, string(must(io.ReadAll(body.Open()))), signatures})
}

func (c *crowd) refuses(id string, body Body, signatures ...[]byte) {
	d, err := c.send(id, body, signatures)
	if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Kind != InvalidSignature {
		c.t.Errorf("%s: a forged delivery got %+v, %v", id, d, err)
	}
}

// breaks checks that verification neither accepts nor refuses an incomplete body.
func (c *crowd) breaks(id string, body Body, signature []byte) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		}
	}()
	if d, err := c.send(id, body, [][]byte{signature}); !errors.Is(err, errBroken) {
		c.t.Errorf("%s: an incomplete body got %+v, %v", id, d, err)
	}
}

// recheck checks the accepted deliveries after other verifications have reused the
// memory: the secrets that signed must match with the delivery's own digest, and no
// others.
func (c *crowd) recheck() {
	for _, d := range c.accepted {
		if d.ID != d.id {
			c.t.Errorf("%s has the ID %s", d.id, d.ID)
		}
		for i, identity := range c.v.Secrets() {
			sum := c.sum(c.secrets[i], d.id, d.body)
			signed := slices.ContainsFunc(d.signatures, func(s []byte) bool { return bytes.Equal(s, sum) })
			at := slices.IndexFunc(d.Matches, func(m Match) bool { return m.Secret == identity })
			if signed != (at >= 0) || signed && !bytes.Equal(d.Matches[at].Digest, sum) {
				c.t.Errorf("%s: signed with secret %d: %t; matches are %+v", d.id, i+1, signed, d.Matches)
			}
		}
	}
}

// pieces is the number of pieces of a body.
const pieces = 8

// piecewise is a body that is written in pieces, between which other verifications
// run. If whole is less than pieces, it returns the error of end after that many.
type piecewise struct {
	BytesBody
	whole int
	end   func() error
}

func inPieces(body string, whole int, end func() error) piecewise {
	return piecewise{BytesBody(body), whole, end}
}

func breaksOff() error { return errBroken }

// aborts panics as net/http does when the client has disconnected.
func aborts() error { panic(http.ErrAbortHandler) }

func (piecewise) Bytes() []byte { return nil }

func (b piecewise) WriteTo(w io.Writer) (written int64, err error) {
	for i := range b.whole {
		n, err := w.Write(b.BytesBody[len(b.BytesBody)*i/pieces : len(b.BytesBody)*(i+1)/pieces])
		written += int64(n)
		if err != nil {
			return written, err
		}
		runtime.Gosched()
	}
	if b.whole < pieces {
		return written, b.end()
	}
	return written, nil
}
