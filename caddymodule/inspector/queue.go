package inspector

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// queueState is the state of a delivery in the queue.
type queueState struct {
	Queue    string     `json:"queue"`
	State    string     `json:"state"`
	Paused   bool       `json:"paused"`
	Attempts int        `json:"attempts"`
	Last     *attempt   `json:"last,omitempty"`
	Next     *time.Time `json:"next,omitempty"`
}

// attempt is the result of an attempt.
type attempt struct {
	Status int       `json:"status,omitempty"`
	Error  string    `json:"error,omitempty"`
	At     time.Time `json:"at"`
}

// queued returns the state of a delivery in its queue, nil if it is in none.
func queued(ctx context.Context, one *record) any {
	if one.o.Key == "" {
		return nil
	}
	var all []struct {
		Name   string `json:"name"`
		Paused bool   `json:"paused"`
	}
	if askQueue(ctx, http.MethodGet, "/verify_webhook/queues", nil, nil, &all) != nil {
		return nil
	}
	for _, q := range all {
		var entry struct {
			State    string   `json:"state"`
			DueIn    float64  `json:"due_in"`
			Attempts int      `json:"attempts"`
			Last     *attempt `json:"last"`
		}
		query := url.Values{"queue": {q.Name}, "key": {one.o.Key}}
		if askQueue(ctx, http.MethodGet, "/verify_webhook/queue/entry", query, nil, &entry) != nil {
			continue
		}
		state := &queueState{Queue: q.Name, State: entry.State, Paused: q.Paused, Attempts: entry.Attempts, Last: entry.Last}
		if entry.State == "waiting" {
			next := time.Now().Add(time.Duration(entry.DueIn * float64(time.Second)))
			state.Next = &next
		}
		if state.Last != nil {
			state.Last.Error = clean(state.Last.Error)
		}
		return state
	}
	return nil
}

// serveQueue retries or discards a queued delivery, or pauses or resumes its
// queue.
func serveQueue(r *http.Request) (any, error) {
	q, one, err := readQuestion(r)
	if err != nil {
		return nil, err
	}
	state, ok := queued(r.Context(), one).(*queueState)
	if !ok {
		return nil, errorf(http.StatusNotFound, "the delivery is not in a queue")
	}
	change := map[string]any{"action": q.Action, "queue": state.Queue}
	switch q.Action {
	case "retry", "discard":
		change["keys"] = []string{one.o.Key}
	case "pause", "resume":
	default:
		return nil, errorf(http.StatusBadRequest, "unrecognized action: write retry, discard, pause or resume")
	}
	var changed json.RawMessage
	if err := askQueue(r.Context(), http.MethodPost, "/verify_webhook/queue/change", nil, change, &changed); err != nil {
		return nil, errorf(http.StatusServiceUnavailable, "querying the queue: %w", err)
	}
	return changed, nil
}

var errNoQueue = errors.New("this Caddy instance has no webhook_queue")

// askQueue calls the admin API of the queue within the process. It exists if the
// queue is compiled in, even if the admin API is disabled.
func askQueue(ctx context.Context, method, path string, query url.Values, body, answer any) error {
	info, err := caddy.GetModule("admin.api.webhook_queue")
	if err != nil {
		return errNoQueue
	}
	router, ok := info.New().(caddy.AdminRouter)
	if !ok {
		return errNoQueue
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, path+"?"+query.Encode(), bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	for _, route := range router.Routes() {
		if route.Pattern != path {
			continue
		}
		w := &buffered{header: make(http.Header)}
		if err := route.Handler.ServeHTTP(w, r); err != nil {
			return err
		}
		return json.Unmarshal(w.Bytes(), answer)
	}
	return errNoQueue
}

// buffered is a response in memory.
type buffered struct {
	bytes.Buffer
	header http.Header
}

// Header implements http.ResponseWriter.
func (b *buffered) Header() http.Header { return b.header }

// WriteHeader implements http.ResponseWriter.
func (b *buffered) WriteHeader(int) {}
