package caddymodule

import (
	"hash/maphash"
	"net"
	"net/http"
	"sync"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// claimedRequests finds the claims of this process by their blocking keys.
//
// A copy that waits gets the response to the first request. But the two can differ
// in what the signature does not cover, and the app can refuse the first one for
// that: an attacker sends a copy with another path, and the app responds with 404.
// The provider must not get that 404, because after a 4xx some providers do not
// retry and others remove the webhook.
type claimedRequests struct {
	mu    sync.Mutex
	byKey map[replay.Key]*claim
}

var claimed = claimedRequests{byKey: make(map[replay.Key]*claim)}

func (r *claimedRequests) add(c *claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range c.keys.Blocking {
		r.byKey[key] = c
	}
}

func (r *claimedRequests) remove(c *claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range c.keys.Blocking {
		if r.byKey[key] == c { // not one that was claimed after the lease
			delete(r.byKey, key)
		}
	}
}

// find returns the claim that blocks a delivery, nil if it is not of this process.
func (r *claimedRequests) find(keys replay.Keys) *claim {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys.Blocking {
		if c := r.byKey[key]; c != nil {
			return c
		}
	}
	return nil
}

// refused reports whether the app responded with status to this request. c is nil
// if the request is unknown.
func (c *claim) refused(request uint64, status int) bool {
	return c != nil && request != 0 && c.request == request && int(c.failure.Load()) == status
}

var requestSeed = maphash.MakeSeed()

// fingerprint identifies the request that the app gets for a delivery, as far as the
// signature does not cover it. It is 0 if the signature does not cover the body as it
// was sent. It must be called before the headers are changed for the app.
func (d *delivery) fingerprint() uint64 {
	if !d.provider.info.Coverage.BodySigned || len(d.r.Header["Content-Encoding"]) > 0 {
		return 0
	}
	var h maphash.Hash
	h.SetSeed(requestSeed)
	address, _, _ := net.SplitHostPort(d.r.RemoteAddr)
	encrypted := "http"
	if d.r.TLS != nil {
		encrypted = "https"
	}
	for _, part := range [...]string{d.r.Method, encrypted, d.r.Host, d.r.RequestURI, address} {
		writePart(&h, part)
	}
	return h.Sum64() + headerFingerprint(d.r.Header)
}

// headerFingerprint does not depend on the order of the names.
func headerFingerprint(header http.Header) (sum uint64) {
	for name, values := range header {
		var h maphash.Hash
		h.SetSeed(requestSeed)
		writePart(&h, name)
		for _, value := range values {
			writePart(&h, value)
		}
		sum += h.Sum64()
	}
	return sum
}

// writePart writes a part that cannot contain the separator.
func writePart(h *maphash.Hash, part string) {
	_, _ = h.WriteString(part) // never fails
	_ = h.WriteByte('\n')
}
