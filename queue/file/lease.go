package file

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

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
