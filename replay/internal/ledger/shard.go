package ledger

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// shardCount keeps a shard small enough that a sweep, the longest thing ever done
// under its lock, takes well under a millisecond at ten million keys.
const shardCount = 256

// lockHint is how many keys of one delivery are handled without allocating.
const lockHint = 8

// shard is the part of a ledger that holds the keys with one prefix.
type shard struct {
	mu          sync.Mutex
	number      int
	claims      map[replay.Key]claim
	crowded     int // dead claims are looked for when there are more than this
	handled     handled
	resolutions resolutions
}

// claim is one claimed key.
type claim struct {
	owner replay.Owner
	until time.Duration
	pins  int32  // commits that are under way
	notes int32  // keys reserved for the notes of the delivery
	watch *watch // nil while nobody waits
}

func (c claim) live(now instant) bool { return c.pins > 0 || now.elapsed < c.until }

// watch tells those who wait how a claim ended: resolution is set, then done
// closed.
type watch struct {
	done       chan struct{}
	resolution replay.Resolution
}

func (l *Ledger) shardOf(key replay.Key) *shard {
	return &l.shards[binary.LittleEndian.Uint16(key[:])%shardCount]
}

// lock locks the shards of all keys in the order of their numbers, so that no
// two operations wait for each other, and appends them to locked.
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

// state returns the state of key and whether the shard holds anything under
// it. What has run out is cleared on the way.
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

// stateFor is state as owner sees it: its own claim does not stand in its way.
func (s *shard) stateFor(l *Ledger, key replay.Key, owner replay.Owner, now instant) (state replay.State, known bool) {
	state, known = s.state(l, key, now)
	if state == replay.Claimed && s.claims[key].owner == owner {
		return replay.Free, true
	}
	return state, known
}

// hold claims key until then, or renews the claim that owner has. notes is how
// many keys are reserved with it.
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

// makeRoom drops dead claims whenever the claims have doubled: those whose
// owner never came back would otherwise stay until their key is seen again.
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

// dropDead ends the claims whose lease has run out and returns how many.
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

// end removes the claim c of key, stores how it ended for a while, and
// notifies those who wait. It returns how many keys were held with it, which
// the caller counts as gone, or uses.
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
