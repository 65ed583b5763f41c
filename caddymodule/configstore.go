package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// StoreModule is implemented by the Caddy modules in StoreNamespace. Provision and
// Validate must not change the store, because `caddy validate` calls them too,
// possibly while another process uses the store.
type StoreModule interface {
	caddy.Module
	// Open opens the store, or joins it if it is already open in this process.
	// After Cleanup it only joins, and returns an error if the store is not
	// open: a delivery can outlive its config. release releases the store.
	// It is called after the last delivery that uses the store has ended,
	// which may be after Cleanup.
	Open() (store replay.Store, release func() error, err error)
}

// NamedStore is implemented by store modules of which a config can have more than
// one. The name appears in metrics and must not contain a password.
type NamedStore interface{ StoreName() string }

// storeLabel returns the label of a store in metrics: its type and, if it has one,
// its name.
func storeLabel(s StoreModule) string {
	label := s.CaddyModule().ID.Name()
	if named, ok := s.(NamedStore); ok && named.StoreName() != "" {
		label += " " + named.StoreName()
	}
	return label
}

// errStoreClosed is the error of a delivery that outlives its config.
var errStoreClosed = errors.New("the config of this endpoint is no longer used")

// configStore is a replay store in one config. It is opened once: when the app
// starts or the first delivery arrives, whichever is first, because Caddy starts
// apps in random order. It stays open until the config is replaced and the last
// delivery that uses it has ended.
type configStore struct {
	*meteredStore // its Store is set once opened is closed

	label string
	open  func() (replay.Store, func() error, error)

	once   sync.Once
	opened chan struct{} // closed after the attempt to open it
	err    error         // the result of that attempt

	mu      sync.Mutex
	users   int          // the config, and its current deliveries
	release func() error // called by the last user
}

func newConfigStore(label string, open func() (replay.Store, func() error, error)) *configStore {
	return &configStore{
		meteredStore: newMeteredStore(nil, label),
		label:        label, open: open,
		opened: make(chan struct{}),
		users:  1,
	}
}

// use returns when the store is open, or with an error if it is not. Without an error
// the store stays open until done is called.
func (s *configStore) use(ctx context.Context) error {
	if !s.join() {
		return s.rejoin()
	}
	if s.isOpen() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := s.await(ctx); err != nil {
		s.done()
		return err
	}
	return nil
}

// join adds a user, unless the last one has left.
func (s *configStore) join() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == 0 {
		return false
	}
	s.users++
	return true
}

// rejoin is for a delivery that arrives after its config was replaced: the old
// server can accept a last connection. It becomes a user if the next config has
// the same store.
func (s *configStore) rejoin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users > 0 {
		s.users++
		return nil
	}
	if !s.isOpen() {
		return errStoreClosed
	}
	store, release, err := s.open()
	if err != nil {
		return err
	}
	if store != s.Store { // it was closed and opened again meanwhile
		return errors.Join(errStoreClosed, release())
	}
	s.users, s.release = 1, release
	return nil
}

// done removes a user. The last one releases the store.
func (s *configStore) done() {
	s.mu.Lock()
	s.users--
	var release func() error
	if s.users == 0 {
		release, s.release = s.release, nil
	}
	s.mu.Unlock()
	if release == nil {
		return
	}
	if err := release(); err != nil {
		caddy.Log().Named(appID).Error("closing a replay store failed", zap.String("store", s.label), zap.Error(err))
	}
}

// await opens the store, or waits until it is open. The caller must be a user.
func (s *configStore) await(ctx context.Context) error {
	s.once.Do(func() {
		s.join() // opening continues after a delivery has stopped waiting
		go s.openNow()
	})
	select {
	case <-s.opened:
		return s.err
	case <-ctx.Done():
		return fmt.Errorf("opening the replay store: %w", ctx.Err())
	}
}

func (s *configStore) openNow() {
	defer s.done()
	defer close(s.opened)
	store, release, err := s.open()
	if err == nil && store == nil {
		err = fmt.Errorf("the module of the store %s returned no store", s.label)
	}
	s.Store, s.err = store, err
	s.mu.Lock()
	s.release = release
	s.mu.Unlock()
}

// isOpen reports whether the store can be used.
func (s *configStore) isOpen() bool {
	select {
	case <-s.opened:
		return s.err == nil
	default:
		return false
	}
}

// useStore keeps the store open while a delivery is handled. A delivery that cannot
// be distinguished from its copies does not need the store.
//
// A store that is not open has not failed: on_store_error does not apply.
func (h *Handler) useStore(d *delivery) error {
	if len(d.keys.Blocking) == 0 {
		return nil
	}
	if err := h.shared.use(d.r.Context()); err != nil {
		return &refusal{outcome: StoreUnavailable, reason: "the replay store is not open; the provider gets 503 and retries", err: err}
	}
	d.usesStore = true
	return nil
}

func (h *Handler) doneWithStore(d *delivery) {
	if d.usesStore {
		h.shared.done()
	}
}
