package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func init() { caddy.RegisterModule(adminAPI{}) }

// Paths of the admin API.
const (
	AdminForgetPath = "/verify_webhook/forget"
	AdminSeenPath   = "/verify_webhook/seen"
)

// maxAdminBody is the maximum size of a request body in bytes.
const maxAdminBody = 1 << 16

// startedApps holds the apps of running configs. During a reload there are two;
// an app that fails to start is removed.
type startedApps struct {
	mu  sync.Mutex
	all []*App
}

// apps is used by the admin API, which Caddy starts before any app.
var apps startedApps

func (s *startedApps) started(a *App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, a)
}

func (s *startedApps) stopped(a *App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(other *App) bool { return other == a })
}

// latest returns the app that started last, or nil if there is none.
func (s *startedApps) latest() *App {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 {
		return nil
	}
	return s.all[len(s.all)-1]
}

// secretsOf returns the secrets that an endpoint currently accepts.
func (a *App) secretsOf(h *Handler) []signature.Identity {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.secrets[h])
}

// endpointsOf returns the endpoints whose provider or name is name, and all
// known names.
func (a *App) endpointsOf(name string) (found []*Handler, known []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, h := range a.endpoints {
		known = append(known, h.info().Name)
		own := h.endpointName()
		known = append(known, own)
		if name == h.info().Name || name == own {
			found = append(found, h)
		}
	}
	slices.Sort(known)
	return found, slices.Compact(known)
}

// adminAPI serves endpoints to look up deliveries, to allow their redelivery,
// and to set up webhooks. The commands `caddy verify-webhook seen`, `forget`
// and `handshakes` use it.
//
// Method and path | Description
// ----------------|------------
// `GET /verify_webhook/seen?provider=<name>&id=<id>` | Return whether a delivery was handled
// `POST /verify_webhook/forget` | Allow one redelivery; the body is JSON with `provider` and `id`
// `GET /verify_webhook/outcomes` | Return the outcomes of recent deliveries
// `GET /verify_webhook/handshakes?provider=<name>` | List the secrets that providers sent in handshakes
// `POST /verify_webhook/handshakes?provider=<name>` | Accept handshakes for a limited time
// `DELETE /verify_webhook/handshakes?provider=<name>` | Remove the secrets that are listed
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.verify_webhook", New: func() caddy.Module { return new(adminAPI) }}
}

// Routes implements caddy.AdminRouter.
func (*adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: AdminForgetPath, Handler: caddy.AdminHandlerFunc(serveForget)},
		{Pattern: AdminSeenPath, Handler: caddy.AdminHandlerFunc(serveSeen)},
		{Pattern: AdminHandshakesPath, Handler: caddy.AdminHandlerFunc(serveHandshakes)},
		{Pattern: AdminOutcomesPath, Handler: caddy.AdminHandlerFunc(serveOutcomes)},
	}
}

// adminQuery is a query to the admin API.
type adminQuery struct {
	// Provider is the name of a provider or of an endpoint.
	Provider string `json:"provider"`
	ID       string `json:"id"`
}

// serveSeen handles GET with the query parameters provider and id.
func serveSeen(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return wrongMethod(w, http.MethodGet)
	}
	query := r.URL.Query()
	return runAdminQuery(w, r, adminQuery{query.Get("provider"), query.Get("id")}, (*Handler).seen)
}

// serveForget handles POST with a JSON object of provider and id.
func serveForget(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return wrongMethod(w, http.MethodPost)
	}
	var q adminQuery
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAdminBody))
	in.DisallowUnknownFields()
	if err := in.Decode(&q); err != nil {
		return adminError(http.StatusBadRequest, fmt.Errorf("reading the request: %w", err))
	}
	return runAdminQuery(w, r, q, (*Handler).forgetOnPurpose)
}

// runAdminQuery runs a query on each matching endpoint and writes the results.
func runAdminQuery(w http.ResponseWriter, r *http.Request, q adminQuery, ask func(*Handler, context.Context, string) ([]DeliveryStatus, error)) error {
	if q.Provider == "" || q.ID == "" {
		return adminError(http.StatusBadRequest, errors.New("provider and id must not be empty"))
	}
	app := apps.latest()
	if app == nil {
		return adminError(http.StatusNotFound, errors.New("the running config has no verify_webhook endpoint"))
	}
	endpoints, known := app.endpointsOf(q.Provider)
	if len(endpoints) == 0 {
		return adminError(http.StatusNotFound, fmt.Errorf("the running config has no endpoint of %q%s; available: %s", q.Provider, suggestion(q.Provider, known), strings.Join(known, ", ")))
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	var all []DeliveryStatus
	for _, h := range endpoints {
		if !h.info().Coverage.HasID {
			continue
		}
		statuses, err := h.queryOpen(ctx, q.ID, ask)
		if errors.Is(err, errors.ErrUnsupported) {
			return adminError(http.StatusNotImplemented, fmt.Errorf("%s: %w", h.endpointName(), err))
		}
		if err != nil {
			return adminError(http.StatusServiceUnavailable, fmt.Errorf("querying the replay store of %s: %w", h.endpointName(), err))
		}
		all = append(all, statuses...)
	}
	if len(all) == 0 {
		return adminError(http.StatusBadRequest, fmt.Errorf("deliveries of %s have no ID: they are identified by their content", q.Provider))
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(all)
}

// suggestion returns ", did you mean …?" for a misspelled name, or "" if no
// known name is similar.
func suggestion(name string, known []string) string {
	if near := option.Nearest(strings.ToLower(name), known); near != "" {
		return ", did you mean " + near + "?"
	}
	return ""
}

// queryOpen runs a query on an endpoint and keeps its store open meanwhile.
func (h *Handler) queryOpen(ctx context.Context, id string, ask func(*Handler, context.Context, string) ([]DeliveryStatus, error)) ([]DeliveryStatus, error) {
	if err := h.shared.use(ctx); err != nil {
		return nil, err
	}
	defer h.shared.done()
	return ask(h, ctx, id)
}

func wrongMethod(w http.ResponseWriter, method string) error {
	w.Header().Set("Allow", method)
	return adminError(http.StatusMethodNotAllowed, fmt.Errorf("the method must be %s", method))
}

func adminError(status int, err error) error {
	return caddy.APIError{HTTPStatus: status, Err: err}
}

// Interface guards.
var (
	_ caddy.Module      = adminAPI{}
	_ caddy.AdminRouter = (*adminAPI)(nil)
)
