package file

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
)

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
