package inspector

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
)

// call is a function of the page and the admin API.
type call struct {
	method string
	serve  func(*http.Request) (any, error) // nil: the stream
}

// The paths that the page requests.
var calls = map[string]call{
	"/api/stream":   {http.MethodGet, nil},
	"/api/delivery": {http.MethodGet, serveDelivery},
	"/api/curl":     {http.MethodGet, serveCurl},
	"/api/http":     {http.MethodGet, serveHTTPFile},
	"/api/explain":  {http.MethodPost, serveExplain},
	"/api/forget":   {http.MethodPost, serveForget},
	"/api/queue":    {http.MethodPost, serveQueue},
	"/api/clear":    {http.MethodPost, serveClear},
}

// numbered returns the delivery whose number is in the request.
func numbered(text string) (*record, error) {
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, errorf(http.StatusBadRequest, "missing or invalid number")
	}
	one := deliveries.find(number)
	if one == nil {
		return nil, errorf(http.StatusNotFound, "delivery %d is not in memory: it has expired, or it arrived while nothing was captured", number)
	}
	return one, nil
}

// question is the body of a POST.
type question struct {
	Number uint64 `json:"number"`
	// Action is the action on a queued delivery.
	Action string `json:"action,omitempty"`
	// Override contains the flags of `explain` on the command line. The page does
	// not send it.
	Override *Override `json:"override,omitempty"`
}

// maxQuestion is the maximum size of a POST's body, in bytes.
const maxQuestion = 1 << 20

func readQuestion(r *http.Request) (q question, one *record, err error) {
	in := json.NewDecoder(io.LimitReader(r.Body, maxQuestion))
	in.DisallowUnknownFields()
	if err := in.Decode(&q); err != nil {
		return q, nil, errorf(http.StatusBadRequest, "reading the request: %w", err)
	}
	one, err = numbered(strconv.FormatUint(q.Number, 10))
	return q, one, err
}

// serveDelivery returns a delivery with all details.
func serveDelivery(r *http.Request) (any, error) {
	one, err := numbered(r.URL.Query().Get("number"))
	if err != nil {
		return nil, err
	}
	d := one.detail()
	d.Same = deliveries.same(one)
	endpoint, ok := caddymodule.FindEndpoint(one.o.Endpoint, one.o.Provider)
	if !ok {
		return d, nil
	}
	d.Claim = claimText(r.Context(), endpoint, one)
	d.CanForget = one.o.ID != "" && endpoint.HasID()
	d.Queue = queued(r.Context(), one)
	return d, nil
}

// claimText describes the current state of a delivery in the replay store.
func claimText(ctx context.Context, e caddymodule.Endpoint, one *record) string {
	state, known, err := e.ClaimState(ctx, one.o)
	switch {
	case err != nil:
		return "the replay store is unavailable"
	case !known:
		return ""
	}
	return state.String()
}

// serveForget lets a delivery in again.
func serveForget(r *http.Request) (any, error) {
	_, one, err := readQuestion(r)
	if err != nil {
		return nil, err
	}
	endpoint, ok := caddymodule.FindEndpoint(one.o.Endpoint, one.o.Provider)
	if !ok {
		return nil, errorf(http.StatusNotFound, "the running config no longer has the endpoint %s", one.o.Endpoint)
	}
	if one.o.ID == "" || !endpoint.HasID() {
		return nil, errorf(http.StatusBadRequest, "the delivery has no verified ID, which forget needs")
	}
	statuses, err := endpoint.Forget(r.Context(), one.o.ID)
	if err != nil {
		return nil, errorf(http.StatusServiceUnavailable, "querying the replay store: %w", err)
	}
	return statuses, nil
}

// serveClear removes all captured deliveries.
func serveClear(r *http.Request) (any, error) {
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxQuestion))
	deliveries.clear()
	return struct{}{}, nil
}

var instance = rand.Text()

// settings are the settings of the capture, for the page.
type settings struct {
	// Always: also while no page or `watch` is open.
	Always bool `json:"always"`
	// Instance changes when Caddy restarts, and numbering starts again.
	Instance string `json:"instance"`
	Last     int    `json:"last"`
	Bodies   int64  `json:"bodies"`
	// Endpoints are the names of the endpoints of the running config.
	Endpoints []string `json:"endpoints"`
	Outcomes  []string `json:"outcomes"`
}

func currentSettings() settings {
	deliveries.mu.Lock()
	c, always := deliveries.capture(), len(deliveries.configs) > 0
	deliveries.mu.Unlock()
	s := settings{Always: always, Instance: instance, Last: c.Last, Bodies: c.Bodies, Endpoints: []string{}}
	for _, e := range caddymodule.Endpoints() {
		s.Endpoints = append(s.Endpoints, e.Name())
	}
	for _, o := range caddymodule.Outcomes {
		s.Outcomes = append(s.Outcomes, string(o))
	}
	return s
}
