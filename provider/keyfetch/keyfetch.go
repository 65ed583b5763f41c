// Package keyfetch fetches and caches keys and certificates that providers publish.
//
// Unsigned requests cause fetches, so fetches are limited in time, size and number.
// They use TLS, do not follow redirects, and only contact hosts that the caller
// lists. Concurrent requests for a document share one fetch.
//
// A request can name any document of a host, and only the response shows whether
// it exists. So known and unknown names are treated differently: a document that
// was fetched once stays in the cache and can be refreshed at any time, while
// unknown names share a rate limit. Half of the fetches are for the most requested
// names: a provider repeats the name of its key in every delivery and retry, while a
// name that an attacker repeats is fetched once and then cached as missing. The
// other half are for senders chosen at random, and for one of the requests of each,
// so that neither a pattern nor a number of requests excludes the names of other
// senders.
package keyfetch

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	// maxSize is the maximum size of a document in bytes. The largest, JSON Web
	// Key Sets, have a few kilobytes.
	maxSize = 64 << 10
	// timeout is the timeout of a fetch.
	timeout = 10 * time.Second
	// fresh is the age at which a document is refreshed.
	fresh = 24 * time.Hour
	// stale is the maximum age of a document that cannot be refreshed.
	stale = 7 * 24 * time.Hour
)

// Fetcher fetches and caches documents of a few hosts. It is safe for
// concurrent use; its zero value is not usable.
type Fetcher struct {
	caches map[string]*cache // by host
}

// ErrBusy means that too many unknown documents were requested in a short time.
var ErrBusy = errors.New("too many requests for unknown keys: a retry can succeed")

// New returns a Fetcher for documents of these hosts with a separate cache.
// transport is for tests; nil means the default.
func New(transport http.RoundTripper, hosts ...string) *Fetcher {
	f := &Fetcher{caches: make(map[string]*cache)}
	for _, host := range hosts {
		f.caches[host] = newCache(transport)
	}
	return f
}

// shared are the caches of the process. They survive config reloads, so that
// genuine deliveries need not wait for keys after a reload. There is one for each
// host that was ever configured.
var shared = struct {
	sync.Mutex
	caches map[string]*cache
}{caches: make(map[string]*cache)}

// Shared returns a Fetcher for documents of these hosts with the shared caches of
// the process.
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

// Request describes a document to fetch.
type Request struct {
	// URL is the https URL of the document, on one of the Fetcher's hosts.
	URL string
	// Body makes the request a POST, as JSON unless Header says otherwise. Without
	// it the request is a GET.
	Body []byte
	// Header is added to the request.
	Header http.Header
	// Key names the document in the cache. Default: the URL.
	Key string
	// MaxAge is the maximum age of a cached document. Set it if a key is missing
	// in the cached one. Default: a day.
	MaxAge time.Duration
	// Verified means that the source of the name was verified, so that the rate
	// limit for unknown names does not apply.
	Verified bool
}

// SenderKey is the key of the context's value for the sender of a request, a string
// such as the network of its address. Requests without it count as those of one sender.
var SenderKey = senderKey{}

type senderKey struct{}

func senderOf(ctx context.Context) string {
	sender, _ := ctx.Value(SenderKey).(string)
	return sender
}

// Get returns a document, from the cache if possible. The caller must not modify
// it. An error means that the document is not available now.
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

// Fetched returns when a document was last fetched, the zero time if it is not in the
// cache.
func (f *Fetcher) Fetched(q Request) time.Time {
	c, err := f.cacheOf(q.URL)
	if err != nil {
		return time.Time{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.known[cmp.Or(q.Key, q.URL)]; d != nil {
		return d.fetched
	}
	return time.Time{}
}

// cacheOf returns the cache for a URL. It returns an error for URLs that the
// provider does not document.
func (f *Fetcher) cacheOf(text string) (*cache, error) {
	u, err := url.Parse(text)
	if err == nil && u.Scheme == "https" && u.User == nil && u.Port() == "" && f.caches[u.Host] != nil {
		return f.caches[u.Host], nil
	}
	return nil, errors.New("cannot fetch keys: the provider does not document this URL")
}
