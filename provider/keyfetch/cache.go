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
	// maxKnown is the maximum number of documents per host. Providers have few.
	maxKnown = 64
	// maxMissing is the maximum number of cached failures for unknown names.
	maxMissing = 256
	// maxWanted is the maximum number of unknown names that wait for a fetch.
	maxWanted = 256
	// maxSenders is the maximum number of senders with a sample.
	maxSenders = 256
	// failed is the time for which a failure is cached.
	failed = time.Minute
	// burst is the number of unknown names that can be fetched at once. One more
	// can be fetched every refill.
	burst  = 8
	refill = time.Second
	// patience is the time after which a name that is not requested again is
	// dropped.
	patience = time.Hour
)

// cache caches the documents of one host.
type cache struct {
	client *http.Client
	now    func() time.Time

	mu      sync.Mutex
	known   map[string]*document
	missing map[string]failure // by name: failures to fetch unknown documents
	wanted  map[string]*want   // unknown names that wait for a token
	samples map[string]*sample // by sender
	running map[string]chan struct{}
	tokens  int
	filled  time.Time
}

// document is a document that was fetched at least once.
type document struct {
	body    []byte
	fetched time.Time
	tried   time.Time // when the last fetch ended
	err     error     // of the last fetch
	used    time.Time
}

type failure struct {
	err   error
	tried time.Time
}

// sample is one of a sender's requests for unknown names since its last sample was
// fetched, each of them with the same probability; of is their number.
type sample struct {
	request Request
	of      int
}

// want is an unknown name and the number of requests for it.
type want struct {
	request Request
	asked   int
	last    time.Time
}

func newCache(transport http.RoundTripper) *cache {
	return &cache{
		client: newClient(transport), now: time.Now, tokens: burst,
		known: make(map[string]*document), missing: make(map[string]failure), wanted: make(map[string]*want), samples: make(map[string]*sample), running: make(map[string]chan struct{}),
	}
}

func (c *cache) get(ctx context.Context, q Request) ([]byte, error) {
	for {
		body, wait, err := c.lookUp(ctx, q)
		if wait == nil {
			return body, err
		}
		select {
		case <-wait:
			// The fetch has just ended: accept its result even if it is older
			// than the requested age.
			q.MaxAge = max(q.MaxAge, timeout)
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for keys: %w", ctx.Err())
		}
	}
}

// lookUp returns the cached result, or a channel to wait for.
func (c *cache) lookUp(ctx context.Context, q Request) (body []byte, wait <-chan struct{}, err error) {
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
	c.sample(senderOf(ctx), q)
	c.spend(now)
	if running = c.running[q.Key]; running != nil {
		return nil, running, nil
	}
	return nil, nil, ErrBusy
}

// old returns an expired document that is not stale, or the last error.
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

// want records a request for an unknown name.
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

// sample records a request of a sender. If there are too many senders, it replaces
// any of them.
func (c *cache) sample(sender string, q Request) {
	s := c.samples[sender]
	if s == nil {
		if len(c.samples) >= maxSenders {
			delete(c.samples, anyOf(c.samples))
		}
		s = new(sample)
		c.samples[sender] = s
	}
	if s.of++; oneIn(s.of) {
		s.request = q
	}
}

// makeRoom removes the least requested name if there are too many.
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

// spend starts fetches of wanted names while there are tokens.
func (c *cache) spend(now time.Time) {
	c.fill(now)
	for c.tokens > 0 && len(c.wanted) > 0 {
		c.tokens--
		q := c.next(now)
		delete(c.wanted, q.Key)
		c.start(q)
	}
}

// next returns what to fetch next: the most requested name or, with a probability
// of 1/2, the sample of any sender. The most requested name alone would let an attacker
// starve the others by requesting each of many names several times. With the samples,
// the share of a sender in the fetches is at least half of its share in the senders,
// and the share of a name at least half of its share in a sender's requests, whatever
// else is requested.
func (c *cache) next(now time.Time) Request {
	if oneIn(2) {
		for len(c.samples) > 0 {
			sender := anyOf(c.samples)
			q := c.samples[sender].request
			delete(c.samples, sender)
			if c.isUnknown(q.Key, now) {
				return q
			}
		}
	}
	return c.wanted[c.mostWanted()].request
}

// anyOf returns a key of m, each with the same probability.
func anyOf[E any](m map[string]E) string {
	skip := rand.IntN(len(m)) //nolint:gosec // fairness, not secrecy
	for key := range m {
		if skip == 0 {
			return key
		}
		skip--
	}
	return "" // m is empty
}

// isUnknown reports whether a name has not been fetched since it was requested.
func (c *cache) isUnknown(key string, now time.Time) bool {
	return c.known[key] == nil && c.running[key] == nil && !c.failedBefore(key, now)
}

// mostWanted returns the most requested of the wanted names.
func (c *cache) mostWanted() string {
	most, asked, ties := "", 0, 0
	for key, w := range c.wanted {
		switch {
		case w.asked > asked:
			most, asked, ties = key, w.asked, 1
		case w.asked == asked:
			if ties++; oneIn(ties) {
				most = key
			}
		}
	}
	return most
}

// oneIn returns true with a probability of 1/n.
func oneIn(n int) bool {
	return rand.IntN(n) == 0 //nolint:gosec // fairness, not secrecy
}

// fill adds tokens for the elapsed time.
func (c *cache) fill(now time.Time) {
	if c.filled.IsZero() {
		c.filled = now
	}
	if n := int(now.Sub(c.filled) / refill); n > 0 {
		c.tokens = min(burst, c.tokens+n)
		c.filled = c.filled.Add(time.Duration(n) * refill)
	}
}

// start starts a fetch. The fetch is not canceled with the request that started it,
// because other requests wait for it.
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

// finish stores the result of a fetch.
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

// makeRoomFor removes the entry with the earliest time if m is full.
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
