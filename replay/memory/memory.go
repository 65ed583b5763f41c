// Package memory is a replay store in the memory of this process. It is the
// fastest store, and its contents are lost when the process ends.
package memory

import (
	"context"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/internal/ledger"
)

// DefaultMaxEntries is the default of [Options.MaxEntries].
const DefaultMaxEntries = ledger.DefaultMaxKeys

// Options are the settings of a [Store].
type Options struct {
	// MaxEntries is the maximum number of keys, claimed and handled together. A
	// delivery has one key, or two if its ID is not signed, and twice as many
	// while two secrets are configured. A key uses at most 48 bytes. So the
	// default of 4,000,000 keys uses about 180 MB once that many are stored. A
	// store at its limit rejects new deliveries with [replay.ErrFull] until a
	// window passes; it never forgets a key early.
	MaxEntries int64
}

// Store is a [replay.Store] in memory. Its clock is monotonic: steps of the
// wall clock have no effect. Create it with [New]; it need not be closed.
type Store struct {
	ledger *ledger.Ledger
}

var (
	_ replay.Store         = (*Store)(nil)
	_ replay.Lookuper      = (*Store)(nil)
	_ replay.Forgetter     = (*Store)(nil)
	_ replay.StatsReporter = (*Store)(nil)
)

// New returns an empty store.
func New(o Options) *Store {
	return &Store{ledger.New(o.MaxEntries, 1)}
}

// SetMaxEntries changes [Options.MaxEntries]. A lower limit removes no keys:
// the store is full until enough windows have passed.
func (s *Store) SetMaxEntries(n int64) { s.ledger.SetLimit(n) }

// Claim implements [replay.Store].
func (s *Store) Claim(_ context.Context, keys replay.Keys, owner replay.Owner, lease time.Duration) (replay.Verdict, error) {
	return s.ledger.Claim(keys, owner, lease)
}

// Renew implements [replay.Store].
func (s *Store) Renew(_ context.Context, keys replay.Keys, owner replay.Owner, lease time.Duration) error {
	return s.ledger.Renew(keys, owner, lease)
}

// Commit implements [replay.Store].
func (s *Store) Commit(_ context.Context, keys replay.Keys, owner replay.Owner, window time.Duration, status int) error {
	return s.ledger.Commit(keys, owner, s.ledger.Expiry(window), status)
}

// Release implements [replay.Store].
func (s *Store) Release(_ context.Context, keys replay.Keys, owner replay.Owner, status int) error {
	s.ledger.Release(keys, owner, status)
	return nil
}

// Wait implements [replay.Store].
func (s *Store) Wait(ctx context.Context, keys replay.Keys) (replay.Resolution, error) {
	return s.ledger.Wait(ctx, keys)
}

// Lookup implements [replay.Lookuper].
func (s *Store) Lookup(_ context.Context, keys []replay.Key) ([]replay.State, error) {
	return s.ledger.Lookup(keys), nil
}

// Forget implements [replay.Forgetter].
func (s *Store) Forget(_ context.Context, keys []replay.Key) (int, error) {
	return s.ledger.Forget(keys), nil
}

// Stats implements [replay.StatsReporter].
func (s *Store) Stats() replay.Stats { return s.ledger.Stats() }
