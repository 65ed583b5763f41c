// Package inspector provides `webhook_inspector`: a page that shows deliveries live,
// their outcome, and why they were refused. The admin API provides the same data
// for `caddy verify-webhook watch` and `explain`.
package inspector

import (
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
)

func init() { caddy.RegisterModule(new(Inspector)) }

// Inspector serves a page that shows live which deliveries arrive, their
// outcomes and, for refused ones, what to change first.
//
// It covers all `verify_webhook` endpoints of this Caddy instance, and belongs on
// a site of its own, on a loopback address:
//
//	http://localhost:4040 {
//		bind 127.0.0.1
//		webhook_inspector
//	}
//
// Deliveries are kept in memory while a page is open or, with `capture`, always.
// Credentials are removed when a delivery is captured. Signatures are kept to
// explain refusals, and are not shown.
//
// Syntax:
//
//	webhook_inspector [<matcher>] {
//		remote
//		capture {
//			last   <number>
//			bodies <size>
//			total  <size>
//			for    <duration>
//		}
//	}
type Inspector struct {
	// Serve on addresses other than loopback ones. An authentication handler
	// must be in front. Default: false.
	Remote bool `json:"remote,omitempty"`

	// What is kept in memory even if no page is open. Default: nothing.
	Capture *Capture `json:"capture,omitempty"`

	server  *caddyhttp.Server
	app     *caddymodule.App
	ctx     caddy.Context
	logger  *zap.Logger
	allowed atomic.Bool // the config has started, with authentication in front if required
	closing chan struct{}
	close   func()
}

// Capture limits what is kept of deliveries.
type Capture struct {
	// How many deliveries are kept. Default: 500.
	Last int `json:"last,omitempty"`
	// How many bytes of each body are kept. The last 20 refused requests keep
	// up to 64 KiB regardless, to explain the refusal; these bytes are not
	// shown. Default: 0.
	Bodies int64 `json:"bodies,omitempty"`
	// How many bytes everything that is kept can take. Default: 32 MiB.
	Total int64 `json:"total,omitempty"`
	// How long a delivery is kept. Default: 1h.
	For caddy.Duration `json:"for,omitempty"`
}

func caddyDuration(d time.Duration) caddy.Duration { return caddy.Duration(d) }

// CaddyModule returns the Caddy module information.
func (*Inspector) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.webhook_inspector", New: func() caddy.Module { return new(Inspector) }}
}

// Provision implements caddy.Provisioner.
func (h *Inspector) Provision(ctx caddy.Context) error {
	h.ctx, h.logger = ctx, ctx.Logger()
	h.closing = make(chan struct{})
	h.close = sync.OnceFunc(func() { close(h.closing) })
	if h.Capture != nil {
		h.Capture.Last = cmp.Or(h.Capture.Last, defaultCapture.Last)
		h.Capture.Total = cmp.Or(h.Capture.Total, defaultCapture.Total)
		h.Capture.For = cmp.Or(h.Capture.For, defaultCapture.For)
	}
	var ok bool
	if h.server, ok = ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); !ok {
		return errors.New("webhook_inspector must be inside a site")
	}
	if err := h.checkListeners(); err != nil {
		return err
	}
	app, err := ctx.App("verify_webhook")
	if err != nil {
		return fmt.Errorf("loading the verify_webhook app: %w", err)
	}
	h.app = app.(*caddymodule.App)
	h.app.OnStart(h.start)
	h.app.OnStop(h.stop)
	// Streams have no end, and a server that stops waits for them.
	h.server.RegisterOnShutdown(h.close)
	return nil
}

// Limits of the options.
const (
	mostDeliveries = 100_000
	mostBodies     = 25 << 20
	leastTotal     = 1 << 20
)

