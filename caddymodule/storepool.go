package caddymodule

import (
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
)

// storePool keeps stores of one type across reloads. Its keys say which store
// it is, never how it is set: a config with other settings must find the same
// one.
type storePool[S any] struct {
	pool  *caddy.UsagePool
	close func(S) error
}

func newStorePool[S any](closing func(S) error) *storePool[S] {
	return &storePool[S]{caddy.NewUsagePool(), closing}
}

// sharedStore is a store in a pool, with those who use it. It holds nothing of
// a config but what they have put there, and only until they leave.
type sharedStore[S any] struct {
	store S
	close func(S) error

	mu    sync.Mutex
	users []*storeUse[S] // in the order in which they came
}

// Destruct implements caddy.Destructor.
func (s *sharedStore[S]) Destruct() error { return s.close(s.store) }

// storeUse is the use that one module makes of a store.
type storeUse[S any] struct {
	store S

	pool   *storePool[S]
	key    string
	shared *sharedStore[S]
	apply  func(S) // this user's settings
}

// acquire finds or opens a store. The settings of the user that came last
// apply, of those that are still there: a config that fails half-way leaves
// those of the one that runs.
func (p *storePool[S]) acquire(key string, open func() (S, error), apply func(S)) (*storeUse[S], error) {
	v, _, err := p.pool.LoadOrNew(key, func() (caddy.Destructor, error) {
		store, err := open()
		if err != nil {
			return nil, err
		}
		return &sharedStore[S]{store: store, close: p.close}, nil
	})
	if err != nil {
		return nil, err
	}
	shared := v.(*sharedStore[S])
	u := &storeUse[S]{store: shared.store, pool: p, key: key, shared: shared, apply: apply}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.users = append(shared.users, u)
	apply(shared.store)
	return u, nil
}

// release gives the store back, once; a nil use has acquired nothing. The
// last one closes the store.
func (u *storeUse[S]) release() error {
	if u == nil || u.shared == nil {
		return nil
	}
	shared := u.shared
	u.shared = nil
	shared.mu.Lock()
	shared.users = slices.DeleteFunc(shared.users, func(other *storeUse[S]) bool { return other == u })
	if n := len(shared.users); n > 0 {
		shared.users[n-1].apply(shared.store)
	}
	shared.mu.Unlock()
	_, err := u.pool.pool.Delete(u.key)
	return err
}
