package inspector

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/internal/sse"
)

const (
	// maxStreams is the maximum number of watchers.
	maxStreams = 32
	// heartbeat is the interval of heartbeats in a stream without deliveries.
	heartbeat = 15 * time.Second
	// gathering is how long deliveries are collected for one event: a page draws
	// many at once as fast as one.
	gathering = 50 * time.Millisecond
)

var streams atomic.Int64

// stream sends deliveries when they end: first `settings`, then `deliveries`, each a
// list, and `missed` with a number if they arrived too fast. It ends with `bye`
// when closing is closed.
func stream(w http.ResponseWriter, r *http.Request, closing <-chan struct{}) error {
	if streams.Add(1) > maxStreams {
		streams.Add(-1)
		return caddyhttp.Error(http.StatusServiceUnavailable, errors.New("webhook_inspector: too many pages are open"))
	}
	defer streams.Add(-1)
	select {
	case <-closing:
		return caddyhttp.Error(http.StatusServiceUnavailable, errors.New("webhook_inspector: the config is being replaced"))
	default:
	}
	watcher := deliveries.watch()
	defer deliveries.leave(watcher)
	events, err := sse.Start(w, 2*heartbeat)
	if err != nil || send(events, "settings", currentSettings()) != nil {
		return nil // the client has disconnected
	}
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-watcher.wake:
			err = sendPending(events, watcher)
			pause(r, closing)
		case <-ticker.C:
			err = events.Beat()
		case <-closing:
			_ = sendPending(events, watcher)
			_ = send(events, "bye", struct{}{})
			return nil
		case <-r.Context().Done():
			return nil
		}
		if err != nil {
			return nil
		}
	}
}

// pause waits for more deliveries.
func pause(r *http.Request, closing <-chan struct{}) {
	timer := time.NewTimer(gathering)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-closing:
	case <-r.Context().Done():
	}
}

func sendPending(events *sse.Stream, w *watcher) error {
	come, missed := w.take()
	if missed > 0 {
		if err := send(events, "missed", missed); err != nil {
			return err
		}
	}
	if len(come) == 0 {
		return nil
	}
	return send(events, "deliveries", come)
}

func send(events *sse.Stream, kind string, content any) error {
	data, err := json.Marshal(content)
	if err != nil {
		return err
	}
	return events.Send(sse.Event{Type: kind, Data: data})
}
