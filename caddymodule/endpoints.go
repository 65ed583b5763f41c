package caddymodule

import (
	"context"
	"encoding/json"
	"slices"

	"go.uber.org/zap"
)

// Endpoint is an endpoint of the running config, for tools that an operator
// uses.
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

// FindEndpoint returns the endpoint that logs and metrics call name. ok is false
// if the running config has none.
func FindEndpoint(name, providerName string) (e Endpoint, ok bool) {
	all := Endpoints()
	i := slices.IndexFunc(all, func(e Endpoint) bool { return e.Name() == name && e.Provider() == providerName })
	if i < 0 {
		return Endpoint{}, false
	}
	return all[i], true
}

// Name is what logs and metrics call the endpoint.
func (e Endpoint) Name() string { return e.h.endpointName() }

// Provider is the provider's name.
func (e Endpoint) Provider() string { return e.h.facts().Name }

// Mode is enforce or monitor.
func (e Endpoint) Mode() string { return e.h.Mode }

// ProviderJSON is the provider's JSON as in the config. Secrets are in it as the
// config has them, best as placeholders.
func (e Endpoint) ProviderJSON() json.RawMessage { return e.h.providerJSON }

// HasID reports whether deliveries have an ID, by which they can be looked up and
// forgotten.
func (e Endpoint) HasID() bool { return e.h.facts().Traits.HasID }

// Forget lets the delivery with an ID through again, as the admin API does.
func (e Endpoint) Forget(ctx context.Context, id string) ([]DeliveryStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return e.h.askOpen(ctx, id, (*Handler).forgetOnPurpose)
}

// forgetOnPurpose forgets an ID and logs that.
func (h *Handler) forgetOnPurpose(ctx context.Context, id string) ([]DeliveryStatus, error) {
	statuses, err := h.forget(ctx, id)
	if slices.ContainsFunc(statuses, func(s DeliveryStatus) bool { return s.Forgotten }) {
		h.logger.Info("forgot a handled delivery on purpose", zap.String("provider", h.facts().Name), zap.String("endpoint", h.endpointName()), zap.String("id", id))
	}
	return statuses, err
}
