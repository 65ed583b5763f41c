package ledger

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// shardCount keeps a shard so small that a sweep, the longest operation under
// its lock, takes well under a millisecond with ten million keys.
const shardCount = 256

// lockHint is how many keys of one delivery need no allocation.
const lockHint = 8

// shard is the part of a ledger for the keys with one prefix.
type shard struct {
	mu          sync.Mutex
	number      int
	claims      map[replay.Key]claim
	crowded     int // number of claims above which expired claims are removed
	handled     handled
	resolutions resolutions
}

// claim is one claimed key.
type claim struct {
	owner replay.Owner
	until time.Duration
	pins  int32  // commits in progress
	notes int32  // keys reserved for the notes of the delivery
	watch *watch // nil while there are no waiters
}

func (c claim) live(now instant) bool { return c.pins > 0 || now.elapsed < c.until }

// watch notifies waiters how a claim ended: resolution is set, then done is
// closed.
type watch struct {
	done       chan struct{}
	resolution replay.Resolution
}

func (l *Ledger) shardOf(key replay.Key) *shard {
	return &l.shards[binary.LittleEndian.Uint16(key[:])%shardCount]
}

// lock locks the shards of all keys in the order of their numbers, so that
// operations cannot deadlock, and appends them to locked.
func (l *Ledger) lock(locked []*shard, lists ...[]replay.Key) []*shard {
	for _, keys := range lists {
		for _, key := range keys {
			locked = insertShard(locked, l.shardOf(key))
		}
	}
	for _, s := range locked {
		s.mu.Lock()
	}
	return locked
}

// insertShard keeps set sorted and free of duplicates.
func insertShard(set []*shard, s *shard) []*shard {
	i := len(set)
	for i > 0 && set[i-1].number >= s.number {
		i--
	}
	if i < len(set) && set[i] == s {
		return set
	}
	set = append(set, nil)
	copy(set[i+1:], set[i:])
	set[i] = s
	return set
}

func unlock(locked []*shard) {
	for _, s := range locked {
		s.mu.Unlock()
	}
}

// state returns the state of key and whether the shard has an entry for it. It
// removes the entry if it has expired.
func (s *shard) state(l *Ledger, key replay.Key, now instant) (state replay.State, known bool) {
	if c, ok := s.claims[key]; ok {
		if c.live(now) {
			return replay.Claimed, true
		}
		l.forget(s.end(l, key, c, replay.Resolution{State: replay.Free}, now))
	}
	expiry, known := s.handled.expiries[key]
	if !known {
		return replay.Free, false
	}
	if expiry > now.second {
		return replay.Handled, true
	}
	delete(s.handled.expiries, key)
	l.forget(1)
	return replay.Free, false
}

// stateFor is state as owner sees it: its own claim does not block it.
func (s *shard) stateFor(l *Ledger, key replay.Key, owner replay.Owner, now instant) (state replay.State, known bool) {
	state, known = s.state(l, key, now)
	if state == replay.Claimed && s.claims[key].owner == owner {
		return replay.Free, true
	}
	return state, known
}

// hold claims key for owner, or renews the owner's claim, until the given time.
// notes is the number of keys reserved with it.
func (s *shard) hold(l *Ledger, key replay.Key, owner replay.Owner, until time.Duration, notes int, now instant) {
	c, ok := s.claims[key]
	if !ok {
		s.makeRoom(l, now)
		l.claimed.Add(1)
	}
	l.reserveNotes(notes - int(c.notes))
	c.owner, c.until, c.notes = owner, until, int32(notes)
	s.claims[key] = c
}

// makeRoom drops expired claims whenever the number of claims has doubled.
// Otherwise claims of an owner that crashed would remain until a delivery with
// the same key arrives.
func (s *shard) makeRoom(l *Ledger, now instant) {
	if s.claims == nil {
		s.claims = make(map[replay.Key]claim)
	}
	if len(s.claims) < max(s.crowded, 16) {
		return
	}
	s.dropDead(l, now)
	s.crowded = 2 * len(s.claims)
}

// dropDead ends the claims whose lease has expired and returns how many.
func (s *shard) dropDead(l *Ledger, now instant) int {
	dropped := 0
	for key, c := range s.claims {
		if !c.live(now) {
			l.forget(s.end(l, key, c, replay.Resolution{State: replay.Free}, now))
			dropped++
		}
	}
	return dropped
}

// end removes the claim c of key, stores its resolution for a while, and
// notifies waiters. It returns how many keys the claim counted for. The caller
// subtracts or uses them.
func (s *shard) end(l *Ledger, key replay.Key, c claim, resolution replay.Resolution, now instant) int {
	delete(s.claims, key)
	l.claimed.Add(-1)
	l.reserveNotes(-int(c.notes))
	s.resolutions.add(key, c.owner, resolution, now)
	if c.watch != nil {
		c.watch.resolution = resolution
		close(c.watch.done)
	}
	return 1 + int(c.notes)
}

func (l *Ledger) reserveNotes(n int) {
	if n != 0 {
		l.notes.Add(int64(n))
	}
}
