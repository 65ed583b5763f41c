// Package listen is the developer's end of a relay: it gets deliveries from a
// Caddy server with `webhook_listeners`, forwards them to an app on this machine,
// and returns the app's responses.
//
// It never reports a connection while deliveries do not arrive: a missing
// heartbeat, an unknown session and a jump of the clock end the connection with a
// message, and the listener reconnects.
package listen

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/sse"
)

// Listener gets deliveries and forwards them.
type Listener struct {
	// From is the URL of webhook_listeners, Token its token.
	From, Token string
	// To is where deliveries go: without a path, to the path that the provider
	// requested.
	To *url.URL
	// Remote is the client for Caddy, Local for the app. Local must not follow redirects.
	Remote, Local *http.Client
	// Report receives events. Several goroutines call it, one at a time.
	Report func(Report)

	session  string
	lastID   string
	reports  sync.Mutex
	inFlight sync.WaitGroup
	online   atomic.Bool
}

// Report is an event.
type Report struct {
	Time time.Time `json:"time"`
	// Kind is connected, disconnected, missed or delivery.
	Kind string `json:"kind"`
	// Text describes the event, unless it is a delivery.
	Text string `json:"text,omitempty"`
	// Delivery is set for a delivery.
	Delivery *Delivery `json:"delivery,omitempty"`
}

// The kinds of report.
const (
	Connected    = "connected"
	Disconnected = "disconnected"
	Missed       = "missed"
	Delivered    = "delivery"
)

// Delivery is a delivery with its result.
type Delivery struct {
	// Outcome is that of verify_webhook: only verified deliveries are relayed.
	Outcome  string `json:"outcome"`
	Provider string `json:"provider"`
	Event    string `json:"event,omitempty"`
	ID       string `json:"id,omitempty"`
	Key      string `json:"key,omitempty"`
	Method   string `json:"method"`
	Path     string `json:"path"`
	Size     int64  `json:"size"`
	// Status is the app's, 0 if it did not respond; Milliseconds is the
	// response time.
	Status       int     `json:"status"`
	Milliseconds float64 `json:"milliseconds"`
	// Error says why there is no response, or why Caddy did not get it.
	Error string `json:"error,omitempty"`
}

const (
	// mostEvent is the maximum size of a delivery in base64.
	mostEvent = 96 << 20
	// The times between two attempts to connect.
	leastPause = 250 * time.Millisecond
	mostPause  = 15 * time.Second
	// jump is how far the clock may be ahead of a timer before the machine is
	// assumed to have slept.
	jump = 5 * time.Second
)

// fatalError is an error that a retry cannot fix.
type fatalError struct{ error }

// Run listens until ctx ends, or until an error that a retry cannot fix.
func (l *Listener) Run(ctx context.Context) error {
	l.session = rand.Text()
	defer l.inFlight.Wait()
	defer l.leave()
	pause := leastPause
	for {
		began := time.Now()
		err := l.connect(ctx)
		// After the end of the stream, other connections may be dead as well.
		l.Remote.CloseIdleConnections()
		if ctx.Err() != nil {
			return nil
		}
		if fatal, ok := errors.AsType[fatalError](err); ok {
			l.offline(err, "")
			return fatal.error
		}
		l.offline(err, "; reconnecting")
		if time.Since(began) > mostPause || errors.Is(err, errClosing) {
			pause = leastPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, mostPause)
	}
}

// leave ends the session, so that the server does not wait for the heartbeat.
func (l *Listener) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), attemptFor)
	defer cancel()
	r, err := l.request(ctx, http.MethodDelete, "", nil)
	if err != nil {
		return
	}
	if resp, err := l.Remote.Do(r); err == nil {
		_ = resp.Body.Close()
	}
}

// offline reports the loss of a connection, if there was one, and what follows.
func (l *Listener) offline(err error, then string) {
	if l.online.Swap(false) {
		l.report(Report{Kind: Disconnected, Text: fmt.Sprintf("not connected, deliveries do not arrive: %v%s", err, then)})
	}
}

func (l *Listener) report(r Report) {
	l.reports.Lock()
	defer l.reports.Unlock()
	r.Time = time.Now()
	l.Report(r)
}

// The reasons for the end of a connection.
var (
	errClosing = errors.New("the server is stopping or has a new config")
	errSilent  = errors.New("the server sent no heartbeat")
	errSlept   = errors.New("this machine was asleep or stopped")
	errUnknown = errors.New("the server no longer has this session")
)

// connect opens one connection and serves it until it ends.
func (l *Listener) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, err := l.request(ctx, http.MethodGet, "", nil)
	if err != nil {
		return fatalError{err}
	}
	r.Header.Set("Accept", "text/event-stream")
	if l.lastID != "" {
		r.Header.Set("Last-Event-Id", l.lastID)
	}
	// Until the first event contains the heartbeat interval.
	watch := newWatchdog(30*time.Second, func() { cancel(errSilent) })
	defer watch.stop()
	resp, err := l.Remote.Do(r)
	if err != nil {
		return l.retry(because(ctx, err))
	}
	defer resp.Body.Close()
	if err := l.checkAnswer(resp); err != nil {
		return err
	}
	go watchClock(ctx, func() { cancel(errSlept) })
	return because(ctx, l.serve(ctx, cancel, watch, sse.NewReader(&heardReader{resp.Body, watch}, mostEvent)))
}

