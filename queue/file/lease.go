package file

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
	"github.com/verify-webhook/caddy-verify-webhook/queue/internal/record"
)

// Lease implements [queue.Queue]. It writes nothing.
func (s *Store) Lease(ctx context.Context, name string, n int, lease time.Duration) (leases []queue.Lease, next time.Duration, err error) {
	// Without this check, entries would be delivered without a durable record
	// of it.
	if err := s.file.WriteError(); err != nil {
		return nil, 0, outward(err)
	}
	f := s.flow(name)
	var broken []damage
	next = -1
	// The entries in flight are read under the lock before the transaction
	// begins: an entry that is no longer held, because it was delivered, is
	// also no longer waiting in the transaction.
	f.mu.Lock()
	err = s.view(name, func(q *shelf) error {
		if !q.counts.paused {
			leases, broken, next = s.lease(f, q, name, n, lease)
		}
		return nil
	})
	f.mu.Unlock()
	for _, d := range broken {
		if err := s.buryDamaged(ctx, name, d); err != nil {
			return leases, next, err
		}
	}
	return leases, next, err
}

// damage is an entry that cannot be delivered because it is unreadable.
type damage struct {
	lease queue.Lease
	err   error
}

func (s *Store) lease(f *flow, q *shelf, name string, n int, lease time.Duration) (leases []queue.Lease, broken []damage, next time.Duration) {
	now, clock := s.now(), time.Now()
	next = -1
	cursor := q.in(due).Cursor()
	for key, _ := cursor.First(); key != nil; key, _ = cursor.Next() {
		at, sequence := parsePair(key)
		if h := f.held[sequence]; !h.free(clock) {
			continue
		}
		if at > now || len(leases) >= n {
			next = duration(max(at-now, 0))
			break
		}
		h := &held{token: s.token(sequence), expires: clock.Add(lease)}
		l, err := s.read(q, name, sequence, now)
		l.Token, l.Entry.State = h.token, queue.InFlight
		f.held[sequence] = h
		if err != nil {
			broken = append(broken, damage{l, err})
			continue
		}
		leases = append(leases, l)
	}
	for _, h := range f.held { // an entry is due when its lease expires
		if left := h.expires.Sub(clock); !h.busy && (next < 0 || left < next) {
			next = max(left, 0)
		}
	}
	return leases, broken, next
}

// read returns an entry with its request and its body. If a part is unreadable,
// it returns the rest and an error.
func (s *Store) read(q *shelf, name string, sequence uint64, now int64) (queue.Lease, error) {
	m, _, err := q.find(sequence)
	if err != nil {
		return queue.Lease{Entry: queue.Entry{Queue: name}}, err
	}
	l := queue.Lease{Entry: m.entry(name, now)}
	request, inline, err := q.payload(sequence)
	if err != nil {
		return l, err
	}
	l.Entry.Request, err = record.Decode(request)
	body, bodyErr := s.bodies.body(&m, inline)
	if bodyErr == nil {
		l.Body = body
	}
	return l, errors.Join(err, bodyErr)
}

// buryDamaged marks an unreadable entry as dead, so that it does not block
// others.
func (s *Store) buryDamaged(ctx context.Context, name string, d damage) error {
	if d.lease.Entry.Key == "" { // its key is unreadable too
		return s.dropIndex(ctx, name, d.lease.Token)
	}
	return s.Finish(ctx, d.lease, queue.Outcome{Action: queue.Bury, Uncounted: true, Result: queue.Result{Error: d.err.Error()}})
}

// dropIndex removes an unreadable entry from the index of due entries, so that
// it is not leased again. Its readable data remains in the file.
func (s *Store) dropIndex(ctx context.Context, name, token string) error {
	sequence := sequenceOf(token)
	defer s.flow(name).unclaim([]uint64{sequence})
	return s.update(ctx, name, func(q *shelf) (refused, err error) {
		cursor := q.in(due).Cursor()
		for key, _ := cursor.First(); key != nil; key, _ = cursor.Next() {
			if _, found := parsePair(key); found == sequence {
				return nil, cursor.Delete()
			}
		}
		return nil, nil
	}, nil)
}

func (s *Store) token(sequence uint64) string {
	return strconv.FormatUint(sequence, 36) + "." + s.process + "." + strconv.FormatUint(s.tokens.Add(1), 36)
}

func sequenceOf(token string) uint64 {
	text, _, _ := strings.Cut(token, ".")
	sequence, _ := strconv.ParseUint(text, 36, 64)
	return sequence
}

