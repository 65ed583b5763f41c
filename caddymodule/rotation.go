package caddymodule

import (
	"context"

	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/internal/filewatch"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// loadedProvider is the provider of an endpoint with what is derived from it.
// Rotation replaces it as a whole: each delivery uses one value from its first check
// to its last, and sees one consistent state.
type loadedProvider struct {
	provider.Provider
	info     provider.Info
	unsigned unsignedLists
}

func newLoadedProvider(p provider.Provider) *loadedProvider {
	info := p.Info()
	return &loadedProvider{p, info, listUnsigned(info)}
}

// info describes the current provider.
func (h *Handler) info() *provider.Info { return &h.current.Load().info }

// startRotation re-reads the provider's secrets when their files change, if it has
// files and supports renewal. If a file is unreadable, blank or invalid, the old
// secrets stay in use.
func (h *Handler) startRotation(ctx context.Context, files *filewatch.Watch) {
	if _, ok := h.current.Load().Provider.(provider.Renewable); !ok || len(files.Files()) == 0 {
		return
	}
	go files.Run(ctx, func() { h.renew(files.Files()) })
}

// renew replaces the provider with one that has the current secrets of the files.
func (h *Handler) renew(files []string) {
	current := h.current.Load()
	renewed, err := current.Provider.(provider.Renewable).Renew()
	if err != nil {
		h.identity.Load().metrics.outdated.Set(1)
		h.logger.Error("a changed secret file cannot be used; the previous secrets stay in use",
			zap.String("provider", current.info.Name), zap.Strings("files", files), zap.Error(err))
		return
	}
	next := newLoadedProvider(renewed)
	h.current.Store(next)
	h.identity.Load().metrics.outdated.Set(0)
	h.logger.Info("reloaded secrets from changed files", zap.String("provider", next.info.Name), zap.Strings("files", files))
	if err := h.app.rotated(h, next.info.Secrets); err != nil {
		h.logger.Error("a reloaded secret is also used by another endpoint: deliveries to one are duplicates at the other",
			zap.String("provider", next.info.Name), zap.String("endpoint", h.endpointName()), zap.Error(err))
	}
}
