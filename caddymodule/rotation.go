package caddymodule

import (
	"context"

	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/internal/filewatch"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// loadedProvider is the provider of an endpoint with what is derived from it.
// Rotation replaces it as a whole: a delivery uses one from its first check to
// its last, and no delivery sees half a change.
type loadedProvider struct {
	provider.Provider
	facts    provider.Facts
	unsigned unsignedLists
}

func newLoadedProvider(p provider.Provider) *loadedProvider {
	facts := p.Facts()
	return &loadedProvider{p, facts, listUnsigned(facts)}
}

// facts are those of the provider in use.
func (h *Handler) facts() *provider.Facts { return &h.current.Load().facts }

// startRotation reads the provider's secrets again when their files change, if it
// has any and can read them again. A file that is unreadable, blank or otherwise
// wrong leaves the old secrets in use.
func (h *Handler) startRotation(ctx context.Context, files *filewatch.Watch) {
	if _, ok := h.current.Load().Provider.(provider.Renewable); !ok || len(files.Files()) == 0 {
		return
	}
	go files.Run(ctx, func() { h.renew(files.Files()) })
}

// renew replaces the provider by one with the secrets that the files have now.
func (h *Handler) renew(files []string) {
	current := h.current.Load()
	renewed, err := current.Provider.(provider.Renewable).Renew()
	if err != nil {
		h.identity.Load().metrics.outdated.Set(1)
		h.logger.Error("a file with a webhook secret has changed, but cannot be used; the previous secrets stay in use",
			zap.String("provider", current.facts.Name), zap.Strings("files", files), zap.Error(err))
		return
	}
	next := newLoadedProvider(renewed)
	h.current.Store(next)
	h.identity.Load().metrics.outdated.Set(0)
	h.logger.Info("reloaded secrets from changed files", zap.String("provider", next.facts.Name), zap.Strings("files", files))
	if err := h.app.rotated(h, next.facts.Secrets); err != nil {
		h.logger.Error("a reloaded secret is in use elsewhere: deliveries to one endpoint are taken for duplicates at the other",
			zap.String("provider", next.facts.Name), zap.String("endpoint", h.endpointName()), zap.Error(err))
	}
}