// Renew implements [queue.Queue].
func (s *Store) Renew(_ context.Context, l queue.Lease, lease time.Duration) error {
	f := s.flow(l.Entry.Queue)
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.held[sequenceOf(l.Token)]
	if h == nil || h.token != l.Token {
		return queue.ErrNotLeased
	}
	if until := time.Now().Add(lease); until.After(h.expires) {
		h.expires = until
	}
	return nil
}

// Finish implements [queue.Queue].
func (s *Store) Finish(ctx context.Context, l queue.Lease, outcome queue.Outcome) error {
	name, sequence := l.Entry.Queue, sequenceOf(l.Token)
	f := s.flow(name)
	if !f.end(sequence, l.Token) {
		return s.finished(name, l.Entry.Key, outcome.Action)
	}
	if outcome.Action == queue.PutBack {
		f.done(sequence, l.Token, nil)
		return nil
	}
	file := ""
	// The entry stays leased until this is recorded. A provider waits for the
	// result of a put, so puts have priority.
	return s.updatePatiently(ctx, name, func(q *shelf) (refused, err error) {
		m, bucket, err := q.find(sequence)
		if err != nil || bucket != waiting {
			return queue.ErrNotLeased, nil
		}
		file, err = s.finish(q, sequence, &m, &outcome)
		return nil, err
	}, func(err error) {
		f.done(sequence, l.Token, err)
		if err == nil {
			s.bodies.remove(file)
		}
	})
}

// finish returns the body file that is no longer needed.
func (s *Store) finish(q *shelf, sequence uint64, m *meta, outcome *queue.Outcome) (file string, err error) {
	now := s.now()
	changed := *m
	changed.attempt(outcome, s.wall())
	switch outcome.Action {
	case queue.Deliver:
		return m.file, q.finishFor(sequence, m, &changed, queue.Delivered, now)
	case queue.Discard:
		return m.file, q.finishFor(sequence, m, &changed, queue.Discarded, now)
	case queue.Bury:
		changed.state, changed.ended = queue.Dead, now
	default:
		changed.due = now + milliseconds(outcome.Delay)
	}
	return "", q.move(sequence, m, func(m *meta) { *m = changed })
}

// finishFor replaces an entry by a tombstone with the contents of changed.
func (s *shelf) finishFor(sequence uint64, m, changed *meta, state queue.State, now int64) error {
	changed.due, changed.state = m.due, m.state // select the buckets to remove it from
	return s.bury(sequence, changed, state, now, s.counts.tombstoneLimit())
}

// finished returns the result of finishing a lease that is not held.
func (s *Store) finished(name, key string, action queue.Action) error {
	state, err := s.state(name, key)
	switch {
	case err != nil:
		return err
	case action == queue.Deliver && state == queue.Delivered, action == queue.Discard && state == queue.Discarded:
		return nil
	default:
		return queue.ErrNotLeased
	}
}

// end prevents other callers from leasing the entry while its lease is being
// ended.
func (f *flow) end(sequence uint64, token string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.held[sequence]
	if h == nil || h.token != token || h.busy {
		return false
	}
	h.busy = true
	return true
}

// done ends a lease, or keeps it if ending it failed.
func (f *flow) done(sequence uint64, token string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.held[sequence]
	switch {
	case h == nil || h.token != token:
	case err == nil || errors.Is(err, queue.ErrNotLeased):
		delete(f.held, sequence)
	default:
		h.busy = false
	}
}

// claim prevents others from leasing an entry while an operator changes it. It
// fails if the entry is in flight.
func (f *flow) claim(sequence uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.held[sequence]; !h.free(time.Now()) {
		return false
	}
	f.held[sequence] = &held{busy: true}
	return true
}

func (f *flow) unclaim(sequences []uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, sequence := range sequences {
		delete(f.held, sequence)
	}
}

// Get implements [queue.Queue].
func (s *Store) Get(_ context.Context, name, key string) (queue.Entry, error) {
	l, err := s.lookUp(name, key)
	if errors.Is(err, queue.ErrDamaged) && l.Entry.Key != "" && l.Entry.Request.Header != nil {
		err = nil // only its body is damaged
	}
	return l.Entry, err
}

// Body implements [queue.Queue].
func (s *Store) Body(_ context.Context, name, key string) (queue.Body, error) {
	l, err := s.lookUp(name, key)
	switch {
	case l.Body != nil:
		return l.Body, nil
	case err == nil: // a tombstone
		return nil, queue.ErrNotFound
	default:
		return nil, err
	}
}

