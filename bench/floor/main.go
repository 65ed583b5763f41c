// Command floor is Caddy with a minimal verifying handler, the directive floor. It
// is the baseline for verify_webhook and must not be used for anything else: it has
// one scheme, never forgets a delivery, counts every delivery as handled, and reuses
// a body's buffer although a transport may still read it. `floor identity` also sets
// the headers that verify_webhook uses to identify a delivery to the app.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/bits"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func main() {
	caddy.RegisterModule(handler{})
	httpcaddyfile.RegisterHandlerDirective("floor", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		h.Next()
		if !h.NextArg() {
			return handler{}, nil
		}
		if h.Val() != "identity" {
			return nil, h.ArgErr()
		}
		return handler{Identity: true}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("floor", httpcaddyfile.Before, "reverse_proxy")
	caddycmd.Main()
}

// handler verifies with one buffer, one HMAC and one map.
type handler struct {
	Identity bool `json:"identity,omitempty"` // set the five identity headers
}

// Pooled buffers have the same sizes as in package body: powers of two from 4 KiB to
// 1 MiB.
const minBits, maxBits = 12, 20

var (
	secret = []byte(os.Getenv("WEBHOOK_SECRET"))

	mu   sync.Mutex
	seen = make(map[[sha256.Size]byte]struct{})

	pools [maxBits + 1]sync.Pool // indexed by power of two
)

// CaddyModule implements caddy.Module.
func (handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.floor", New: func() caddy.Module { return new(handler) }}
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (f handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	signature, err := hex.DecodeString(strings.TrimPrefix(r.Header.Get("X-Hub-Signature-256"), "sha256="))
	if err != nil || len(signature) == 0 {
		return caddyhttp.Error(http.StatusUnauthorized, err)
	}
	if r.ContentLength < 0 || r.ContentLength > 1<<maxBits {
		return caddyhttp.Error(http.StatusRequestEntityTooLarge, fmt.Errorf("a body of %d bytes", r.ContentLength))
	}
	power := max(minBits, bits.Len64(uint64(max(r.ContentLength, 1)-1)))
	buffer, _ := pools[power].Get().(*[]byte)
	if buffer == nil {
		made := make([]byte, 1<<power)
		buffer = &made
	}
	defer pools[power].Put(buffer)
	body := (*buffer)[:r.ContentLength]
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return err
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	digest := [sha256.Size]byte(mac.Sum(nil))
	if !hmac.Equal(digest[:], signature) {
		return caddyhttp.Error(http.StatusUnauthorized, nil)
	}
	if handledBefore(digest) {
		return nil
	}
	if f.Identity {
		identify(r.Header, digest)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return next.ServeHTTP(w, r)
}

// identify sets as many headers as verify_webhook does for GitHub. It costs less
// than five request_header directives.
func identify(h http.Header, digest [sha256.Size]byte) {
	values := [...]string{"github", hex.EncodeToString(digest[:16]), h.Get("X-GitHub-Delivery"), h.Get("X-GitHub-Event"), "id, event"}
	for i, name := range [...]string{"Webhook-Verified-Provider", "Webhook-Verified-Key", "Webhook-Verified-Id", "Webhook-Verified-Event", "Webhook-Verified-Unsigned"} {
		h[name] = values[i : i+1 : i+1]
	}
}

func handledBefore(digest [sha256.Size]byte) bool {
	mu.Lock()
	defer mu.Unlock()
	_, before := seen[digest]
	seen[digest] = struct{}{}
	return before
}
