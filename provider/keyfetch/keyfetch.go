// Package keyfetch gets the keys and certificates that providers publish.
//
// Unsigned requests cause fetches, so fetches are bounded: in time and size,
// without redirects, over TLS, from hosts that the caller fixes, and a few at a
// time. Of many requests for one document, one fetches it and the others wait.
//
// A request can name any document of a host, and only the answer shows that it
// does not exist. So the two kinds are kept apart: a document that was fetched
// once stays in the cache and is refreshed at any time, while names that are
// still unknown share a small number of fetches. Of these, those that were
// asked for most often come first: a provider repeats the name of its key with
// every delivery and every retry, and an attacker who repeats a name has it
// fetched, and remembered as missing, once.
package keyfetch

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	// maxSize bounds a document in bytes. The largest, JSON Web Key Sets, have a
	// few kilobytes.
	maxSize = 64 << 10
	// timeout bounds one fetch as a whole.
	timeout = 10 * time.Second
	// fresh is how long a document is used before it is fetched again.
	fresh = 24 * time.Hour
	// stale is how long it is used if fetching it again fails.
	stale = 7 * 24 * time.Hour
)

// Fetcher fetches and caches documents of a few hosts. It is safe for
// concurrent use; its zero value is not usable.
type Fetcher struct {
	caches map[string]*cache // by host
}

// ErrBusy means that too many unknown documents were asked for in a short time.
var ErrBusy = errors.New("too many unknown keys are being asked for: a retry can succeed")

// New returns a Fetcher for documents of these hosts, with a cache of its own.
// transport is for tests; nil means the usual one.
func New(transport http.RoundTripper, hosts ...string) *Fetcher {
	f := &Fetcher{caches: make(map[string]*cache)}
	for _, host := range hosts {
		f.caches[host] = newCache(transport)
	}
	return f
}

// shared are the caches of the process. They outlive every config: a reload
// that forgot the keys would leave genuine deliveries waiting for them. There is
// one for each host that was ever configured.
var shared = struct {
	sync.Mutex
	caches map[string]*cache
}{caches: make(map[string]*cache)}

// Shared returns a Fetcher for documents of these hosts, with the caches that
// all of the process share.
func Shared(hosts ...string) *Fetcher {
	shared.Lock()
	defer shared.Unlock()
	f := &Fetcher{caches: make(map[string]*cache)}
	for _, host := range hosts {
		if shared.caches[host] == nil {
			shared.caches[host] = newCache(nil)
		}
		f.caches[host] = shared.caches[host]
	}
	return f
}

// Request says what to fetch.
type Request struct {
	// URL, https and of one of the Fetcher's hosts.
	URL string
	// Body is posted, as JSON unless Header says otherwise; without it the
	// document is got.
	Body []byte
	// Header is sent with the request.
	Header http.Header
	// Key names the document in the cache. Default: the URL.
	Key string
	// MaxAge asks for a document that is not older, because a key is missing
	// in the cached one. Default: a day.
	MaxAge time.Duration
	// Verified: what names the document was verified, so that it does not count
	// as one of the unknown names that anybody can send.
	Verified bool
}

// Get returns a document, from the cache if it can. The caller must not change
// it. An error means that the document cannot be had now.
func (f *Fetcher) Get(ctx context.Context, q Request) ([]byte, error) {
	c, err := f.cacheOf(q.URL)
	if err != nil {
		return nil, err
	}
	if q.Key == "" {
		q.Key = q.URL
	}
	if q.MaxAge == 0 {
		q.MaxAge = fresh
	}
	return c.get(ctx, q)
}

// cacheOf returns the cache for a URL. It refuses URLs that the provider does
// not document.
func (f *Fetcher) cacheOf(text string) (*cache, error) {
	u, err := url.Parse(text)
	if err == nil && u.Scheme == "https" && u.User == nil && u.Port() == "" && f.caches[u.Host] != nil {
		return f.caches[u.Host], nil
	}
	return nil, errors.New("keys are not fetched from a URL that the provider does not document")
}
