package file

import (
	"context"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
)

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
