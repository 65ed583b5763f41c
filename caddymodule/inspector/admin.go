package inspector

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/caddyserver/caddy/v2"
)

func init() { caddy.RegisterModule(adminAPI{}) }

// Paths of the admin API.
const (
	AdminStreamPath   = "/verify_webhook/inspector/stream"
	AdminDeliveryPath = "/verify_webhook/inspector/delivery"
	AdminExplainPath  = "/verify_webhook/inspector/explain"
)

// adminAPI serves recent deliveries and explains refusals, also if no site has
// `webhook_inspector`. It is what `caddy verify-webhook watch` and `explain` use.
//
// Method and path | Description
// ----------------|------------
// `GET /verify_webhook/inspector/stream` | Stream deliveries as server-sent events
// `GET /verify_webhook/inspector/delivery` | Return one delivery
// `POST /verify_webhook/inspector/explain` | Find out why a delivery was refused
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.webhook_inspector", New: func() caddy.Module { return new(adminAPI) }}
}

// Routes implements caddy.AdminRouter.
func (*adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: AdminStreamPath, Handler: adminHandler(http.MethodGet, serveAdminStream)},
		{Pattern: AdminDeliveryPath, Handler: adminHandler(http.MethodGet, asAdmin(serveDelivery))},
		{Pattern: AdminExplainPath, Handler: adminHandler(http.MethodPost, asAdmin(serveAdminExplain))},
	}
}

func adminHandler(method string, serve func(http.ResponseWriter, *http.Request) error) caddy.AdminHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != method {
			w.Header().Set("Allow", method)
			return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Message: "the method must be " + method}
		}
		return serve(w, r)
	}
}

// asAdmin returns errors in the format of Caddy's admin API, which clients expect.
func asAdmin(serve func(*http.Request) (any, error)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		result, err := serve(r)
		if known, ok := errors.AsType[apiError](err); ok {
			return caddy.APIError{HTTPStatus: known.status, Err: known.error}
		}
		if err != nil {
			return err
		}
		return answer(w, r, func(*http.Request) (any, error) { return result, nil })
	}
}

func serveAdminExplain(r *http.Request) (any, error) {
	q, one, err := readQuestion(r)
	if err != nil {
		return nil, err
	}
	return explain(r.Context(), one, q.Override)
}

// serveAdminStream ends when the admin server stops: when its own config is
// reloaded, or when the process stops.
func serveAdminStream(w http.ResponseWriter, r *http.Request) error {
	return stream(w, r, closingOf(r.Context()))
}

// closings has a channel for each admin server, closed when the server stops,
// because Caddy then waits for open requests.
var closings sync.Map // *http.Server → chan struct{}

func closingOf(ctx context.Context) <-chan struct{} {
	server, ok := ctx.Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return nil
	}
	closing := make(chan struct{})
	known, loaded := closings.LoadOrStore(server, closing)
	if !loaded {
		server.RegisterOnShutdown(sync.OnceFunc(func() {
			close(closing)
			closings.Delete(server)
		}))
	}
	return known.(chan struct{})
}

// Interface guards.
var (
	_ caddy.Module      = adminAPI{}
	_ caddy.AdminRouter = (*adminAPI)(nil)
)
