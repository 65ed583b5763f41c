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

// call is what the page, and the admin API, can ask.
type call struct {
	method string
	serve  func(*http.Request) (any, error) // nil: the stream
}

// The page asks under these paths.
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

// numbered returns the delivery whose number a request has.
func numbered(text string) (*record, error) {
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, errorf(http.StatusBadRequest, "number is missing or is not a number")
	}
	one := deliveries.find(number)
	if one == nil {
		return nil, errorf(http.StatusNotFound, "delivery %d is not in memory: it is older than what is kept, or came while nothing was captured", number)
	}
	return one, nil
}

// question is what a POST asks.
type question struct {
	Number uint64 `json:"number"`
	// Action is what is done with a queued delivery.
	Action string `json:"action,omitempty"`
	// Override is what `explain` was given on the command line. The page does
	// not send it.
	Override *Override `json:"override,omitempty"`
}

// maxQuestion bounds what a POST holds, in bytes.
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

// serveDelivery returns a delivery with all that is known of it.
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

// claimText says what the replay store knows of a delivery at this moment.
func claimText(ctx context.Context, e caddymodule.Endpoint, one *record) string {
	state, known, err := e.ClaimState(ctx, one.o)
	switch {
	case err != nil:
		return "the replay store could not be asked"
	case !known:
		return ""
	}
	return state.String()
}

// serveForget lets a delivery through again.
func serveForget(r *http.Request) (any, error) {
	_, one, err := readQuestion(r)
	if err != nil {
		return nil, err
	}
	endpoint, ok := caddymodule.FindEndpoint(one.o.Endpoint, one.o.Provider)
	if !ok {
		return nil, errorf(http.StatusNotFound, "the running config has no endpoint %s any more", one.o.Endpoint)
	}
	if one.o.ID == "" || !endpoint.HasID() {
		return nil, errorf(http.StatusBadRequest, "the delivery has no verified ID, by which it could be forgotten")
	}
	statuses, err := endpoint.Forget(r.Context(), one.o.ID)
	if err != nil {
		return nil, errorf(http.StatusServiceUnavailable, "asking the replay store: %w", err)
	}
	return statuses, nil
}

// serveClear forgets all that was captured.
func serveClear(r *http.Request) (any, error) {
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxQuestion))
	deliveries.clear()
	return struct{}{}, nil
}

var instance = rand.Text()

// settings are what the page says of the capture.
type settings struct {
	// Always: also while nobody looks.
	Always bool `json:"always"`
	// Instance is another one when Caddy has started again, and numbers with it.
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
