// Package ledger keeps claims and handled keys in the memory of this process.
// It is the whole of the memory store, and the claims and the index of the
// file store.
//
// Handled keys, of which there may be millions, lie in pointer-free tables of
// 20-byte slots, split into shards by key; claims, of which there are as many
// as deliveries in flight, in maps beside them. An operation locks the shards
// of all its keys, in order, so it is atomic over them.
package ledger

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// Defaults and limits.
const (
	// DefaultMaxKeys is the limit of a ledger that is given none: about
	// 180 MB when it is reached.
	DefaultMaxKeys = 4_000_000
	// BytesPerKey is the most memory that one handled key takes in a large
	// ledger (measured: see bench/stores).
	BytesPerKey = 48
)

// maxWindow keeps sums of times from overflowing.
const maxWindow = 100 * 365 * 24 * time.Hour

// expireBudget is how many expired keys an operation clears out of each shard
// that it visits: more than it can add, so expiry always catches up.
const expireBudget = 16

// Ledger keeps claims and handled keys. The zero value is not usable; see New.
type Ledger struct {
	start time.Time // carries a monotonic reading: steps of the wall clock do not show
	base  uint32

	limit   atomic.Int64
	held    atomic.Int64 // keys handled or claimed
	claimed atomic.Int64
	// reclaimed is the second in which a full ledger last looked for
	// expired keys and found none: once a second is enough.
	reclaimed atomic.Uint32

	shards [shardCount]shard
}

// New returns an empty ledger that holds at most limit keys, claimed and
// handled together; DefaultMaxKeys if limit is 0. base is the present second
// on the scale of expiries: Unix time if they outlive the process.
func New(limit int64, base uint32) *Ledger {
	l := &Ledger{start: time.Now(), base: max(base, 1)}
	l.SetLimit(limit)
	for i := range l.shards {
		l.shards[i].number = i
	}
	return l
}

// SetLimit changes how many keys the ledger holds at most; DefaultMaxKeys if
// limit is 0. A limit below what it holds now forgets nothing.
func (l *Ledger) SetLimit(limit int64) {
	if limit <= 0 {
		limit = DefaultMaxKeys
	}
	l.limit.Store(limit)
}

// instant is one moment on both scales of a ledger.
type instant struct {
	elapsed time.Duration // since the start: leases
	second  uint32        // since the base: windows
}

func (l *Ledger) now() instant {
	elapsed := time.Since(l.start)
	return instant{elapsed, l.base + uint32(elapsed/time.Second)}
}

// Now returns the present second on the scale of expiries.
func (l *Ledger) Now() uint32 { return l.now().second }

// Expiry returns the second in which a window that begins now ends, rounded
// up: nothing is forgotten early.
func (l *Ledger) Expiry(window time.Duration) uint32 {
	window = min(max(window, 0), maxWindow)
	end := int64(l.base) + int64((time.Since(l.start)+window+time.Second-1)/time.Second)
	return uint32(min(end, 1<<32-1))
}

// Claim is [replay.Store.Claim].
func (l *Ledger) Claim(keys replay.Keys, owner replay.Owner, lease time.Duration) (replay.Verdict, error) {
	if len(keys.IDs)+len(keys.Digests) == 0 {
		return 0, replay.ErrNoKeys
	}
	now := l.now()
	verdict, err := l.claim(keys, owner, lease, now)
	if errors.Is(err, replay.ErrFull) && l.reclaim(now) {
		verdict, err = l.claim(keys, owner, lease, now)
	}
	return verdict, err
}

