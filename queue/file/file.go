// Package file is a queue in one bbolt file, with a folder next to it for large
// bodies. Everything is on disk before a call returns. Concurrent calls share
// one transaction and its fsync.
//
// Leases are in memory, because the file is locked by this process: entries
// that were in flight when the process ended are waiting again. Nothing else is
// kept in memory, and opening the file reads only the clock.
package file

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/verify-webhook/caddy-verify-webhook/internal/boltfile"
	"github.com/verify-webhook/caddy-verify-webhook/queue"
	"github.com/verify-webhook/caddy-verify-webhook/queue/internal/record"
)

// Defaults of [Options].
const (
	DefaultLockTimeout = 3 * time.Second
	DefaultMinFree     = 128 << 20
)

// Errors of opening a queue file. Errors that wrap them have more details.
var (
	ErrLocked  = boltfile.ErrLocked
	ErrDamaged = boltfile.ErrDamaged
)

// Options are the settings of a [Store].
type Options struct {
	// Path is the file. It is created with mode 0600 if it does not exist, and
	// its folder with mode 0700. Large bodies are files in the folder of the
	// same name with ".bodies" appended.
	Path string
	// MinFree is the disk space that must stay free: an entry that would leave
	// less is rejected with [queue.ErrFull]. Default 128 MiB; a negative value
	// disables the check.
	MinFree int64
	// LockTimeout is how long Open waits for another process, or for a queue of
	// this process that is closing, to unlock the file. Default 3 s.
	LockTimeout time.Duration

	wall func() time.Time // the wall clock; tests set it
}

// Store is a [queue.Queue] in a file.
//
// Its clock is based on the monotonic clock and is stored, so that it never
// goes back: neither while the process runs nor from one process to the next.
// When the file is opened, the clock is set to the wall clock if that is ahead.
type Store struct {
	file    *boltfile.Writer
	bodies  *bodies
	minFree atomic.Int64
	wall    func() time.Time

	opened time.Time // has a monotonic reading
	base   int64     // the engine's clock when it was opened, in milliseconds

	process string // distinguishes the tokens of leases
	tokens  atomic.Uint64

	mu    sync.Mutex
	flows map[string]*flow // by queue name
}

// flow is the set of entries of one queue that are in flight, by sequence
// number.
type flow struct {
	mu   sync.Mutex
	held map[uint64]*held
}

// held is a lease. It is also a lock on an entry while its lease is being ended
// or an operator changes it.
type held struct {
	token   string
	expires time.Time
	busy    bool
}

func (h *held) free(now time.Time) bool { return h == nil || !h.busy && !now.Before(h.expires) }

var _ queue.Queue = (*Store)(nil)

// Open opens the file, or creates it if it does not exist. It never replaces a
// file that it cannot read.
func Open(o Options) (*Store, error) {
	if o.LockTimeout <= 0 {
		o.LockTimeout = DefaultLockTimeout
	}
	if o.wall == nil {
		o.wall = time.Now
	}
	file, err := boltfile.OpenWriter(boltfile.Options{
		Path: o.Path, LockTimeout: o.LockTimeout, Kind: "queue file", Format: formatVersion,
		Loss:   "deliveries waiting in it will not be delivered",
		Impact: "deliveries are rejected until it can be written",
	})
	if err != nil {
		return nil, err
	}
	s := &Store{file: file, wall: o.wall, opened: time.Now(), flows: map[string]*flow{}, process: randomName()}
	s.SetMinFree(o.MinFree)
	if err := s.prepare(o.Path); err != nil {
		return nil, errors.Join(fmt.Errorf("opening queue file %s: %w", o.Path, err), file.Close())
	}
	return s, nil
}

