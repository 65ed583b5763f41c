package keyfetch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	// maxKnown bounds the documents of a host. Providers have a handful.
	maxKnown = 64
	// maxMissing bounds the unknown names that are remembered because they
	// could not be fetched.
	maxMissing = 256
	// maxWanted bounds the unknown names that wait for their fetch.
	maxWanted = 256
	// failed is how long a failure is remembered.
	failed = time.Minute
	// burst unknown names may be fetched at once, and one more every refill.
	burst  = 8
	refill = time.Second
	// patience is how long a name waits that nobody asks for any more.
	patience = time.Hour
)

// cache holds the documents of one host.
type cache struct {
	client *http.Client
	now    func() time.Time

	mu      sync.Mutex
	known   map[string]*document
	missing map[string]failure // by name: why an unknown document is not there
	wanted  map[string]*want   // unknown names that wait for a token
	running map[string]chan struct{}
	tokens  int
	filled  time.Time
}

// document is one that was fetched at least once.
type document struct {
	body    []byte
	fetched time.Time
	tried   time.Time // when the last fetch ended, or began
	err     error     // of the last fetch
	used    time.Time
}

type failure struct {
	err   error
	tried time.Time
}

// want is an unknown name, and how often it was asked for.
type want struct {
	request Request
	asked   int
	last    time.Time
}

func newCache(transport http.RoundTripper) *cache {
	return &cache{
		client: newClient(transport), now: time.Now, tokens: burst,
		known: make(map[string]*document), missing: make(map[string]failure), wanted: make(map[string]*want), running: make(map[string]chan struct{}),
	}
}

func (c *cache) get(ctx context.Context, q Request) ([]byte, error) {
	for {
		body, wait, err := c.lookUp(q)
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

// lookUp returns what the cache has, or else what to wait for.
func (c *cache) lookUp(q Request) (body []byte, wait <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	d := c.known[q.Key]
	running := c.running[q.Key]
	if d != nil {
		d.used = now
	}
	switch {
	case d != nil && now.Sub(d.fetched) < q.MaxAge:
		return d.body, nil, nil
	case running != nil:
		return nil, running, nil
	case d != nil && d.err != nil && now.Sub(d.tried) < failed:
		return d.old(now)
	case d != nil || q.Verified && !c.failedBefore(q.Key, now):
		return nil, c.start(q), nil
	case c.failedBefore(q.Key, now):
		return nil, nil, c.missing[q.Key].err
	}
	c.want(q, now)
	c.spend(now)
	if running = c.running[q.Key]; running != nil {
		return nil, running, nil
	}
	return nil, nil, ErrBusy
}

// old returns a document past its time, if it is not too old, or the failure.
func (d *document) old(now time.Time) ([]byte, <-chan struct{}, error) {
	if now.Sub(d.fetched) < stale {
		return d.body, nil, nil
	}
	return nil, nil, d.err
}

func (c *cache) failedBefore(key string, now time.Time) bool {
	f, found := c.missing[key]
	return found && now.Sub(f.tried) < failed
}

// want notes that an unknown name was asked for.
func (c *cache) want(q Request, now time.Time) {
	w := c.wanted[q.Key]
	if w == nil {
		c.makeRoom(now)
		w = &want{request: q}
		c.wanted[q.Key] = w
	}
	w.asked++
	w.last = now
}

// makeRoom forgets the name that was asked for least, if there are too many.
func (c *cache) makeRoom(now time.Time) {
	if len(c.wanted) < maxWanted {
		return
	}
	least, asked := "", 0
	for key, w := range c.wanted {
		if now.Sub(w.last) > patience {
			delete(c.wanted, key)
		} else if least == "" || w.asked < asked {
			least, asked = key, w.asked
		}
	}
	if len(c.wanted) >= maxWanted {
		delete(c.wanted, least)
	}
}

// spend fetches as many of the wanted names as may be fetched now.
func (c *cache) spend(now time.Time) {
	c.fill(now)
	for c.tokens > 0 && len(c.wanted) > 0 {
		c.tokens--
		key := c.next()
		q := c.wanted[key].request
		delete(c.wanted, key)
		c.start(q)
	}
}

// next chooses the name to fetch next: the one that was asked for most. Every
// fourth time it is any of them, so that none waits for ever.
func (c *cache) next() string {
	any, most, asked, seen, ties := "", "", 0, 0, 0
	for key, w := range c.wanted {
		if seen++; rand.IntN(seen) == 0 { //nolint:gosec // fairness, not secrecy
			any = key
		}
		switch {
		case w.asked > asked:
			most, asked, ties = key, w.asked, 1
		case w.asked == asked:
			if ties++; rand.IntN(ties) == 0 { //nolint:gosec // fairness, not secrecy
				most = key
			}
		}
	}
	if rand.IntN(4) == 0 { //nolint:gosec // fairness, not secrecy
		return any
	}
	return most
}

// fill adds the tokens of the time that has passed.
func (c *cache) fill(now time.Time) {
	if c.filled.IsZero() {
		c.filled = now
	}
	if n := int(now.Sub(c.filled) / refill); n > 0 {
		c.tokens = min(burst, c.tokens+n)
		c.filled = c.filled.Add(time.Duration(n) * refill)
	}
}

// start begins a fetch. It does not stop with the request that started it:
// others wait for it, too.
func (c *cache) start(q Request) <-chan struct{} {
	done := make(chan struct{})
	c.running[q.Key] = done
	go func() {
		body, err := fetch(c.client, q)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.finish(q.Key, body, err)
		delete(c.running, q.Key)
		close(done)
	}()
	return done
}

// finish keeps the result of a fetch.
func (c *cache) finish(key string, body []byte, err error) {
	now := c.now()
	d := c.known[key]
	switch {
	case err != nil && d != nil:
		d.tried, d.err = now, err
	case err != nil:
		makeRoomFor(c.missing, maxMissing, func(f failure) time.Time { return f.tried })
		c.missing[key] = failure{err, now}
	case d != nil:
		*d = document{body: body, fetched: now, tried: now, used: now}
	default:
		delete(c.missing, key)
		makeRoomFor(c.known, maxKnown, func(d *document) time.Time { return d.used })
		c.known[key] = &document{body: body, fetched: now, tried: now, used: now}
	}
}

// makeRoomFor removes the entry with the earliest time, if m is full.
func makeRoomFor[E any](m map[string]E, most int, at func(E) time.Time) {
	if len(m) < most {
		return
	}
	first := ""
	for key, e := range m {
		if first == "" || at(e).Before(at(m[first])) {
			first = key
		}
	}
	delete(m, first)
}