func (l *Ledger) claim(keys replay.Keys, owner replay.Owner, lease time.Duration, now instant) (replay.Verdict, error) {
	var buf [lockHint]*shard
	locked := l.lock(buf[:0], keys)
	defer unlock(locked)
	for _, s := range locked {
		l.forget(s.expire(now, expireBudget))
	}

	var states [lockHint]replay.State
	found := states[:0]
	unknown := int64(0)
	for key := range each(keys) {
		state, known := l.shardOf(key).stateFor(l, key, owner, now)
		found = append(found, state)
		if !known {
			unknown++
		}
	}
	if v := replay.Judge(found[:len(keys.IDs)], found[len(keys.IDs):]); v != replay.Ours {
		return v, nil
	}
	if l.held.Add(unknown) > l.limit.Load() {
		l.held.Add(-unknown)
		return 0, replay.ErrFull
	}
	added := int64(0)
	for key := range each(keys) {
		if l.shardOf(key).hold(l, key, owner, now, lease) {
			added++
		}
	}
	l.held.Add(added - unknown) // not 0 if keys has one key twice
	return replay.Ours, nil
}

// Renew is [replay.Store.Renew].
func (l *Ledger) Renew(keys replay.Keys, owner replay.Owner, lease time.Duration) error {
	return l.ifHeld(keys, owner, func(s *shard, key replay.Key, now instant) {
		c := s.claims[key]
		c.until = now.elapsed + lease
		s.claims[key] = c
	})
}

// Pin makes the claim outlive its lease until Unpin or Commit, while a commit
// is being made durable. done reports that owner has committed it already,
// and that nothing was pinned.
func (l *Ledger) Pin(keys replay.Keys, owner replay.Owner) (done bool, err error) {
	err = l.ifHeld(keys, owner, func(s *shard, key replay.Key, _ instant) {
		c := s.claims[key]
		c.pins++
		s.claims[key] = c
	})
	if errors.Is(err, replay.ErrNotOwner) && l.committedBy(keys, owner) {
		return true, nil
	}
	return false, err
}

// Unpin undoes one Pin after a commit that failed.
func (l *Ledger) Unpin(keys replay.Keys, owner replay.Owner) {
	_ = l.ifHeld(keys, owner, func(s *shard, key replay.Key, now instant) {
		c := s.claims[key]
		c.pins = max(0, c.pins-1)
		s.claims[key] = c
		if !c.live(now) {
			s.end(l, key, c, replay.Ending{State: replay.Free}, now)
		}
	})
}

// Commit is [replay.Store.Commit], with the second of [Ledger.Expiry] in place
// of the window.
func (l *Ledger) Commit(keys replay.Keys, owner replay.Owner, expiry uint32, status int) error {
	err := l.ifHeld(keys, owner, func(s *shard, key replay.Key, now instant) {
		c, ok := s.claims[key]
		if !ok {
			return // the same key again
		}
		s.end(l, key, c, replay.Ending{State: replay.Handled, Status: status}, now)
		l.held.Add(1) // end has counted it as gone
		l.remember(s, key, expiry, now)
	})
	if errors.Is(err, replay.ErrNotOwner) && l.committedBy(keys, owner) {
		return nil
	}
	return err
}

// remember adds a handled key that the caller has counted as held.
func (l *Ledger) remember(s *shard, key replay.Key, expiry uint32, now instant) {
	if !s.handled.put(key, max(expiry, 1)) {
		l.held.Add(-1)
	}
	l.forget(s.wheel.add(tag(key), expiry, now.second, &s.handled))
}

// committedBy reports whether the keys were all committed by owner, as far as
// the ledger still knows.
func (l *Ledger) committedBy(keys replay.Keys, owner replay.Owner) bool {
	now := l.now()
	var buf [lockHint]*shard
	locked := l.lock(buf[:0], keys)
	defer unlock(locked)
	for key := range each(keys) {
		e, ok := l.shardOf(key).endings.find(key, now)
		if !ok || e.owner != owner || e.ending.State != replay.Handled {
			return false
		}
	}
	return len(locked) > 0
}

