package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/body"
	"github.com/verify-webhook/caddy-verify-webhook/internal/filewatch"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// Defaults.
const (
	defaultMaxBody = 25 << 20
	// defaultSlowBody applies to a body that is hashed with SHA-384 or SHA-512, that
	// is a form whose fields are hashed, or that is compressed and hashed
	// uncompressed. No sender of such hashes documents larger deliveries. A push to
	// Gitea, Forgejo or Gogs names the changed files of up to 15 commits, about 40,000
	// in a form of this size. A compressed body that is longer usually exceeds what it
	// may have when uncompressed.
	defaultSlowBody    = 4 << 20
	defaultBodyTimeout = 30 * time.Second
	defaultAppTimeout  = 5 * time.Minute
	defaultLease       = time.Minute
	defaultWait        = 10 * time.Second
	defaultMaxWaiting  = 256
	// defaultWindow is for a provider that does not document its retries.
	defaultWindow = 7 * 24 * time.Hour
	// inMemory is the size up to which a body is kept in memory.
	inMemory = 1 << 20
	// storeTimeout bounds a call to the store.
	storeTimeout = 5 * time.Second
	// maxBackground is how many deliveries of an endpoint may have their
	// claims ended in the background, while the store fails.
	maxBackground = 1024
)

// Provision implements caddy.Provisioner.
func (h *Handler) Provision(ctx caddy.Context) error {
	if h.logger == nil {
		h.logger = ctx.Logger()
	}
	h.inConfig = h.placeInConfig(ctx)
	if err := h.provision(ctx); err != nil {
		return h.configError(h.inConfig, err)
	}
	return nil
}

func (h *Handler) provision(ctx caddy.Context) error {
	h.log = newBoundedLog(h.logger)
	h.providerJSON = slices.Clone(h.ProviderRaw) // Caddy clears it after loading it
	if h.now == nil {
		h.now = time.Now
	}
	secretFiles := filewatch.InJSON(h.ProviderRaw)
	if h.handshakes == nil {
		h.handshakes = &handshakes
	}
	if err := h.loadProvider(ctx); err != nil {
		return err
	}
	h.setDefaults()
	if err := h.findApp(ctx); err != nil {
		return err
	}
	if err := h.app.register(h); err != nil {
		return err
	}
	var err error
	if err := h.identify(h.endpointName()); err != nil {
		return err
	}
	h.startRotation(ctx, secretFiles)
	h.waiting = make(chan struct{}, max(0, h.Replay.MaxWaiting))
	h.background = make(chan struct{}, maxBackground)
	h.ownStore = h.Replay.StoreRaw != nil // Caddy clears it after loading it
	if h.shared, err = h.app.storeFor(ctx, &h.Replay); err != nil {
		return err
	}
	h.store = h.shared.meteredStore
	return nil
}

// Cleanup implements caddy.CleanerUpper.
func (h *Handler) Cleanup() error {
	if id := h.identity.Swap(nil); id != nil {
		return id.metrics.release()
	}
	return nil
}

// findApp returns the app of the config. A trial has an app of its own.
func (h *Handler) findApp(ctx caddy.Context) error {
	if h.app != nil {
		return nil
	}
	app, err := ctx.App(appID)
	if err != nil {
		return fmt.Errorf("loading the verify_webhook app: %w", err)
	}
	h.app = app.(*App)
	return nil
}

func (h *Handler) loadProvider(ctx caddy.Context) error {
	if h.ProviderRaw == nil {
		return errors.New("no provider: write its name after verify_webhook, for example `verify_webhook github {env.NAME}`")
	}
	m, err := ctx.LoadModule(h, "ProviderRaw")
	if err != nil {
		return fmt.Errorf("loading provider: %w", err)
	}
	p, ok := m.(provider.Provider)
	if !ok {
		return fmt.Errorf("module %T is not a provider", m)
	}
	h.current.Store(newLoadedProvider(p))
	return nil
}

func (h *Handler) setDefaults() {
	h.Mode = cmp.Or(h.Mode, modeEnforce)
	h.slowMaxBody = cmp.Or(h.MaxBody, h.info().MaxBody, defaultSlowBody)
	h.MaxBody = cmp.Or(h.MaxBody, h.info().MaxBody, defaultMaxBody)
	h.BodyTimeout = cmp.Or(h.BodyTimeout, caddy.Duration(defaultBodyTimeout))
	h.AppTimeout = cmp.Or(h.AppTimeout, caddy.Duration(defaultAppTimeout))
	r := &h.Replay
	r.Window = cmp.Or(r.Window, caddy.Duration(h.info().Window), caddy.Duration(defaultWindow))
	r.Lease = cmp.Or(r.Lease, caddy.Duration(defaultLease))
	r.OnDuplicate = cmp.Or(r.OnDuplicate, http.StatusOK)
	r.OnReplay = cmp.Or(r.OnReplay, http.StatusOK)
	r.OnStoreError = cmp.Or(r.OnStoreError, "reject")
	r.Wait = cmp.Or(r.Wait, caddy.Duration(defaultWait))
	r.MaxWaiting = cmp.Or(r.MaxWaiting, defaultMaxWaiting)
	if len(r.Handled) == 0 {
		r.Handled = []int{2}
	}
	h.limits = body.Limits{MaxSize: h.MaxBody, InMemory: min(inMemory, h.MaxBody)}
}
