// Package pool keeps stores open across reloads of Caddy's config, for the store
// modules of the gate and of the queue.
package pool

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// Pool keeps the open stores of one type across reloads. Its keys identify a
// store and not its settings, so that a config with other settings finds the
// same store.
//
// It is locked while a store opens or closes: a store that is closing is never
// opened a second time.
type Pool[S any] struct {
	close func(S) error

	mu   sync.Mutex
	open map[string]*shared[S]
}

// New returns an empty pool. closing closes a store that has lost its last use.
func New[S any](closing func(S) error) *Pool[S] {
	return &Pool[S]{close: closing, open: make(map[string]*shared[S])}
}

// shared is an open store and its uses, in the order in which they began.
type shared[S any] struct {
	store S
	uses  []*Use[S]
}

// Use is one use of a store. What it holds of a config is gone with it.
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

// join returns a use of a store that is open, nil if it is not.
func (p *Pool[S]) join(key string, apply func(S)) *Use[S] {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.open[key]; s != nil {
		return p.add(s, key, apply)
	}
	return nil
}

// acquire returns a use of a store, which it opens if it is not open.
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

// add adds a use. Of the uses that there are, the settings of the latest apply:
// a config that fails leaves those of the running one.
func (p *Pool[S]) add(s *shared[S], key string, apply func(S)) *Use[S] {
	u := &Use[S]{Store: s.store, pool: p, key: key, apply: apply}
	s.uses = append(s.uses, u)
	apply(s.store)
	return u
}

// Release ends the use; the last one closes the store. A nil use, and one that
// has ended, has nothing to release.
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

// Slot is the part of a store module that its type has in common with others:
// which store of the pool it is, and how to open it.
type Slot[S any] struct {
	Pool *Pool[S]
	Key  string
	Open func() (S, error)
	// Apply gives an open store the settings and the logger of the config.
	Apply func(S)

	held *Use[S] // since Provision, nil if the store was not open then
	gone atomic.Bool
}

// Join joins the store if this process has it open. Otherwise it leaves it
// alone: `caddy validate` provisions as well.
func (s *Slot[S]) Join() { s.held = s.Pool.join(s.Key, s.Apply) }

// ErrGone is the error of a config that is not in use any more and asks for a
// store that is closed.
var ErrGone = errors.New("the store is closed: its config is not in use any more")

// Acquire opens the store, or joins it. Once the config has gone it only joins,
// and its settings do not apply.
func (s *Slot[S]) Acquire() (*Use[S], error) {
	if !s.gone.Load() {
		return s.Pool.acquire(s.Key, s.Open, s.Apply)
	}
	if u := s.Pool.join(s.Key, func(S) {}); u != nil {
		return u, nil
	}
	return nil, ErrGone
}

// Release ends the use that Join has begun. A nil slot, of a module that was not
// provisioned, has none.
func (s *Slot[S]) Release() error {
	if s == nil {
		return nil
	}
	s.gone.Store(true)
	return s.held.Release()
}
