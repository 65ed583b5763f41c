package caddymodule

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/body"
	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

const (
	appID = "verify_webhook"
	// StoreNamespace is the Caddy namespace of the replay stores.
	StoreNamespace = "http.verify_webhook.stores"
	// defaultStore is loaded if the config names none.
	defaultStore = StoreNamespace + ".file"
	// QueueNamespace is the Caddy namespace of the stores of `webhook_queue`.
	QueueNamespace = "http.verify_webhook.queues"
	// defaultQueue is loaded if the config names none.
	defaultQueue = QueueNamespace + ".file"

	defaultBodyMemory = 256 << 20
	defaultBodyDisk   = 2 << 30
)

func init() { caddy.RegisterModule(new(App)) }

// App contains the settings that all `verify_webhook` endpoints of a config share: the
// default replay store, the store of queues, and how much memory and disk the
// bodies in flight can use.
//
// Syntax of the global option:
//
//	{
//		verify_webhook {
//			store       <type> [<arguments...>]
//			queue       <type> [<arguments...>]
//			body_memory <size>
//			body_disk   <size>
//		}
//	}
type App struct {
	// The replay store of endpoints that configure none. Default: `file`.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=http.verify_webhook.stores inline_key=type"`

	// Where `webhook_queue` stores deliveries until the app has handled them.
	// Default: `file`.
	QueueRaw json.RawMessage `json:"queue,omitempty" caddy:"namespace=http.verify_webhook.queues inline_key=type"`

	// How many bytes of memory all bodies in flight can use together. Further
	// ones go to temporary files. Default: 256 MiB.
	BodyMemory int64 `json:"body_memory,omitempty"`

	// How many bytes of temporary files all bodies in flight can use together.
	// Further deliveries get 503. Default: 2 GiB.
	BodyDisk int64 `json:"body_disk,omitempty"`

	ctx    caddy.Context
	budget *body.Budget
	store  *configStore // the default store, nil until an endpoint needs it
	queue  any          // the module of QueueRaw, nil until a handler needs it

	mu        sync.Mutex // metrics can be collected while handlers are added
	endpoints []*Handler
	secrets   map[*Handler][]signature.Identity // in use now
	stores    []*configStore
	onStart   []func() error
	onStop    []func()
	onForget  []func(ctx context.Context, key string) error
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: appID, New: func() caddy.Module { return new(App) }}
}

// budget is shared by the whole process: during a reload two configs have
// bodies in flight.
var budget = body.NewBudget(defaultBodyMemory, defaultBodyDisk)

// Provision implements caddy.Provisioner.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx = ctx
	a.budget = budget
	a.BodyMemory = cmp.Or(a.BodyMemory, defaultBodyMemory)
	a.BodyDisk = cmp.Or(a.BodyDisk, defaultBodyDisk)
	registry := ctx.GetMetricsRegistry()
	if err := registerMetrics(registry); err != nil {
		return err
	}
	return register(registry, stateCollector{a})
}

// Validate implements caddy.Validator.
func (a *App) Validate() error {
	if err := option.NotNegative("body_memory", a.BodyMemory, defaultBodyMemory); err != nil {
		return err
	}
	return option.NotNegative("body_disk", a.BodyDisk, defaultBodyDisk)
}

// OnStart registers f to be called when the config's app starts, and OnStop
// when it stops. Handlers that work in the background call them while they are
// provisioned. An error of f fails the config. Caddy does not stop an app whose
// start failed, so the handler's Cleanup must also end what f started.
func (a *App) OnStart(f func() error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.onStart = append(a.onStart, f)
}

// OnStop registers f to be called when the config's app stops. Functions are
// called in reverse order of registration.
func (a *App) OnStop(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.onStop = append(a.onStop, f)
}

// OnForget registers f to be called with the `Webhook-Verified-Key` of a
// delivery whose redelivery an operator allows. Handlers that remember
// deliveries by their keys call it while they are provisioned.
func (a *App) OnForget(f func(ctx context.Context, key string) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.onForget = append(a.onForget, f)
}

