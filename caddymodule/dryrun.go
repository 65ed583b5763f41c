package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/body"
	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/memory"
)

func init() {
	dryrun.Provision = func(ctx context.Context, config json.RawMessage, now func() time.Time) (caddyhttp.MiddlewareHandler, func(), error) {
		h := &Handler{logger: zap.NewNop(), now: now}
		cleanup, err := h.provisionAlone(ctx, config)
		return h, cleanup, err
	}
}

// provisionAlone provisions a handler as Caddy does when it loads a config, with its
// own app. After an error no cleanup is needed.
func (h *Handler) provisionAlone(ctx context.Context, config json.RawMessage) (cleanup func(), err error) {
	if err := caddy.StrictUnmarshalJSON(config, h); err != nil {
		return nil, fmt.Errorf("reading the handler's config: %w", err)
	}
	h.app = newAppInMemory()
	h.aside = dryrun.IsAside(ctx)
	h.handshakes = new(handshakeDesk)
	c, cancel := caddy.NewContext(caddy.Context{Context: ctx})
	cleanup = func() {
		// Their state is not needed.
		_ = h.Cleanup()
		_ = h.app.Cleanup()
		if h.aside {
			forgetStoreMetrics(trialStore)
		}
		cancel()
	}
	for _, step := range []func() error{func() error { return h.Provision(c) }, h.Validate, h.app.openStores} {
		if err := step(); err != nil {
			cleanup()
			return nil, err
		}
	}
	return cleanup, nil
}

// trialStore is the label of the store of a dry run.
const trialStore = "trial"

// newAppInMemory returns an app whose default store is in memory.
func newAppInMemory() *App {
	a := &App{budget: body.NewBudget(defaultBodyMemory, defaultBodyDisk)}
	a.store = a.addStore(trialStore, func() (replay.Store, func() error, error) {
		return memory.New(memory.Options{}), nil, nil
	})
	return a
}
