// Command floor is a Caddy with the least that could be called verifying: the
// directive floor. It is what verify_webhook is measured against beside a Caddy
// that verifies nothing, and of no other use: it knows one scheme, forgets
// nothing, believes that every delivery succeeds, trusts that no transport reads
// a body for longer than the handler runs, and tells the app nothing.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
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
	httpcaddyfile.RegisterHandlerDirective("floor", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return handler{}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("floor", httpcaddyfile.Before, "reverse_proxy")
	caddycmd.Main()
}

// handler is one buffer, one HMAC and one map.
type handler struct{}

var (
	secret = []byte(os.Getenv("WEBHOOK_SECRET"))

	mu   sync.Mutex
	seen = make(map[[sha256.Size]byte]struct{})

	pools [bits.UintSize + 1]sync.Pool // by the number of bits of the length
)

// CaddyModule implements caddy.Module.
func (handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.floor", New: func() caddy.Module { return new(handler) }}
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	signature, err := hex.DecodeString(strings.TrimPrefix(r.Header.Get("X-Hub-Signature-256"), "sha256="))
	if err != nil || len(signature) == 0 || r.ContentLength < 0 {
		return caddyhttp.Error(http.StatusUnauthorized, err)
	}
	class := bits.Len64(uint64(r.ContentLength))
	buffer, _ := pools[class].Get().(*bytes.Buffer)
	if buffer == nil {
		buffer = bytes.NewBuffer(make([]byte, 0, 1<<class+bytes.MinRead))
	}
	defer pools[class].Put(buffer)
	buffer.Reset()
	if _, err := buffer.ReadFrom(r.Body); err != nil {
		return err
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(buffer.Bytes())
	digest := [sha256.Size]byte(mac.Sum(nil))
	if !hmac.Equal(digest[:], signature) {
		return caddyhttp.Error(http.StatusUnauthorized, nil)
	}
	if handledBefore(digest) {
		return nil
	}
	r.Body = io.NopCloser(bytes.NewReader(buffer.Bytes()))
	return next.ServeHTTP(w, r)
}

func handledBefore(digest [sha256.Size]byte) bool {
	mu.Lock()
	defer mu.Unlock()
	_, before := seen[digest]
	seen[digest] = struct{}{}
	return before
}