// forget calls the functions registered with OnForget.
func (a *App) forget(ctx context.Context, key string) error {
	a.mu.Lock()
	all := slices.Clone(a.onForget)
	a.mu.Unlock()
	for _, f := range all {
		if err := f(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// LoadQueue returns the module that stores the deliveries of `webhook_queue`. A
// config has one. Handlers call it while they are provisioned.
func (a *App) LoadQueue() (any, error) {
	if a.queue != nil {
		return a.queue, nil
	}
	var err error
	if a.QueueRaw != nil {
		a.queue, err = a.ctx.LoadModule(a, "QueueRaw")
	} else {
		a.queue, err = a.ctx.LoadModuleByID(defaultQueue, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("loading queue store: %w", err)
	}
	return a.queue, nil
}

// hooks returns the functions to call at start and at stop.
func (a *App) hooks() (start []func() error, stop []func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.onStart), slices.Clone(a.onStop)
}

// Start implements caddy.App.
func (a *App) Start() error {
	if err := a.openStores(); err != nil {
		return err
	}
	a.budget.Resize(a.BodyMemory, a.BodyDisk)
	if err := a.nameEndpoints(a.httpApp()); err != nil {
		return err
	}
	start, _ := a.hooks()
	for _, f := range start {
		if err := f(); err != nil {
			return err
		}
	}
	apps.started(a)
	a.report()
	return nil
}

// report logs the endpoints and warns of likely mistakes in the routes of the
// HTTP app. Provision cannot do it: the HTTP app is not loaded yet, and loading
// it would load this app recursively.
func (a *App) report() {
	logger := a.ctx.Logger()
	if names, stores := a.summary(); len(names) > 0 {
		logger.Info("verifying webhooks", zap.Int("endpoints", len(names)), zap.Strings("names", names), zap.Strings("stores", stores))
	}
	if a.BodyMemory < smallBudget || a.BodyDisk < smallBudget {
		logger.Warn("body_memory or body_disk is less than 1 MiB, so deliveries get 503: write a unit, for example body_memory 256MiB (in JSON a number is bytes)",
			zap.Int64("body_memory", a.BodyMemory), zap.Int64("body_disk", a.BodyDisk))
	}
	for _, h := range a.endpoints {
		for _, text := range h.unlikely() {
			logger.Warn(text, zap.String("provider", h.info().Name), zap.String("endpoint", h.endpointName()))
		}
	}
	if app := a.httpApp(); app != nil {
		for _, text := range checkRoutes(app) {
			logger.Warn(text)
		}
		for _, text := range checkOtherPaths(app) {
			logger.Named("routes").Warn(text)
		}
	}
	if _, stores := a.summary(); slices.ContainsFunc(stores, func(label string) bool { return label == "memory" || strings.HasPrefix(label, "memory ") }) {
		logger.Named("store").Warn("store memory forgets handled deliveries when Caddy stops, and no other Caddy instance shares it: write store file or, for several instances, store redis")
	}
}

// httpApp returns the HTTP app of the config, or nil if there is none. Provision
// must not call it: the HTTP app is not loaded yet, and loading it would load
// this app recursively.
func (a *App) httpApp() *caddyhttp.App {
	app, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return nil
	}
	found, _ := app.(*caddyhttp.App)
	return found
}

// summary returns the names of the endpoints, with the mode of those that do
// not enforce, and the stores in use.
func (a *App) summary() (names, stores []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, h := range a.endpoints {
		name := h.endpointName()
		if h.Mode != modeEnforce {
			name += " (mode " + h.Mode + ")"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	for _, s := range a.stores {
		stores = append(stores, s.label)
	}
	slices.Sort(stores)
	return names, slices.Compact(stores)
}

// Stop implements caddy.App.
func (a *App) Stop() error {
	apps.stopped(a)
	_, stop := a.hooks()
	for _, f := range slices.Backward(stop) {
		f()
	}
	return nil
}

// Cleanup implements caddy.CleanerUpper. The config is no longer in use. Stop
// was not called if Start, or Caddy after it, failed.
func (a *App) Cleanup() error {
	apps.stopped(a)
	a.mu.Lock()
	stores := a.stores
	a.stores = nil
	a.mu.Unlock()
	for _, s := range stores {
		s.done()
	}
	return nil
}

// register adds an endpoint. Endpoints that share a secret must set a namespace:
// otherwise one would reject the other's deliveries as duplicates, or both
// would accept the same delivery once.
func (a *App) register(h *Handler) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.checkShared(h, h.info().Secrets); err != nil {
		return err
	}
	a.endpoints = append(a.endpoints, h)
	a.keepSecrets(h, h.info().Secrets)
	return nil
}

func (a *App) keepSecrets(h *Handler, secrets []signature.Identity) {
	if a.secrets == nil {
		a.secrets = make(map[*Handler][]signature.Identity)
	}
	a.secrets[h] = secrets
}

func (a *App) checkShared(h *Handler, secrets []signature.Identity) error {
	for _, other := range a.endpoints {
		if other == h || (h.Namespace != "" && other.Namespace != "") {
			continue
		}
		for _, mine := range secrets {
			for _, theirs := range a.secrets[other] {
				if mine.Fingerprint == theirs.Fingerprint {
					return fmt.Errorf("two endpoints share a secret (secret %s of %s, and secret %s of %s): set `namespace` for both: the same if a delivery to one counts for the other, or different ones if each can receive the same delivery",
						theirs.Label, other.info().Name, mine.Label, h.info().Name)
				}
			}
		}
	}
	return nil
}

// rotated records secrets that changed in a running config. It is too late to
// reject them: deliveries signed with them are already in transit.
func (a *App) rotated(h *Handler, secrets []signature.Identity) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keepSecrets(h, secrets)
	return a.checkShared(h, secrets)
}

// endpointKind is the set of labels by which metrics count endpoints.
type endpointKind struct{ provider, endpoint, mode string }

// inventory counts the endpoints and returns the open stores by label.
func (a *App) inventory() (map[endpointKind]int64, map[string]replay.StatsReporter) {
	a.mu.Lock()
	defer a.mu.Unlock()
	endpoints := make(map[endpointKind]int64)
	for _, h := range a.endpoints {
		endpoints[endpointKind{h.info().Name, h.endpointName(), h.Mode}]++
	}
	stores := make(map[string]replay.StatsReporter)
	for _, s := range a.stores {
		if s.isOpen() {
			stores[s.label] = s
		}
	}
	return endpoints, stores
}

// storeFor returns the store of an endpoint: its own, or the default.
func (a *App) storeFor(ctx caddy.Context, r *Replay) (*configStore, error) {
	if r.StoreRaw != nil {
		return a.loadStore(ctx.LoadModule(r, "StoreRaw"))
	}
	if a.store != nil {
		return a.store, nil
	}
	var err error
	if a.StoreRaw != nil {
		a.store, err = a.loadStore(a.ctx.LoadModule(a, "StoreRaw"))
	} else {
		a.store, err = a.loadStore(a.ctx.LoadModuleByID(defaultStore, nil))
	}
	return a.store, err
}

// loadStore returns the store of a module. It is opened later.
func (a *App) loadStore(m any, err error) (*configStore, error) {
	if err != nil {
		return nil, fmt.Errorf("loading replay store: %w", err)
	}
	s, ok := m.(StoreModule)
	if !ok {
		return nil, fmt.Errorf("module %T is not a replay store", m)
	}
	return a.addStore(storeLabel(s), s.Open), nil
}

// addStore adds a store to those of the config. Metrics merge stores with the
// same label, so labels should differ only if the stored data does.
func (a *App) addStore(label string, open func() (replay.Store, func() error, error)) *configStore {
	s := newConfigStore(label, open)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stores = append(a.stores, s)
	return s
}

// openStores opens each store of the config that no delivery has opened yet.
func (a *App) openStores() error {
	a.mu.Lock()
	stores := slices.Clone(a.stores)
	a.mu.Unlock()
	for _, s := range stores {
		if err := s.await(context.Background()); err != nil {
			return err
		}
	}
	return nil
}

// Interface guards.
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.Validator    = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
