// Package pool keeps stores open across reloads of Caddy's config, for the store
// modules of the gate and of the queue.
package pool

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// Pool keeps the open stores of one type across reloads. A key identifies a store
// without its settings, so that a config with other settings finds the same store.
//
// It is locked while a store opens or closes, so that a closing store is never
// opened a second time.
type Pool[S any] struct {
	close func(S) error

	mu   sync.Mutex
	open map[string]*shared[S]
}

// New returns an empty pool. closing closes a store after its last use.
func New[S any](closing func(S) error) *Pool[S] {
	return &Pool[S]{close: closing, open: make(map[string]*shared[S])}
}

// shared is an open store with its uses, in the order of their start.
type shared[S any] struct {
	store S
	uses  []*Use[S]
}

// Use is one use of a store. It ends with its config.
type Use[S any] struct {
	// Store is open until the use is released.
	Store S

	pool  *Pool[S]
	key   string
	apply func(S) // settings and logger
}

// Get returns an open store without using it.
func (p *Pool[S]) Get(key string) (store S, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.open[key]; s != nil {
		return s.store, true
	}
	return store, false
}

// Len returns how many stores are open.
func (p *Pool[S]) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}

// join returns a use of a store, nil if it is not open.
func (p *Pool[S]) join(key string, apply func(S)) *Use[S] {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.open[key]; s != nil {
		return p.add(s, key, apply)
	}
	return nil
}

// acquire returns a use of a store, and opens it if necessary.
func (p *Pool[S]) acquire(key string, open func() (S, error), apply func(S)) (*Use[S], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.open[key]
	if s == nil {
		store, err := open()
		if err != nil {
			return nil, err
		}
		s = &shared[S]{store: store}
		p.open[key] = s
	}
	return p.add(s, key, apply), nil
}

// add adds a use. The settings of the latest use apply; if its config fails, those
// of the running config apply again.
func (p *Pool[S]) add(s *shared[S], key string, apply func(S)) *Use[S] {
	u := &Use[S]{Store: s.store, pool: p, key: key, apply: apply}
	s.uses = append(s.uses, u)
	apply(s.store)
	return u
}

// Release ends the use; the last one closes the store. Releasing a nil or released
// use has no effect.
func (u *Use[S]) Release() error {
	if u == nil {
		return nil
	}
	p := u.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.open[u.key]
	if s == nil || !slices.Contains(s.uses, u) {
		return nil
	}
	s.uses = slices.DeleteFunc(s.uses, func(other *Use[S]) bool { return other == u })
	if n := len(s.uses); n > 0 {
		s.uses[n-1].apply(s.store)
		return nil
	}
	delete(p.open, u.key)
	return p.close(s.store)
}

// Slot is the common part of store modules: which store of the pool to use, and how
// to open it.
type Slot[S any] struct {
	Pool *Pool[S]
	Key  string
	Open func() (S, error)
	// Apply applies the settings and the logger of the config to an open store.
	Apply func(S)

	held *Use[S] // acquired in Provision, nil if the store was not open
	gone atomic.Bool
}

// Join joins the store if it is open in this process. Otherwise it does nothing,
// because `caddy validate` also provisions.
func (s *Slot[S]) Join() { s.held = s.Pool.join(s.Key, s.Apply) }

// ErrGone is the error of a config that is no longer used and requests a closed
// store.
var ErrGone = errors.New("the store is closed: its config is no longer used")

// Acquire opens the store, or joins it. After the end of the config it only joins,
// and the settings do not apply.
func (s *Slot[S]) Acquire() (*Use[S], error) {
	if !s.gone.Load() {
		return s.Pool.acquire(s.Key, s.Open, s.Apply)
	}
	if u := s.Pool.join(s.Key, func(S) {}); u != nil {
		return u, nil
	}
	return nil, ErrGone
}

// Release ends the use of Join. It has no effect on a nil slot, of a module that was
// not provisioned.
func (s *Slot[S]) Release() error {
	if s == nil {
		return nil
	}
	s.gone.Store(true)
	return s.held.Release()
}