func (s *Store) lookUp(name, key string) (l queue.Lease, err error) {
	found := queue.ErrNotFound
	err = s.view(name, func(q *shelf) error {
		now := s.now()
		if m, ok := q.tombstone(key); ok && m.until() > now {
			l.Entry, found = m.entry(name, now), nil
			return nil
		}
		sequence, ok := q.sequence(key)
		if !ok {
			return nil
		}
		l, found = s.read(q, name, sequence, now)
		if l.Entry.State == queue.Waiting && s.flow(name).leased(sequence) {
			l.Entry.State = queue.InFlight
		}
		return nil
	})
	if err != nil {
		return queue.Lease{}, err
	}
	return l, found
}

// Stats implements [queue.Queue].
func (s *Store) Stats(_ context.Context, name string) (stats queue.Stats, err error) {
	err = s.view(name, func(q *shelf) error {
		c := &q.counts
		stats = queue.Stats{Waiting: c.waiting, Dead: c.dead, Tombstones: c.tombstones, Bytes: c.bytes, Paused: c.paused}
		if _, value := q.in(waiting).Cursor().First(); value != nil {
			m, err := parseMeta(value)
			if err != nil {
				return err
			}
			stats.OldestWaiting = duration(max(s.now()-m.put, 0))
		}
		return nil
	})
	if err != nil {
		return queue.Stats{}, err
	}
	stats.InFlight = min(s.flow(name).count(), stats.Waiting)
	stats.Waiting -= stats.InFlight
	return stats, nil
}

func (f *flow) count() (n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for _, h := range f.held {
		if h.token != "" && !h.free(now) {
			n++
		}
	}
	return n
}

// Names implements [queue.Queue].
func (s *Store) Names(context.Context) (names []string, err error) {
	err = outward(s.file.View(func(tx *bolt.Tx) error {
		return tx.Bucket(queuesBucket).ForEachBucket(func(name []byte) error {
			q, err := readShelf(tx, string(name))
			if err == nil && !q.counts.empty() {
				names = append(names, string(name))
			}
			return err
		})
	}))
	return names, err
}

// maxSearch is the maximum number of entries read for one page.
const maxSearch = 10_000

// List implements [queue.Queue].
func (s *Store) List(_ context.Context, filter queue.Filter) (page queue.Page, err error) {
	after, err := filter.Check()
	if err != nil {
		return page, err
	}
	f := s.flow(filter.Queue)
	err = s.view(filter.Queue, func(q *shelf) error {
		now := s.now()
		list := newLister(q, &filter, after)
		for range maxSearch {
			sequence, value := list.next()
			if value == nil {
				page.Next = ""
				return nil
			}
			page.Next = queue.Cursor(sequence)
			m, err := parseMeta(value)
			if err != nil {
				continue
			}
			e := m.entry(filter.Queue, now)
			if e.State == queue.Waiting && f.leased(sequence) {
				e.State = queue.InFlight
			}
			if filter.Matches(&e) {
				page.Entries = append(page.Entries, e)
			}
			if len(page.Entries) == filter.Limit {
				break
			}
		}
		if _, value := list.next(); value == nil {
			page.Next = ""
		}
		return nil
	})
	return page, err
}

// lister merges waiting and dead entries.
type lister struct {
	cursors []*bolt.Cursor
	keys    [][]byte
	values  [][]byte
	newest  bool
}

func newLister(q *shelf, filter *queue.Filter, after uint64) *lister {
	l := &lister{newest: filter.NewestFirst}
	for _, bucket := range []int{waiting, dead} {
		if filter.State != 0 && (filter.State == queue.Dead) != (bucket == dead) {
			continue
		}
		cursor := q.in(bucket).Cursor()
		key, value := l.begin(cursor, after)
		l.cursors, l.keys, l.values = append(l.cursors, cursor), append(l.keys, key), append(l.values, value)
	}
	return l
}

// begin returns the first entry after a sequence number; 0 means the first one.
func (l *lister) begin(cursor *bolt.Cursor, after uint64) (key, value []byte) {
	switch {
	case after == 0 && l.newest:
		return cursor.Last()
	case after == 0:
		return cursor.First()
	case !l.newest:
		return cursor.Seek(number(after + 1))
	}
	if key, _ := cursor.Seek(number(after)); key == nil {
		return cursor.Last()
	}
	return cursor.Prev()
}

func (l *lister) next() (sequence uint64, value []byte) {
	best := -1
	for i, key := range l.keys {
		if key != nil && (best < 0 || (bytes.Compare(key, l.keys[best]) < 0) != l.newest) {
			best = i
		}
	}
	if best < 0 {
		return 0, nil
	}
	sequence, value = binary.BigEndian.Uint64(l.keys[best]), l.values[best]
	move := l.cursors[best].Next
	if l.newest {
		move = l.cursors[best].Prev
	}
	l.keys[best], l.values[best] = move()
	return sequence, value
}

