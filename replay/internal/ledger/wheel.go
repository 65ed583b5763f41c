package ledger

import "math/bits"

// wheel knows which keys of a shard expire when, so that expiry visits what
// has expired and nothing else. It refers to a key by its tag, in buckets of
// expiry time whose width follows the window: between a 64th and a 32nd of
// it. Each key costs four bytes here, and leaves memory at most one bucket
// late; whether it is still handled is decided by its own expiry.
type wheel struct {
	levels [maxLevel + 1]*level
	active uint32 // bit n is set while level n holds anything
}

const (
	maxLevel    = 26 // 32-bit windows in at most 64 buckets
	bucketCount = 128
)

// level is a ring of buckets, each 1<<(its number) seconds wide.
type level struct {
	next    uint32 // the first bucket that may hold something
	count   int
	buckets [bucketCount][]uint32
}

// add notes that the key with this tag expires then.
func (w *wheel) add(tag, expiry, now uint32, s *keyTable) (removed int) {
	var window uint32
	if expiry > now {
		window = expiry - now
	}
	shift := max(0, bits.Len32(window)-6)
	l := w.levels[shift]
	if l == nil {
		l = new(level)
		w.levels[shift] = l
	}
	current := now >> shift
	if l.count == 0 {
		l.next = current
		w.active |= 1 << shift
	}
	bucket := max(expiry>>shift, l.next)
	if bucket-l.next >= bucketCount {
		// After a long idle time the ring still holds what has expired
		// meanwhile, in the very bucket that is needed now.
		removed, _ = l.drain(s, current, now, 1<<30)
		l.next = current
	}
	l.buckets[bucket%bucketCount] = append(l.buckets[bucket%bucketCount], tag)
	l.count++
	return removed
}

// expire removes up to about budget expired keys from s. It returns how many
// were removed.
func (w *wheel) expire(s *keyTable, now uint32, budget int) (removed int) {
	for rest := w.active; rest != 0 && budget > 0; rest &= rest - 1 {
		shift := bits.TrailingZeros32(rest)
		l := w.levels[shift]
		var n int
		n, budget = l.drain(s, now>>shift, now, budget)
		removed += n
		if l.count == 0 {
			w.levels[shift] = nil
			w.active &^= 1 << shift
		}
	}
	if removed > 0 {
		s.shrink()
	}
	return removed
}

// drain empties buckets before current until the budget of keys is spent, and
// returns what is left of it.
func (l *level) drain(s *keyTable, current, now uint32, budget int) (removed, left int) {
	for l.next < current && l.count > 0 && budget > 0 {
		bucket := &l.buckets[l.next%bucketCount]
		n := min(budget, len(*bucket))
		rest := len(*bucket) - n
		for _, tag := range (*bucket)[rest:] {
			removed += s.removeExpired(tag, now)
		}
		*bucket = (*bucket)[:rest]
		l.count -= n
		budget -= n
		if rest > 0 {
			break
		}
		*bucket = nil
		l.next++
	}
	return removed, budget
}