// Release is [replay.Store.Release].
func (l *Ledger) Release(keys replay.Keys, owner replay.Owner, status int) {
	now := l.now()
	var buf [lockHint]*shard
	locked := l.lock(buf[:0], keys)
	defer unlock(locked)
	for key := range each(keys) {
		s := l.shardOf(key)
		if c, ok := s.claims[key]; ok && c.owner == owner && c.live(now) {
			s.end(l, key, c, replay.Ending{State: replay.Free, Status: status}, now)
		}
	}
}

// ifHeld calls do for every key, under lock, if owner holds them all.
func (l *Ledger) ifHeld(keys replay.Keys, owner replay.Owner, do func(*shard, replay.Key, instant)) error {
	if len(keys.IDs)+len(keys.Digests) == 0 {
		return replay.ErrNoKeys
	}
	now := l.now()
	var buf [lockHint]*shard
	locked := l.lock(buf[:0], keys)
	defer unlock(locked)
	for key := range each(keys) {
		if c, ok := l.shardOf(key).claims[key]; !ok || c.owner != owner || !c.live(now) {
			return replay.ErrNotOwner
		}
	}
	for key := range each(keys) {
		do(l.shardOf(key), key, now)
	}
	return nil
}

// Lookup is [replay.Store.Lookup].
func (l *Ledger) Lookup(keys []replay.Key) []replay.State {
	now := l.now()
	states := make([]replay.State, len(keys))
	locked := l.lock(nil, replay.Keys{IDs: keys})
	defer unlock(locked)
	for i, key := range keys {
		states[i], _ = l.shardOf(key).state(l, key, now)
	}
	return states
}

// Expiries returns when each key that is handled is forgotten, 0 for others.
func (l *Ledger) Expiries(keys []replay.Key) []uint32 {
	now := l.now()
	expiries := make([]uint32, len(keys))
	locked := l.lock(nil, replay.Keys{IDs: keys})
	defer unlock(locked)
	for i, key := range keys {
		s := l.shardOf(key)
		if state, _ := s.state(l, key, now); state == replay.Handled {
			expiries[i] = s.handled.table[s.handled.find(key)].expiry
		}
	}
	return expiries
}

// Forget is [replay.Store.Forget].
func (l *Ledger) Forget(keys []replay.Key) int {
	now := l.now()
	locked := l.lock(nil, replay.Keys{IDs: keys})
	defer unlock(locked)
	forgotten := 0
	for _, key := range keys {
		s := l.shardOf(key)
		if state, _ := s.state(l, key, now); state == replay.Handled {
			s.handled.remove(s.handled.find(key))
			s.endings.drop(key)
			forgotten++
		}
	}
	l.forget(forgotten)
	return forgotten
}

// Stats is [replay.Store.Stats].
func (l *Ledger) Stats() replay.Stats {
	claimed := l.claimed.Load()
	return replay.Stats{Remembered: max(0, l.held.Load()-claimed), Claimed: claimed, Capacity: l.limit.Load()}
}

// Expire clears out every key that has expired. It visits expired keys only,
// and locks one shard at a time, for at most some hundred keys.
func (l *Ledger) Expire() {
	now := l.now()
	for i := range l.shards {
		for l.expireShard(&l.shards[i], now) > 0 {
		}
	}
}

// reclaim makes room in a full ledger, if anything in it has expired.
func (l *Ledger) reclaim(now instant) bool {
	if l.reclaimed.Load() == now.second {
		return false
	}
	freed := 0
	for i := range l.shards {
		if freed += l.expireShard(&l.shards[i], now); freed >= reclaimEnough {
			return true
		}
	}
	if freed == 0 {
		l.reclaimed.Store(now.second)
	}
	return freed > 0
}

// reclaimEnough is how many keys one operation frees in a full ledger before
// it goes on with its own work.
const reclaimEnough = 1024

func (l *Ledger) expireShard(s *shard, now instant) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	freed := s.expire(now, 256)
	l.forget(freed)
	return freed + s.dropDead(l, now)
}

// forget counts n handled keys as gone.
func (l *Ledger) forget(n int) {
	if n > 0 {
		l.held.Add(-int64(n))
	}
}