// Retry implements [queue.Queue].
func (s *Store) Retry(ctx context.Context, name string, list []string) (int, error) {
	return s.change(ctx, name, list, func(q *shelf, sequence uint64, m *meta) (string, error) {
		return "", q.move(sequence, m, func(m *meta) {
			m.state, m.ended, m.failures = queue.Waiting, 0, 0
			m.due = s.now()
			m.since = m.due
		})
	})
}

// Discard implements [queue.Queue].
func (s *Store) Discard(ctx context.Context, name string, list []string) (int, error) {
	return s.change(ctx, name, list, func(q *shelf, sequence uint64, m *meta) (string, error) {
		return m.file, q.bury(sequence, m, queue.Discarded, s.now(), q.counts.tombstoneLimit())
	})
}

// change changes entries that are dead or waiting. The function change returns
// the body file that is no longer needed.
func (s *Store) change(ctx context.Context, name string, list []string, change func(*shelf, uint64, *meta) (string, error)) (int, error) {
	if err := queue.CheckKeys(name, list); err != nil {
		return 0, err
	}
	f := s.flow(name)
	var claimed []uint64
	var files []string
	count := 0
	err := s.update(ctx, name, func(q *shelf) (refused, err error) {
		for _, key := range list {
			sequence, ok := q.sequence(key)
			if !ok || !f.claim(sequence) {
				continue
			}
			claimed = append(claimed, sequence)
			m, _, err := q.find(sequence)
			if err != nil {
				continue
			}
			file, err := change(q, sequence, &m)
			if err != nil {
				return nil, err
			}
			files = append(files, file)
			count++
		}
		return nil, nil
	}, func(err error) {
		f.unclaim(claimed)
		for _, file := range files {
			if err == nil {
				s.bodies.remove(file)
			}
		}
	})
	if err != nil {
		return 0, err
	}
	return count, nil
}

// Forget implements [queue.Queue].
func (s *Store) Forget(ctx context.Context, name string, list []string) (int, error) {
	if err := queue.CheckKeys(name, list); err != nil {
		return 0, err
	}
	count := 0
	err := s.update(ctx, name, func(q *shelf) (refused, err error) {
		now := s.now()
		for _, key := range list {
			m, ok := q.tombstone(key)
			if !ok || m.until() <= now {
				continue
			}
			if err := q.forget(&m); err != nil {
				return nil, err
			}
			count++
		}
		return nil, nil
	}, nil)
	if err != nil {
		return 0, err
	}
	return count, nil
}

// SetPaused implements [queue.Queue].
func (s *Store) SetPaused(ctx context.Context, name string, paused bool) error {
	if err := queue.CheckName(name); err != nil {
		return err
	}
	return s.update(ctx, name, func(q *shelf) (refused, err error) {
		q.counts.paused = paused
		return nil, nil
	}, nil)
}

// maxExpired is the maximum number of removals per call of Expire.
const maxExpired = 500

// Expire implements [queue.Queue]. It writes only if something has expired.
func (s *Store) Expire(ctx context.Context, name string, keep time.Duration) (more bool, err error) {
	now := s.now()
	before := now - milliseconds(keep)
	todo := false
	err = s.view(name, func(q *shelf) error {
		todo = q.expired(tombs, now) != nil || q.expired(deaths, before) != nil
		return nil
	})
	if err != nil || !todo {
		return false, err
	}
	var files []string
	err = s.update(ctx, name, func(q *shelf) (refused, err error) {
		for range maxExpired {
			if q.expired(tombs, now) == nil {
				break
			}
			if err := q.removeTombstone(); err != nil {
				return nil, err
			}
		}
		files, err = q.expireDead(before)
		more = q.expired(tombs, now) != nil || q.expired(deaths, before) != nil
		return nil, err
	}, func(err error) {
		for _, file := range files {
			if err == nil {
				s.bodies.remove(file)
			}
		}
	})
	return more, err
}

// expired returns the first name of an index if it has expired.
func (s *shelf) expired(index int, before int64) []byte {
	name, _ := s.in(index).Cursor().First()
	if len(name) < 8 || int64(binary.BigEndian.Uint64(name)) > before {
		return nil
	}
	return name
}

// expireDead returns the body files that are no longer needed.
func (s *shelf) expireDead(before int64) (files []string, err error) {
	for range maxExpired {
		name := s.expired(deaths, before)
		if name == nil {
			break
		}
		_, sequence := parsePair(name)
		m, _, err := s.find(sequence)
		if err != nil { // unreadable: it must not block others
			if err := s.in(deaths).Delete(bytes.Clone(name)); err != nil {
				return nil, err
			}
			continue
		}
		if err := s.remove(sequence, &m); err != nil {
			return nil, err
		}
		files = append(files, m.file)
	}
	return files, nil
}
