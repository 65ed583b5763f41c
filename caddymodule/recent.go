package caddymodule

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// AdminOutcomesPath is the path of the admin API that returns the outcomes of the
// latest deliveries, for `caddy verify-webhook send`.
const AdminOutcomesPath = "/verify_webhook/outcomes"

// DeliveryOutcome is the outcome of one delivery, for the operator.
type DeliveryOutcome struct {
	RemoteAddr string  `json:"remote_addr"`
	Method     string  `json:"method"`
	Host       string  `json:"host"`
	Path       string  `json:"path"`
	Provider   string  `json:"provider"`
	Endpoint   string  `json:"endpoint"`
	Outcome    Outcome `json:"outcome"`
	Reason     string  `json:"reason,omitempty"`
}

const (
	// outcomesKept is how many outcomes are kept while they are requested.
	outcomesKept = 1024
	// outcomesFor is how long outcomes are kept after the last request.
	outcomesFor = time.Minute
)

// recentOutcomes keeps the outcomes of the latest deliveries, from the first request
// for them until some time after the last one. Otherwise it costs nothing.
type recentOutcomes struct {
	mu    sync.Mutex
	kept  []DeliveryOutcome // a ring, once it is full
	next  int
	stop  func()      // nil while nothing is kept
	timer *time.Timer // stops keeping outcomes
}

var recent recentOutcomes

// DeliveryEnded implements Observer.
func (r *recentOutcomes) DeliveryEnded(o Observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	outcome := DeliveryOutcome{o.RemoteAddr, o.Method, o.Host, pathOnly(o.URI), o.Provider, o.Endpoint, o.Outcome, o.Reason}
	if len(r.kept) < outcomesKept {
		r.kept = append(r.kept, outcome)
		return
	}
	r.kept[r.next] = outcome
	r.next = (r.next + 1) % outcomesKept
}

// of returns the outcomes of a sender's deliveries, the oldest first, and keeps
// outcomes from now on. For an empty address it returns none.
func (r *recentOutcomes) of(remoteAddr string) []DeliveryOutcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop == nil {
		r.stop = Observe(r)
		r.timer = time.AfterFunc(outcomesFor, r.end)
	}
	r.timer.Reset(outcomesFor)
	found := []DeliveryOutcome{}
	for i := range r.kept {
		if o := r.kept[(r.next+i)%len(r.kept)]; remoteAddr != "" && o.RemoteAddr == remoteAddr {
			found = append(found, o)
		}
	}
	return found
}

// end stops keeping outcomes.
func (r *recentOutcomes) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil {
		r.stop()
	}
	r.stop, r.kept, r.next = nil, nil, 0
}

// serveOutcomes serves GET with the query parameter remote_addr.
func serveOutcomes(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return wrongMethod(w, http.MethodGet)
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(recent.of(r.URL.Query().Get("remote_addr")))
}
