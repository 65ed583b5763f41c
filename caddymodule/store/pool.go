package store

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// pool keeps the open stores of one type across reloads. Its keys identify a
// store and not its settings, so that a config with other settings finds the
// same store.
//
// It is locked while a store opens or closes: a store that is closing is never
// opened a second time.
type pool[S replay.Store] struct {
	close func(S) error

	mu   sync.Mutex
	open map[string]*shared[S]
}

func newPool[S replay.Store](closing func(S) error) *pool[S] {
	return &pool[S]{close: closing, open: make(map[string]*shared[S])}
}

// shared is an open store and its uses, in the order in which they began.
type shared[S replay.Store] struct {
	store S
	uses  []*use[S]
}

// use is one use of a store. What it holds of a config is gone with it.
type use[S replay.Store] struct {
	pool  *pool[S]
	key   string
	store S
	apply func(S) // settings and logger
}

// join returns a use of a store that is open, nil if it is not.
func (p *pool[S]) join(key string, apply func(S)) *use[S] {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.open[key]; s != nil {
		return p.add(s, key, apply)
	}
	return nil
}

// acquire returns a use of a store, which it opens if it is not open.
func (p *pool[S]) acquire(key string, open func() (S, error), apply func(S)) (*use[S], error) {
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
func (p *pool[S]) add(s *shared[S], key string, apply func(S)) *use[S] {
	u := &use[S]{pool: p, key: key, store: s.store, apply: apply}
	s.uses = append(s.uses, u)
	apply(s.store)
	return u
}

// release ends the use; the last one closes the store. A nil use, and one that
// has ended, has nothing to release.
func (u *use[S]) release() error {
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
	s.uses = slices.DeleteFunc(s.uses, func(other *use[S]) bool { return other == u })
	if n := len(s.uses); n > 0 {
		s.uses[n-1].apply(s.store)
		return nil
	}
	delete(p.open, u.key)
	return p.close(s.store)
}

// slot is the part of a store module that its type has in common with others:
// which store of the pool it is, and how to open it.
type slot[S replay.Store] struct {
	pool  *pool[S]
	key   string
	open  func() (S, error)
	apply func(S)
	held  *use[S] // since Provision, nil if the store was not open then
	gone  atomic.Bool
}

// join joins the store if this process has it open. Otherwise it leaves it
// alone: `caddy validate` provisions as well.
func (s *slot[S]) join() { s.held = s.pool.join(s.key, s.apply) }

var errGone = errors.New("the store is closed: its config is not in use any more")

// acquire opens the store, or joins it. Once the config has gone it only joins,
// and its settings do not apply.
func (s *slot[S]) acquire() (replay.Store, func() error, error) {
	if s.gone.Load() {
		u := s.pool.join(s.key, func(S) {})
		if u == nil {
			return nil, nil, errGone
		}
		return u.store, u.release, nil
	}
	u, err := s.pool.acquire(s.key, s.open, s.apply)
	if err != nil {
		return nil, nil, err
	}
	return u.store, u.release, nil
}

// release ends the use that join has begun. A nil slot, of a module that was not
// provisioned, has none.
func (s *slot[S]) release() error {
	if s == nil {
		return nil
	}
	s.gone.Store(true)
	return s.held.release()
}
