package file

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/verify-webhook/caddy-verify-webhook/internal/boltfile"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

const (
	// maxGroup limits the requests of a transaction, maxPending the waiting
	// requests.
	maxGroup   = 1024
	maxPending = 1 << 16
	// tidyEvery is how often an idle store removes expired keys.
	tidyEvery = 10 * time.Minute
)

// request is a commit, or a call to forget keys, for the writer.
type request struct {
	keys   replay.Keys
	owner  replay.Owner
	window time.Duration
	status int
	expiry uint32

	forget    []replay.Key // set instead of all above
	forgotten int

	done chan error
}

func newRequest() *request { return &request{done: make(chan error, 1)} }

func (r *request) wait(ctx context.Context) error {
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the replay file: %w", ctx.Err())
	}
}

// submit passes r to the writer.
func (s *Store) submit(r *request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if len(s.pending) >= maxPending {
		return fmt.Errorf("%w: %d commits are waiting for the disk", ErrUnwritable, len(s.pending))
	}
	s.pending = append(s.pending, r)
	s.signal()
	return nil
}

func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take returns the next group of requests, and whether the store is closed and
// no more will follow. A request to forget keys is a separate group, because
// what it writes depends on how the commits before it changed the ledger.
func (s *Store) take() (group []*request, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.pending), maxGroup)
	switch i := slices.IndexFunc(s.pending[:n], func(r *request) bool { return r.forget != nil }); {
	case i == 0:
		n = 1
	case i > 0:
		n = i
	}
	group = s.pending[:n:n]
	s.pending = s.pending[n:]
	if len(s.pending) == 0 {
		s.pending = nil
	}
	return group, s.closed && n == 0
}

// write is the only goroutine that writes. While it writes a group, the next
// one gathers. Requests never wait for others, and all that are pending share
// an fsync.
func (s *Store) write() {
	defer close(s.stopped)
	debug.SetPanicOnFault(true) // reading a mapped page can fail
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	probe := time.NewTicker(boltfile.ProbeEvery)
	defer probe.Stop()
	for {
		s.gather()
		group, last := s.take()
		if last {
			return
		}
		if len(group) > 0 {
			s.commit(group)
			s.expire()
			continue
		}
		if s.db.WriteError() == nil {
			probe.Stop()
		} else {
			probe.Reset(boltfile.ProbeEvery)
		}
		select {
		case <-s.wake:
		case <-tidy.C:
			s.expire()
			s.ledger.Expire()
		case <-probe.C:
			s.db.Probe()
		}
	}
}

// gatherAtMost limits how long a group gathers.
const gatherAtMost = 2 * time.Millisecond

// gather yields to other goroutines for as long as they add requests, which can
// then share the fsync. On idle cores there are none, and a single commit is not
// delayed.
func (s *Store) gather() {
	begun := time.Now()
	for quiet, before := 0, s.waiting(); quiet < 2; {
		runtime.Gosched()
		now := s.waiting()
		if now > before {
			quiet = 0
		} else {
			quiet++
		}
		if before = now; now >= maxGroup || time.Since(begun) > gatherAtMost {
			return
		}
	}
}

// waiting returns the number of pending requests.
func (s *Store) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending)
}

// commit makes a group durable, and then known.
func (s *Store) commit(group []*request) {
	changes := changes{}
	if r := group[0]; r.forget != nil {
		s.addForgotten(changes, r.forget)
	} else {
		s.addHandled(changes, group)
	}
	err := s.db.Update(changes.write)
	for period := range changes {
		s.oldest = min(s.oldest, period)
	}
	for _, r := range group {
		r.done <- s.finish(r, err)
	}
}

func (s *Store) addHandled(changes changes, group []*request) {
	var noted map[replay.Key]uint32 // written by this group
	for _, r := range group {
		r.expiry = s.expiry(r.window)
		for _, key := range r.keys.Blocking {
			changes.add(kindHandled, key, r.expiry)
		}
		if len(r.keys.Notes) == 0 {
			continue
		}
		if noted == nil {
			noted = make(map[replay.Key]uint32, len(group))
		}
		for i, entry := range s.ledger.Entries(r.keys.Notes) {
			key := r.keys.Notes[i]
			before := max(entry.Expiry, noted[key])
			if entry.State == replay.Claimed || before >= r.expiry {
				continue // see [ledger.Ledger.Commit]
			}
			if before != 0 {
				changes.add(kindForgotten, key, before)
			}
			changes.add(kindHandled, key, r.expiry)
			noted[key] = r.expiry
		}
	}
}

// addForgotten adds the handled ones of keys, with their stored expiry.
func (s *Store) addForgotten(changes changes, keys []replay.Key) {
	for i, entry := range s.ledger.Entries(keys) {
		if entry.State == replay.Handled {
			changes.add(kindForgotten, keys[i], entry.Expiry)
		}
	}
}

// expiry returns when a window that begins now ends, by whichever clock is
// ahead. So if the wall clock was behind when the store was opened, and has
// been corrected since, no key expires early in the next process.
func (s *Store) expiry(window time.Duration) uint32 {
	running := s.ledger.Expiry(window)
	ahead := int64(unixSecond(s.wall())) - int64(s.ledger.Now())
	return uint32(min(int64(running)+max(ahead, 0), 1<<32-1))
}

// finish applies r to the ledger, unless writing it failed.
func (s *Store) finish(r *request, err error) error {
	switch {
	case r.forget != nil && err == nil:
		r.forgotten = s.ledger.Forget(r.forget)
		return nil
	case r.forget != nil:
		return err
	case err == nil:
		return s.ledger.Commit(r.keys, r.owner, r.expiry, r.status)
	default:
		s.ledger.Unpin(r.keys, r.owner)
		return err
	}
}

// expire deletes one period that is over, if any. It deletes only one, because
// commits wait meanwhile.
func (s *Store) expire() {
	if !periodOver(s.oldest, s.ledger.Now()) || s.db.WriteError() != nil {
		return
	}
	oldest := s.oldest
	_ = s.db.Update(func(tx *bolt.Tx) error {
		name, _ := tx.Cursor().Seek([]byte{periodPrefix})
		period, ok := parsePeriodName(name)
		if !ok {
			oldest = noPeriod
			return nil
		}
		oldest = period
		if !periodOver(period, s.ledger.Now()) {
			return nil
		}
		return tx.DeleteBucket(slices.Clone(name))
	})
	s.oldest = oldest
	if periodOver(oldest, s.ledger.Now()) {
		s.signal() // there may be more; waiting requests go first
	}
}

// noPeriod is after every period.
const noPeriod = 1<<32 - 1
