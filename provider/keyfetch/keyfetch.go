// Package keyfetch gets the keys and certificates that providers publish.
//
// Requests make us fetch, so strangers can: every fetch is bounded in time and
// size, follows no redirect, goes over TLS to hosts that the caller fixes, and
// there are few of them. What was fetched is cached, as is what could not be;
// of many who want the same thing one fetches and the others wait.
package keyfetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

const (
	// maxSize bounds a key document in bytes. The largest, JSON Web Key Sets,
	// have a few kilobytes.
	maxSize = 256 << 10
	// timeout bounds one fetch as a whole.
	timeout = 10 * time.Second
	// maxEntries bounds the cache. Providers have a handful of keys.
	maxEntries = 64
	// fresh is how long a document is used without asking again.
	fresh = 24 * time.Hour
	// stale is how long it is used if asking again fails.
	stale = 7 * 24 * time.Hour
	// failed is how long a failure is remembered.
	failed = time.Minute
	// burst fetches may be made at once, and one more for every refill.
	burst  = 8
	refill = 5 * time.Second
)

// Fetcher fetches and caches documents. It is safe for concurrent use; its
// zero value is not usable.
type Fetcher struct {
	hosts  []string
	client *http.Client
	now    func() time.Time

	mu      sync.Mutex
	entries map[string]*entry
	tokens  int
	filled  time.Time
}

// entry is a document, or the failure to get it, or both.
type entry struct {
	body    []byte
	fetched time.Time // when body was
	err     error
	tried   time.Time     // when the last fetch ended
	running chan struct{} // closed when the fetch under way ends
}

// ErrBusy means that too much was asked for in a short time.
var ErrBusy = errors.New("too many keys are being asked for: trying again later")

// New makes a Fetcher for documents of these hosts. transport is for tests;
// nil means the usual one.
func New(transport http.RoundTripper, hosts ...string) *Fetcher {
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxResponseHeaderBytes = 64 << 10
		transport = t
	}
	return &Fetcher{
		hosts: hosts,
		client: &http.Client{
			Transport:     transport,
			Timeout:       timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		now:     time.Now,
		entries: make(map[string]*entry),
		tokens:  burst,
	}
}

// Request says what to fetch.
type Request struct {
	// URL, https and of one of the Fetcher's hosts.
	URL string
	// Body is posted as JSON; without it the document is got.
	Body []byte
	// Key names the document in the cache. Default: the URL.
	Key string
	// MaxAge asks for a document that is not older, because a key is missing
	// in the cached one. Default: a day.
	MaxAge time.Duration
}

// Get returns a document, from the cache if it can. The caller must not change
// it. An error means that the document cannot be had now.
func (f *Fetcher) Get(ctx context.Context, q Request) ([]byte, error) {
	if err := f.check(q.URL); err != nil {
		return nil, err
	}
	if q.Key == "" {
		q.Key = q.URL
	}
	if q.MaxAge == 0 {
		q.MaxAge = fresh
	}
	for {
		body, wait, err := f.lookUp(q)
		if wait == nil {
			return body, err
		}
		select {
		case <-wait:
			// The fetch that we waited for has just ended: its result will
			// do, whatever age was asked for.
			q.MaxAge = max(q.MaxAge, timeout)
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for keys: %w", ctx.Err())
		}
	}
}

// check refuses URLs that the provider does not document.
func (f *Fetcher) check(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Port() != "" || !slices.Contains(f.hosts, u.Host) {
		return errors.New("keys are not fetched from a URL that the provider does not document")
	}
	return nil
}

// lookUp returns what the cache has, or starts a fetch and returns what to
// wait for.
func (f *Fetcher) lookUp(q Request) (body []byte, wait <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	e := f.entries[q.Key]
	switch {
	case e == nil:
	case e.running != nil:
		return nil, e.running, nil
	case e.body != nil && now.Sub(e.fetched) < q.MaxAge:
		return e.body, nil, nil
	case now.Sub(e.tried) < failed:
		return e.old(now)
	}
	if e == nil {
		if !f.makeRoom(now) {
			return nil, nil, ErrBusy
		}
		e = &entry{}
	}
	if !f.takeToken(now) {
		if e.body == nil {
			return nil, nil, ErrBusy
		}
		return e.old(now)
	}
	f.entries[q.Key] = e
	e.running = make(chan struct{})
	go f.fetch(e, q)
	return nil, e.running, nil
}

// old returns a document past its time, if it is not too old, or the failure.
func (e *entry) old(now time.Time) ([]byte, <-chan struct{}, error) {
	if e.body != nil && now.Sub(e.fetched) < stale {
		return e.body, nil, nil
	}
	return nil, nil, e.err
}

// makeRoom drops what is of no use any more.
func (f *Fetcher) makeRoom(now time.Time) bool {
	if len(f.entries) < maxEntries {
		return true
	}
	for key, e := range f.entries {
		if e.running == nil && now.Sub(e.tried) > failed && (e.body == nil || now.Sub(e.fetched) > fresh) {
			delete(f.entries, key)
		}
	}
	return len(f.entries) < maxEntries
}

func (f *Fetcher) takeToken(now time.Time) bool {
	if f.filled.IsZero() {
		f.filled = now
	}
	if n := int(now.Sub(f.filled) / refill); n > 0 {
		f.tokens = min(burst, f.tokens+n)
		f.filled = f.filled.Add(time.Duration(n) * refill)
	}
	if f.tokens == 0 {
		return false
	}
	f.tokens--
	return true
}

// fetch ends the entry's running fetch. It does not stop with the request that
// started it: others wait for it, too.
func (f *Fetcher) fetch(e *entry, q Request) {
	body, err := f.do(q)
	f.mu.Lock()
	defer f.mu.Unlock()
	e.tried, e.err = f.now(), err
	if err == nil {
		e.body, e.fetched = body, e.tried
	}
	close(e.running)
	e.running = nil
}

func (f *Fetcher) do(q Request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	method := http.MethodGet
	if q.Body != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, q.URL, newReader(q.Body))
	if err != nil {
		return nil, fmt.Errorf("fetching keys: %w", err)
	}
	if q.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetching keys: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &StatusError{resp.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("fetching keys: %w", err)
	}
	if len(body) > maxSize {
		return nil, fmt.Errorf("fetching keys: the document has more than %d bytes", maxSize)
	}
	return body, nil
}

// StatusError is an answer that is no document.
type StatusError struct{ Status int }

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("fetching keys: the provider answered with status %d", e.Status)
}
