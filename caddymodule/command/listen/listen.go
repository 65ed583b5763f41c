// Package listen is the developer's end of a relay: it gets deliveries from a
// Caddy with `webhook_listeners`, sends them to an app on this machine, and
// sends back what the app has answered.
//
// It never says that it is connected while deliveries do not arrive: every
// silence that is too long, every heartbeat that the server does not know and
// every jump of the clock ends the connection, loudly, and a new one is made.
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
	// has sent them to.
	To *url.URL
	// Remote talks to Caddy, Local to the app. Local must not follow redirects.
	Remote, Local *http.Client
	// Report is told what happens. It is called by several goroutines, one at
	// a time.
	Report func(Report)

	session  string
	lastID   string
	reports  sync.Mutex
	inFlight sync.WaitGroup
	online   atomic.Bool
}

// Report is one thing that has happened.
type Report struct {
	Time time.Time `json:"time"`
	// Kind is connected, disconnected, missed or delivery.
	Kind string `json:"kind"`
	// Text says it to people, for all but deliveries.
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

// Delivery is what became of a delivery.
type Delivery struct {
	// Outcome is that of the gate: only verified deliveries are relayed.
	Outcome  string `json:"outcome"`
	Provider string `json:"provider"`
	Event    string `json:"event,omitempty"`
	ID       string `json:"id,omitempty"`
	Key      string `json:"key,omitempty"`
	Method   string `json:"method"`
	Path     string `json:"path"`
	Size     int64  `json:"size"`
	// Status is the app's, 0 if it did not answer; Milliseconds is how long
	// that took.
	Status       int     `json:"status"`
	Milliseconds float64 `json:"milliseconds"`
	// Error says why the app, or Caddy, did not get an answer.
	Error string `json:"error,omitempty"`
}

const (
	// mostEvent bounds a delivery, in base64.
	mostEvent = 96 << 20
	// The times between two attempts to connect.
	leastPause = 250 * time.Millisecond
	mostPause  = 15 * time.Second
	// jump is how much the clock may be ahead of a timer before this machine
	// must have slept.
	jump = 5 * time.Second
)

// fatalError is one that trying again does not help.
type fatalError struct{ error }

// Run listens until ctx ends, or an error that trying again does not help.
func (l *Listener) Run(ctx context.Context) error {
	l.session = rand.Text()
	defer l.inFlight.Wait()
	defer l.leave()
	pause := leastPause
	for {
		began := time.Now()
		err := l.connect(ctx)
		// Where the stream has ended, other connections may lead nowhere, too.
		l.Remote.CloseIdleConnections()
		if ctx.Err() != nil {
			return nil
		}
		if fatal, ok := errors.AsType[fatalError](err); ok {
			l.offline(err, "")
			return fatal.error
		}
		l.offline(err, "; connecting again")
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

// leave tells the server that nobody listens any more, so that it need not find
// out by itself.
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

// offline says that the connection is gone, if it was there, and what follows.
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
	errSilent  = errors.New("nothing was heard from the server for too long")
	errSlept   = errors.New("this machine was asleep, or stopped")
	errUnknown = errors.New("the server does not know this connection any more")
)

// connect makes one connection and serves it to its end.
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
	// Until the first event says how often there is a sign of life.
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

// because prefers the reason for which we have ended a connection.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// retry says, once for each time that we are not connected, why.
func (l *Listener) retry(err error) error {
	if !errors.Is(err, context.Canceled) {
		l.report(Report{Kind: Disconnected, Text: fmt.Sprintf("not connected: %v; trying again", err)})
	}
	return err
}

// checkAnswer tells errors that pass from those that do not.
func (l *Listener) checkAnswer(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusOK && sse.Is(resp.Header):
		return nil
	case resp.StatusCode == http.StatusUnauthorized:
		return fatalError{errors.New("the token was refused: give the one that webhook_listeners has, with --token")}
	case resp.StatusCode == http.StatusForbidden:
		return fatalError{errors.New("the server refuses connections without TLS: use https://")}
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests:
		return l.retry(fmt.Errorf("the server has answered %s", resp.Status))
	}
	return fatalError{fmt.Errorf("no webhook_listeners answers at %s: the server has answered %s", l.From, resp.Status)}
}

// serve takes what the server sends.
func (l *Listener) serve(ctx context.Context, cancel context.CancelCauseFunc, watch *watchdog, events *sse.Reader) error {
	for {
		e, err := events.Next()
		if err != nil {
			return fmt.Errorf("the connection has broken: %w", err)
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

// mostHeartbeat bounds what a server may want.
const mostHeartbeat = 24 * time.Hour

// greet begins to send signs of life as often as the server wants them.
func (l *Listener) greet(ctx context.Context, cancel context.CancelCauseFunc, watch *watchdog, data []byte) error {
	var hello struct {
		Relay     string  `json:"relay"`
		Heartbeat float64 `json:"heartbeat_seconds"`
		Resumed   bool    `json:"resumed"`
	}
	if err := json.Unmarshal(data, &hello); err != nil || hello.Heartbeat <= 0 || hello.Heartbeat > mostHeartbeat.Seconds() {
		return fatalError{errors.New("the server's greeting cannot be read: is it a newer version?")}
	}
	heartbeat := time.Duration(hello.Heartbeat * float64(time.Second))
	watch.change(2 * heartbeat)
	l.online.Store(true)
	l.report(Report{Kind: Connected, Text: fmt.Sprintf("connected to %s (relay %s), forwarding to %s", l.From, hello.Relay, l.To)})
	go l.beat(ctx, cancel, heartbeat)
	return nil
}

// beat sends signs of life until ctx ends. An answer that says that we are not
// known ends the connection; no answer is left to the watchdogs of both ends.
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

// reportGap says which deliveries were missed.
func (l *Listener) reportGap(data []byte) {
	var gap struct {
		Missed int       `json:"missed"`
		Since  time.Time `json:"since"`
	}
	if json.Unmarshal(data, &gap) == nil {
		l.report(Report{Kind: Missed, Text: fmt.Sprintf("%d deliveries came while nobody was connected, since %s: the provider may send them again",
			gap.Missed, gap.Since.Local().Format(time.DateTime))})
	}
}

// farewell tells whether to come back.
func (l *Listener) farewell(data []byte) error {
	var bye struct {
		Reason string `json:"reason"`
	}
	_ = json.Unmarshal(data, &bye)
	switch bye.Reason {
	case "replaced":
		return fatalError{errors.New("another machine listens to this relay now, in place of this one")}
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

// post sends something up, and returns the status.
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
