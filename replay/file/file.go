// Package file is a replay store in one bbolt file that survives a restart. It
// is the default store.
//
// Claims are in memory, because the file is locked by this process. A commit is
// on disk before it returns. Concurrent commits share one transaction and its
// fsync; a single commit does not wait for others. All handled keys are also
// indexed in memory, so that no lookup reads the disk.
package file

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/boltfile"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/internal/ledger"
)

// Defaults of [Options].
const (
	DefaultMaxEntries  = ledger.DefaultMaxKeys
	DefaultLockTimeout = 3 * time.Second
)

// Errors of opening and using a replay file. Errors that wrap them have more
// details.
var (
	// ErrLocked: another process has the file open.
	ErrLocked = boltfile.ErrLocked
	// ErrDamaged: the contents of the file are not what this package wrote.
	ErrDamaged = boltfile.ErrDamaged
	// ErrUnwritable: the last write failed and none has succeeded since.
	// Deliveries are rejected, because they could not be recorded.
	ErrUnwritable = boltfile.ErrUnwritable
	// ErrClosed: the store is closed.
	ErrClosed = boltfile.ErrClosed
)

// Options are the settings of a [Store].
type Options struct {
	// Path is the file. It is created with mode 0600 if it does not exist,
	// and its folder with mode 0700.
	Path string
	// MaxEntries is the maximum number of keys, claimed and handled together. A
	// delivery has one key, or two if its ID is not signed, and twice as many
	// while two secrets are configured. A key uses at most 48 bytes of memory
	// and about 50 bytes on disk. So the default of 4,000,000 keys uses about
	// 180 MB of memory once that many are stored. A store at its limit rejects
	// new deliveries with [replay.ErrFull] until a window passes; it never
	// forgets a key early.
	MaxEntries int64
	// LockTimeout is how long Open waits for another process, or for a store of
	// this process that is closing, to unlock the file. Default 3 s.
	LockTimeout time.Duration

	wall func() time.Time // the wall clock; tests set it
}

// Store is a [replay.Store] in a file.
//
// Windows are stored in wall-clock time, rounded up to a second, because they
// survive the process. While the process runs, the store uses the monotonic
// clock, so that a step of the wall clock does not expire keys early. Between
// two runs it relies on the wall clock. A key expires early only if the wall
// clock was behind when the delivery was handled, or is ahead when the store is
// opened.
type Store struct {
	ledger *ledger.Ledger
	db     *boltfile.DB
	wall   func() time.Time

	mu      sync.Mutex
	pending []*request
	closed  bool

	wake    chan struct{} // a request is pending, or closed is set
	stopped chan struct{} // closed when the writer has ended
	oldest  uint32        // first period that may be on disk; used by the writer only
}

var (
	_ replay.Store         = (*Store)(nil)
	_ replay.Lookuper      = (*Store)(nil)
	_ replay.Forgetter     = (*Store)(nil)
	_ replay.StatsReporter = (*Store)(nil)
)

// SetMaxEntries changes [Options.MaxEntries]. A lower limit removes no keys:
// the store is full until enough windows have passed.
func (s *Store) SetMaxEntries(n int64) { s.ledger.SetLimit(n) }

// SetLogger sets the logger that reports when the file becomes unwritable and
// when it can be written again. nil, the default, logs nothing.
func (s *Store) SetLogger(l *slog.Logger) { s.db.SetLogger(l) }

// Claim implements [replay.Store]. It returns [ErrUnwritable] while commits
// would fail.
func (s *Store) Claim(_ context.Context, keys replay.Keys, owner replay.Owner, lease time.Duration) (replay.Verdict, error) {
	if err := s.db.WriteError(); err != nil {
		return 0, err
	}
	return s.ledger.Claim(keys, owner, lease)
}

// Renew implements [replay.Store].
func (s *Store) Renew(_ context.Context, keys replay.Keys, owner replay.Owner, lease time.Duration) error {
	return s.ledger.Renew(keys, owner, lease)
}

// Commit implements [replay.Store]. After it returns without an error, the
// commit survives a crash of the process and, if the disk honours fsync, of the
// machine. If it fails, the claim remains until its lease expires. If ctx ends
// first, the commit may still succeed.
func (s *Store) Commit(ctx context.Context, keys replay.Keys, owner replay.Owner, window time.Duration, status int) error {
	done, err := s.ledger.Pin(keys, owner)
	if done || err != nil {
		return err
	}
	r := newRequest()
	r.keys = replay.Keys{Blocking: slices.Clone(keys.Blocking), Notes: slices.Clone(keys.Notes)}
	r.owner, r.window, r.status = owner, window, status
	if err := s.submit(r); err != nil {
		s.ledger.Unpin(keys, owner)
		return err
	}
	return r.wait(ctx)
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

// Forget implements [replay.Forgetter]. It is as durable as a commit.
func (s *Store) Forget(ctx context.Context, keys []replay.Key) (int, error) {
	if len(keys) == 0 {
		return 0, nil
	}
	r := newRequest()
	r.forget = slices.Clone(keys)
	if err := s.submit(r); err != nil {
		return 0, err
	}
	if err := r.wait(ctx); err != nil {
		return 0, err
	}
	return r.forgotten, nil
}

// Stats implements [replay.StatsReporter].
func (s *Store) Stats() replay.Stats { return s.ledger.Stats() }

// Close completes pending commits and closes the file. Later calls fail with
// [ErrClosed].
func (s *Store) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return ErrClosed
	}
	s.signal()
	<-s.stopped
	return s.db.Close()
}