func (s *Store) prepare(path string) error {
	var clock int64
	err := s.file.Write(context.Background(), func(tx *bolt.Tx) (refused, err error) {
		for _, name := range [][]byte{queuesBucket, bodiesBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return nil, err
			}
		}
		root, err := tx.CreateBucketIfNotExists(clockBucket)
		if err != nil {
			return nil, err
		}
		if value := root.Get(clockKey); len(value) == 8 {
			clock = int64(binary.BigEndian.Uint64(value))
		}
		return nil, nil
	}, nil)
	if err != nil {
		return err
	}
	s.base = max(s.wall().UnixMilli(), clock)
	s.bodies, err = openBodies(path+".bodies", s.file)
	return err
}

// SetMinFree changes [Options.MinFree].
func (s *Store) SetMinFree(bytes int64) {
	if bytes == 0 {
		bytes = DefaultMinFree
	}
	s.minFree.Store(bytes)
}

// SetLogger sets the logger that reports when the file becomes unwritable and
// when it can be written again. nil, the default, logs nothing.
func (s *Store) SetLogger(l *slog.Logger) { s.file.SetLogger(l) }

// now returns the engine's clock in milliseconds.
func (s *Store) now() int64 { return s.base + time.Since(s.opened).Milliseconds() }

func (s *Store) flow(name string) *flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.flows[name]
	if f == nil {
		f = &flow{held: map[uint64]*held{}}
		s.flows[name] = f
	}
	return f
}

// Close implements [queue.Queue].
func (s *Store) Close() error {
	s.bodies.close()
	return outward(s.file.Close())
}

// update runs a change with the buckets of one queue. after is called with the
// result, as in [boltfile.Writer.Write].
func (s *Store) update(ctx context.Context, name string, change func(*shelf) (refused, err error), after func(error)) error {
	return outward(s.file.Write(ctx, s.onShelf(name, change), after))
}

// updatePatiently is update for a change that can wait for others, as in
// [boltfile.Writer.WritePatiently].
func (s *Store) updatePatiently(ctx context.Context, name string, change func(*shelf) (refused, err error), after func(error)) error {
	return outward(s.file.WritePatiently(ctx, s.onShelf(name, change), after))
}

// onShelf turns a change of one queue into a change of the file.
func (s *Store) onShelf(name string, change func(*shelf) (refused, err error)) boltfile.Change {
	return func(tx *bolt.Tx) (refused, err error) {
		shelf, err := openShelf(tx, name)
		if errors.Is(err, queue.ErrDamaged) {
			return err, nil // does not affect other queues
		}
		if err != nil {
			return nil, err
		}
		if refused, err = change(shelf); refused != nil || err != nil {
			return refused, err
		}
		if err := shelf.save(); err != nil {
			return nil, err
		}
		return nil, tx.Bucket(clockBucket).Put(clockKey, number(s.now()))
	}
}

// view runs a read transaction with the buckets of one queue. It does nothing
// if the queue does not exist.
func (s *Store) view(name string, do func(*shelf) error) error {
	if err := queue.CheckName(name); err != nil {
		return err
	}
	return outward(s.file.View(func(tx *bolt.Tx) error {
		shelf, err := readShelf(tx, name)
		if shelf == nil || err != nil {
			return err
		}
		return do(shelf)
	}))
}

// outward converts errors of the file to those of package queue.
func outward(err error) error {
	switch {
	case err == nil, errors.Is(err, queue.ErrFull), errors.Is(err, queue.ErrClosed), errors.Is(err, queue.ErrUnavailable):
		return err
	case errors.Is(err, boltfile.ErrClosed):
		return fmt.Errorf("%w: %w", queue.ErrClosed, err)
	case boltfile.DiskFull(err):
		return fmt.Errorf("%w: %w", &queue.FullError{What: queue.FullDisk}, err)
	case errors.Is(err, boltfile.ErrUnwritable), errors.Is(err, boltfile.ErrDamaged):
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
	}
	return err
}

