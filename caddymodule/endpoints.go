package caddymodule

import (
	"context"
	"encoding/json"
	"slices"

	"go.uber.org/zap"
)

// Endpoint is an endpoint of the running config, for operators' tools.
type Endpoint struct{ h *Handler }

// Endpoints returns the endpoints of the running config.
func Endpoints() []Endpoint {
	app := apps.latest()
	if app == nil {
		return nil
	}
	app.mu.Lock()
	defer app.mu.Unlock()
	var all []Endpoint
	for _, h := range app.endpoints {
		all = append(all, Endpoint{h})
	}
	return all
}

// FindEndpoint returns the endpoint with this name in logs and metrics. ok is false
// if the running config has none.
func FindEndpoint(name, providerName string) (e Endpoint, ok bool) {
	all := Endpoints()
	i := slices.IndexFunc(all, func(e Endpoint) bool { return e.Name() == name && e.Provider() == providerName })
	if i < 0 {
		return Endpoint{}, false
	}
	return all[i], true
}

// Name returns the endpoint's name in logs and metrics.
func (e Endpoint) Name() string { return e.h.endpointName() }

// Provider returns the provider's name.
func (e Endpoint) Provider() string { return e.h.info().Name }

// Mode returns enforce or monitor.
func (e Endpoint) Mode() string { return e.h.Mode }

// ProviderJSON returns the provider's JSON as in the config. Secrets are as in the
// config, usually placeholders.
func (e Endpoint) ProviderJSON() json.RawMessage { return e.h.providerJSON }

// HasID reports whether deliveries have an ID with which they can be looked up and
// forgotten.
func (e Endpoint) HasID() bool { return e.h.info().Coverage.HasID }

// Forget lets the delivery with an ID in again, as the admin API does.
func (e Endpoint) Forget(ctx context.Context, id string) ([]DeliveryStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return e.h.queryOpen(ctx, id, (*Handler).forgetOnPurpose)
}

// forgetOnPurpose forgets an ID and logs it.
func (h *Handler) forgetOnPurpose(ctx context.Context, id string) ([]DeliveryStatus, error) {
	statuses, err := h.forget(ctx, id)
	if slices.ContainsFunc(statuses, func(s DeliveryStatus) bool { return s.Forgotten }) {
		h.logger.Info("forgot a handled delivery as requested", zap.String("provider", h.info().Name), zap.String("endpoint", h.endpointName()), zap.String("id", id))
	}
	return statuses, err
}