// Validate implements caddy.Validator.
func (h *Inspector) Validate() error {
	c := h.Capture
	if c == nil {
		return nil
	}
	switch {
	case c.Last < 1 || c.Last > mostDeliveries:
		return fmt.Errorf("capture: last %d is not a number from 1 to %d: write, for example, last 500", c.Last, mostDeliveries)
	case c.Bodies < 0 || c.Bodies > mostBodies:
		return fmt.Errorf("capture: bodies %d is more than 25 MiB: write, for example, bodies 64KiB", c.Bodies)
	case c.Total < leastTotal:
		return fmt.Errorf("capture: total %d is less than 1 MiB: write, for example, total 32MiB (in JSON a number is bytes)", c.Total)
	case c.Bodies > c.Total:
		return fmt.Errorf("capture: bodies of %d bytes exceed the total of %d: write a larger total or smaller bodies", c.Bodies, c.Total)
	}
	return option.AtLeast("for", c.For, time.Second, "1h")
}

// start starts capturing and serving.
func (h *Inspector) start() error {
	if err := h.checkAuthentication(); err != nil {
		return err
	}
	if h.Capture != nil {
		deliveries.begin(h)
	}
	if h.Capture != nil && h.Capture.Bodies > 0 {
		h.logger.Warn("webhook_inspector captures the bodies of deliveries in memory and shows them to everyone who can open its page: remove bodies from the capture block when you no longer need them")
	}
	h.allowed.Store(true)
	return nil
}

// stop reverses start.
func (h *Inspector) stop() {
	h.close()
	deliveries.end(h)
}

// Cleanup implements caddy.CleanerUpper. If the start of any app fails, Caddy does
// not stop the apps.
func (h *Inspector) Cleanup() error {
	if h.close != nil {
		h.stop()
	}
	return nil
}

//go:embed page
var page embed.FS

// assets are the files of the page.
var assets = map[string]struct{ file, kind string }{
	"/":              {"page/index.html", "text/html; charset=utf-8"},
	"/inspector.js":  {"page/inspector.js", "text/javascript; charset=utf-8"},
	"/inspector.css": {"page/inspector.css", "text/css; charset=utf-8"},
	"/icon.svg":      {"page/icon.svg", "image/svg+xml"},
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Inspector) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	if !h.allowed.Load() {
		return caddyhttp.Error(http.StatusServiceUnavailable, errors.New("webhook_inspector: the config has not started"))
	}
	setSecurityHeaders(w.Header())
	if err := h.checkRequest(r); err != nil {
		return caddyhttp.Error(http.StatusForbidden, fmt.Errorf("webhook_inspector: %w", err))
	}
	if a, ok := assets[r.URL.Path]; ok {
		return serveAsset(w, r, a.file, a.kind)
	}
	call, ok := calls[r.URL.Path]
	if !ok {
		return caddyhttp.Error(http.StatusNotFound, errors.New("webhook_inspector: not found"))
	}
	if r.Method != call.method {
		w.Header().Set("Allow", call.method)
		return caddyhttp.Error(http.StatusMethodNotAllowed, fmt.Errorf("webhook_inspector: the method must be %s", call.method))
	}
	if call.serve == nil {
		return stream(w, r, h.closing)
	}
	return answer(w, r, call.serve)
}

func serveAsset(w http.ResponseWriter, r *http.Request, file, kind string) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return caddyhttp.Error(http.StatusMethodNotAllowed, errors.New("webhook_inspector: the method must be GET"))
	}
	content, err := page.ReadFile(file)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	if r.Method == http.MethodHead {
		return nil
	}
	_, err = w.Write(content)
	return err
}

// apiError is an error with its status.
type apiError struct {
	status int
	error
}

func errorf(status int, format string, args ...any) error {
	return apiError{status, fmt.Errorf(format, args...)}
}

// answer writes the result of serve as JSON, text or an error.
func answer(w http.ResponseWriter, r *http.Request, serve func(*http.Request) (any, error)) error {
	result, err := serve(r)
	status := http.StatusOK
	if err != nil {
		status = http.StatusInternalServerError
		if known, ok := errors.AsType[apiError](err); ok {
			status = known.status
		}
		result = map[string]string{"error": err.Error()}
	}
	if f, ok := result.(textFile); ok {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if f.name != "" {
			w.Header().Set("Content-Disposition", `attachment; filename="`+f.name+`"`)
		}
		_, err := io.WriteString(w, f.text)
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(result)
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Inspector)(nil)
	_ caddy.Validator             = (*Inspector)(nil)
	_ caddy.CleanerUpper          = (*Inspector)(nil)
	_ caddyhttp.MiddlewareHandler = (*Inspector)(nil)
)
