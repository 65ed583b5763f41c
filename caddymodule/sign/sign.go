// Package sign provides the `webhook_sign` handler, which signs forwarded deliveries
// in one format, whatever the provider.
package sign

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/filewatch"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func init() { caddy.RegisterModule(new(Handler)) }

// Handler signs deliveries to the app in one way, [Standard Webhooks 1.0.0], in
// place of the provider's signature. The app verifies one scheme with one secret,
// whatever the provider.
//
// It must be between `verify_webhook` and `reverse_proxy`, and signs only
// deliveries that `verify_webhook` has verified; any other request gets 503.
// Client-supplied headers whose names begin with `Webhook-` are stripped.
//
// The app receives `Webhook-Id`, which is `Webhook-Verified-Key`,
// `Webhook-Timestamp`, which is the time of this attempt, and
// `Webhook-Signature`. The signature covers the ID, the time and the body, not
// the `Webhook-Verified-*` headers.
//
// Syntax:
//
//	webhook_sign [<matcher>] [<secret>] {
//		secret <secret> [<label>]
//	}
//
// Example:
//
//	verify_webhook github {env.GITHUB_WEBHOOK_SECRET}
//	webhook_sign {env.APP_SECRET}
//	reverse_proxy localhost:5000
//
// [Standard Webhooks 1.0.0]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
type Handler struct {
	// The secrets to sign with: `whsec_` and the base64 of 24 to 64 bytes for
	// an HMAC (v1), or `whsk_` and the base64 of an Ed25519 private key (v1a).
	// Each adds a signature. The app accepts any, so secrets can be rotated.
	// Required.
	Secrets []provider.Secret `json:"secrets,omitempty"`

	keys   atomic.Pointer[[]signingKey]
	now    func() time.Time
	logger *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.webhook_sign", New: func() caddy.Module { return new(Handler) }}
}

// Provision implements caddy.Provisioner.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	if h.now == nil {
		h.now = time.Now
	}
	files := filewatch.In(h.secretTexts()...)
	if err := h.load(); err != nil {
		return err
	}
	if len(files.Files()) > 0 {
		go files.Run(ctx, func() { h.reload(files.Files()) })
	}
	return nil
}

// secretTexts returns the secrets as written in the config.
func (h *Handler) secretTexts() (texts []string) {
	for _, secret := range h.Secrets {
		texts = append(texts, secret.Secret)
	}
	return texts
}

// load reads the secrets.
func (h *Handler) load() error {
	if len(h.Secrets) == 0 {
		return errors.New("webhook_sign has no secret: write `webhook_sign {env.NAME}`, and set NAME to whsec_ and the output of `openssl rand -base64 32`")
	}
	options := provider.Options{Secrets: h.Secrets}
	secrets, err := options.ResolveSecrets(h.logger, "webhook_sign", false)
	if err != nil {
		return err
	}
	keys := make([]signingKey, len(secrets))
	for i, secret := range secrets {
		if keys[i], err = newSigningKey(secret); err != nil {
			return fmt.Errorf("webhook_sign: secret %d: %w", i+1, err)
		}
		if keys[i].public != "" {
			h.logger.Info("the app verifies with this public key", zap.Int("secret", i+1), zap.String("public_key", keys[i].public))
		}
	}
	h.keys.Store(&keys)
	return nil
}

// reload re-reads the secrets after their files have changed. If the new ones are
// invalid, the previous ones stay in use.
func (h *Handler) reload(files []string) {
	if err := h.load(); err != nil {
		h.logger.Error("a file with a signing secret has changed, but cannot be used; the previous secrets stay in use",
			zap.Strings("files", files), zap.Error(err))
		return
	}
	h.logger.Info("reloaded signing secrets from changed files", zap.Strings("files", files))
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	removeSenders(r.Header)
	delivery := caddymodule.FromContext(r.Context())
	if delivery == nil {
		return caddyhttp.Error(http.StatusServiceUnavailable,
			errors.New("webhook_sign: the request was not verified and is not signed: write verify_webhook before webhook_sign, not in mode monitor"))
	}
	if err := h.sign(r, delivery.Key); err != nil {
		return caddyhttp.Error(http.StatusServiceUnavailable, fmt.Errorf("webhook_sign: %w", err))
	}
	return next.ServeHTTP(w, r)
}

// The headers of the specification, in canonical form.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// sign sets the signature headers.
func (h *Handler) sign(r *http.Request, id string) error {
	if id == "" { // this delivery cannot be distinguished from a copy
		id = "msg_" + rand.Text()
	}
	now := h.now()
	r.Header[headerID] = []string{id}
	r.Header[headerTimestamp] = []string{strconv.FormatInt(now.Unix(), 10)}
	request := &signature.Request{Method: r.Method, Host: r.Host, RequestURI: r.RequestURI, Header: r.Header, Body: requestBody{r}, Now: now}
	var signatures []string
	for _, key := range *h.keys.Load() {
		text, err := key.sign(r.Context(), request)
		if err != nil {
			return err
		}
		signatures = append(signatures, text)
	}
	r.Header[headerSignature] = []string{strings.Join(signatures, " ")}
	return nil
}

// removeSenders removes client-supplied headers with our names, and with names that
// servers and frameworks treat as the same: some fold `_` and `.` into `-`.
func removeSenders(header http.Header) {
	for name := range header {
		if strings.HasPrefix(folded(name), "webhook-") && !strings.HasPrefix(name, verifiedPrefix) {
			delete(header, name)
		}
	}
}

// verifiedPrefix is the prefix of the headers that verify_webhook sets, after it has
// removed the client's.
const verifiedPrefix = "Webhook-Verified-"

func folded(name string) string {
	return strings.Map(func(c rune) rune {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return '-'
		}
		return c
	}, strings.ToLower(name))
}

// requestBody is the body of a verified request, which can be read several times.
type requestBody struct{ r *http.Request }

// Size implements signature.Body.
func (b requestBody) Size() int64 { return b.r.ContentLength }

// Bytes implements signature.Body. It returns nil, because the body is behind a reader.
func (b requestBody) Bytes() []byte { return nil }

// WriteTo implements signature.Body.
func (b requestBody) WriteTo(w io.Writer) (int64, error) {
	body := b.Open()
	defer body.Close()
	n, err := io.Copy(w, body)
	if err == nil && n != b.Size() { // the app would get other bytes than the signed ones
		err = errReplaced
	}
	return n, err
}

// Open implements signature.Body.
func (b requestBody) Open() io.ReadCloser {
	if b.r.GetBody == nil {
		return unreadable{}
	}
	body, err := b.r.GetBody()
	if err != nil {
		return unreadable{err}
	}
	return body
}

var errReplaced = errors.New("a handler between verify_webhook and webhook_sign has replaced the body: move it behind webhook_sign")

// unreadable is a body that cannot be read.
type unreadable struct{ err error }

// Read implements io.Reader.
func (u unreadable) Read([]byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	return 0, errReplaced
}

// Close implements io.Closer.
func (unreadable) Close() error { return nil }

// acquire waits for capacity or for the end of ctx.
func acquire(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ signature.Body              = requestBody{}
)