// Put implements [queue.Queue].
func (s *Store) Put(ctx context.Context, put queue.Put) (queue.PutResult, error) {
	if err := put.Check(); err != nil {
		return queue.PutResult{}, err
	}
	if put.Key == "" {
		put.Key = queue.NewKey()
	}
	result := queue.PutResult{Key: put.Key}
	request, err := record.Encode(&put.Request)
	if err != nil {
		return queue.PutResult{}, err
	}
	size := int64(len(request)) + put.BodySize
	// Respond without writing if possible.
	known, full, err := s.check(put.Queue, put.Key, &put.Limits, size)
	if err != nil || known != 0 {
		result.Existing = known
		return result, err
	}
	if err := cmp.Or(full, s.checkDisk(size)); err != nil {
		return queue.PutResult{}, err
	}
	body, err := s.bodies.take(&put)
	if err != nil {
		return queue.PutResult{}, outward(err)
	}
	if put.Accepted.IsZero() {
		put.Accepted = s.wall()
	}
	m := meta{
		state: queue.Waiting, key: put.Key, accepted: put.Accepted.UnixMilli(), remember: milliseconds(put.Remember),
		bodySize: put.BodySize, size: size, file: body.file, sum: body.sum,
	}
	var existing queue.State
	err = s.update(ctx, put.Queue, func(q *shelf) (refused, err error) {
		if existing = q.state(put.Key, s.now()); existing != 0 {
			return errExists, nil
		}
		if err := q.counts.room(&put.Limits, size); err != nil {
			return err, nil
		}
		m.put = s.now()
		m.since, m.due = m.put, m.put+milliseconds(put.Delay)
		return nil, q.add(&m, request, body.inline)
	}, func(err error) {
		if err != nil {
			s.bodies.abandon(body.file)
		}
	})
	if errors.Is(err, errExists) {
		result.Existing = s.seen(put.Queue, put.Key, existing)
		return result, nil
	}
	if err != nil {
		return queue.PutResult{}, err
	}
	return result, nil
}

// errExists rejects a put whose key already exists.
var errExists = errors.New("the key already exists")

// checkDisk returns an error if an entry of this size would leave too little
// disk space. A bbolt file needs more space than its entries, and also needs
// space to delete entries; MinFree reserves it.
func (s *Store) checkDisk(size int64) error {
	limit := s.minFree.Load()
	if limit < 0 {
		return nil
	}
	free, known := freeBytes(s.bodies.dir)
	if known && free-size < limit {
		return &queue.FullError{What: queue.FullDisk, Limit: limit}
	}
	return nil
}

// check returns the state of the entry or tombstone that has the key, and an
// error if there is no room for a new entry.
func (s *Store) check(name, key string, limits *queue.Limits, size int64) (state queue.State, full, err error) {
	err = s.view(name, func(q *shelf) error {
		state = q.state(key, s.now())
		full = q.counts.room(limits, size)
		return nil
	})
	return s.seen(name, key, state), full, err
}

// state returns the state of the entry or tombstone that has the key.
func (s *Store) state(name, key string) (state queue.State, err error) {
	err = s.view(name, func(q *shelf) error {
		state = q.state(key, s.now())
		return nil
	})
	return s.seen(name, key, state), err
}

// seen changes waiting to in flight if the entry is leased.
func (s *Store) seen(name, key string, state queue.State) queue.State {
	if state != queue.Waiting {
		return state
	}
	_ = s.view(name, func(q *shelf) error {
		if sequence, ok := q.sequence(key); ok && s.flow(name).leased(sequence) {
			state = queue.InFlight
		}
		return nil
	})
	return state
}

func (f *flow) leased(sequence uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.held[sequence]
	return h != nil && h.token != "" && !h.free(time.Now())
}

func milliseconds(d time.Duration) int64 {
	return int64(max(d, 0)+time.Millisecond-1) / int64(time.Millisecond)
}

func duration(milliseconds int64) time.Duration {
	return time.Duration(milliseconds) * time.Millisecond
}

func randomName() string {
	var random [8]byte
	_, _ = rand.Read(random[:])
	return hex.EncodeToString(random[:])
}