// because prefers our own reason for ending a connection.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// retry reports, once for each loss of the connection, why it failed.
func (l *Listener) retry(err error) error {
	if !errors.Is(err, context.Canceled) {
		l.report(Report{Kind: Disconnected, Text: fmt.Sprintf("not connected: %v; retrying", err)})
	}
	return err
}

// checkAnswer distinguishes temporary from permanent errors.
func (l *Listener) checkAnswer(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusOK && sse.Is(resp.Header):
		return nil
	case resp.StatusCode == http.StatusUnauthorized:
		return fatalError{errors.New("the token was refused: write the token of webhook_listeners with --token")}
	case resp.StatusCode == http.StatusForbidden:
		return fatalError{errors.New("the server refuses connections without TLS: use https://")}
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests:
		return l.retry(fmt.Errorf("the server responded with %s", resp.Status))
	}
	return fatalError{fmt.Errorf("no webhook_listeners at %s: the server responded with %s", shown(l.From), resp.Status)}
}

// shown returns a URL without its password and its query, which can contain a token.
func shown(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "the relay"
	}
	u.RawQuery, u.Fragment = "", ""
	return u.Redacted()
}

// serve reads the server's events.
func (l *Listener) serve(ctx context.Context, cancel context.CancelCauseFunc, watch *watchdog, events *sse.Reader) error {
	for {
		e, err := events.Next()
		if err != nil {
			return fmt.Errorf("the connection was lost: %w", err)
		}
		switch e.Type {
		case "hello":
			if err := l.greet(ctx, cancel, watch, e.Data); err != nil {
				return err
			}
		case "gap":
			l.reportGap(e.Data)
		case "delivery":
			l.lastID = e.ID
			l.inFlight.Go(func() { l.deliver(ctx, e) })
		case "bye":
			return l.farewell(e.Data)
		}
	}
}

// mostHeartbeat is the longest heartbeat interval that is accepted.
const mostHeartbeat = 24 * time.Hour

// greet starts to send heartbeats at the server's interval.
func (l *Listener) greet(ctx context.Context, cancel context.CancelCauseFunc, watch *watchdog, data []byte) error {
	var hello struct {
		Relay     string  `json:"relay"`
		Heartbeat float64 `json:"heartbeat_seconds"`
		Resumed   bool    `json:"resumed"`
	}
	if err := json.Unmarshal(data, &hello); err != nil || hello.Heartbeat <= 0 || hello.Heartbeat > mostHeartbeat.Seconds() {
		return fatalError{errors.New("the server's greeting cannot be parsed: is it a newer version?")}
	}
	heartbeat := time.Duration(hello.Heartbeat * float64(time.Second))
	watch.change(2 * heartbeat)
	l.online.Store(true)
	l.report(Report{Kind: Connected, Text: fmt.Sprintf("connected to %s (relay %s), forwarding to %s", shown(l.From), hello.Relay, shown(l.To.String()))})
	go l.beat(ctx, cancel, heartbeat)
	return nil
}

// beat sends heartbeats until ctx ends. If the server does not know the session, it
// ends the connection; a missing response is left to the watchdogs of both ends.
func (l *Listener) beat(ctx context.Context, cancel context.CancelCauseFunc, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		status, err := l.post(ctx, "", nil, every)
		if err == nil && (status == http.StatusGone || status == http.StatusUnauthorized) {
			cancel(errUnknown)
			return
		}
	}
}

// reportGap reports missed deliveries.
func (l *Listener) reportGap(data []byte) {
	var gap struct {
		Missed int       `json:"missed"`
		Since  time.Time `json:"since"`
	}
	if json.Unmarshal(data, &gap) == nil {
		l.report(Report{Kind: Missed, Text: fmt.Sprintf("%d deliveries arrived while no machine was connected, since %s: the provider may resend them",
			gap.Missed, gap.Since.Local().Format(time.DateTime))})
	}
}

// farewell reports whether to reconnect.
func (l *Listener) farewell(data []byte) error {
	var bye struct {
		Reason string `json:"reason"`
	}
	_ = json.Unmarshal(data, &bye)
	switch bye.Reason {
	case "replaced":
		return fatalError{errors.New("another machine has replaced this one at the relay")}
	case "closing":
		return errClosing
	case "silent":
		return errSilent
	}
	return errUnknown
}

// request makes a request to the relay.
func (l *Listener) request(ctx context.Context, method, query string, body io.Reader) (*http.Request, error) {
	target := l.From
	if query != "" {
		separator := "?"
		if strings.Contains(target, "?") {
			separator = "&"
		}
		target += separator + query
	}
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+l.Token)
	r.Header.Set("Webhook-Relay-Session", l.session)
	return r, nil
}

// post sends a request body and returns the status.
func (l *Listener) post(ctx context.Context, query string, body io.Reader, within time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	r, err := l.request(ctx, http.MethodPost, query, body)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/http")
	resp, err := l.Remote.Do(r)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, resp.Body.Close()
}
