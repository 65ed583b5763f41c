package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// AdminHandshakesPath is the admin API's path for the secrets in handshakes.
const AdminHandshakesPath = "/verify_webhook/handshakes"

// HandshakesAccepted is the response to a request to accept handshakes.
type HandshakesAccepted struct {
	Endpoints []string  `json:"endpoints"`
	Until     time.Time `json:"until"`
}

// serveHandshakes returns the secrets in handshakes for GET. DELETE removes them and
// returns their number: those of the endpoint or provider in the query parameter
// provider, or all. POST makes endpoints accept handshakes for some time.
func serveHandshakes(w http.ResponseWriter, r *http.Request) error {
	name := r.URL.Query().Get("provider")
	switch r.Method {
	case http.MethodGet:
		return writeAdmin(w, handshakes.list(name, time.Now()))
	case http.MethodDelete:
		return writeAdmin(w, map[string]int{"removed": handshakes.forget(name, time.Now())})
	case http.MethodPost:
		return acceptHandshakes(w, r)
	}
	return wrongMethod(w, "GET, POST, DELETE")
}

// handshakesRequest is the body of a POST.
type handshakesRequest struct {
	Provider string         `json:"provider"`
	Accept   caddy.Duration `json:"accept"`
}

func acceptHandshakes(w http.ResponseWriter, r *http.Request) error {
	var q handshakesRequest
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAdminBody))
	in.DisallowUnknownFields()
	if err := in.Decode(&q); err != nil {
		return adminError(http.StatusBadRequest, fmt.Errorf("reading the request: %w", err))
	}
	if q.Provider == "" {
		return adminError(http.StatusBadRequest, errors.New("provider must not be empty"))
	}
	period := time.Duration(q.Accept)
	if period < time.Second || period > maxHandshakeTime {
		return adminError(http.StatusBadRequest, fmt.Errorf("accept %s is not between 1s and %s: write, for example, 10m", period, maxHandshakeTime))
	}
	app := apps.latest()
	if app == nil {
		return adminError(http.StatusNotFound, errors.New("the running config has no verify_webhook endpoint"))
	}
	endpoints, known := app.endpointsOf(q.Provider)
	if len(endpoints) == 0 {
		return adminError(http.StatusNotFound, fmt.Errorf("the running config has no endpoint of %q; available: %s", q.Provider, strings.Join(known, ", ")))
	}
	answer := HandshakesAccepted{Until: time.Now().Add(period).UTC()}
	for _, h := range endpoints {
		if !h.info().TakesHandshake {
			return adminError(http.StatusBadRequest, fmt.Errorf("%s has no handshake that needs accept_handshake", h.endpointName()))
		}
	}
	for _, h := range endpoints {
		handshakes.accept(h.endpointName(), answer.Until)
		answer.Endpoints = append(answer.Endpoints, h.endpointName())
		h.logger.Warn("accepting handshakes for some time, requested by a command", zap.String("provider", h.info().Name), zap.String("endpoint", h.endpointName()), zap.Time("until", answer.Until))
	}
	return writeAdmin(w, answer)
}

// writeAdmin writes a response that contains secrets.
func writeAdmin(w http.ResponseWriter, answer any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(answer)
}
