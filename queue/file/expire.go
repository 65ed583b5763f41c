package file

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"
)

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
