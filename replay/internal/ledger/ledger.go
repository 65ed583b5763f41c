// Package ledger stores claims and handled keys in the memory of this process.
// The memory store consists of a ledger; the file store uses one for its claims
// and its index.
//
// Handled keys, of which there can be millions, are in maps without pointers,
// split into shards by key. Claims, of which there are as many as deliveries in
// progress, are in separate maps. An operation locks the shards of all its
// keys, in order, so it is atomic over them. A sweep removes expired keys:
// claims sweep one shard every second.
package ledger

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// Defaults and limits.
const (
	// DefaultMaxKeys is the default limit of a ledger. A ledger of that size
	// uses about 180 MB.
	DefaultMaxKeys = 4_000_000
	// BytesPerKey is the maximum memory of one handled key in a large ledger
	// (measured: see bench/stores).
	BytesPerKey = 48
)

// maxWindow prevents an overflow of sums of times.
const maxWindow = 100 * 365 * 24 * time.Hour

// Ledger stores claims and handled keys. The zero value is not usable; see New.
type Ledger struct {
	start time.Time // has a monotonic reading, so steps of the wall clock have no effect
	base  uint32

	limit   atomic.Int64
	held    atomic.Int64 // keys handled, claimed, or reserved for notes
	claimed atomic.Int64 // of these, keys claimed
	notes   atomic.Int64 // and reserved for the notes of claims
	// reclaimed is the second in which a full ledger last found no expired
	// keys: it searches at most once a second.
	reclaimed atomic.Uint32
	// swept counts the shards that claims have swept, one for each second since
	// the start.
	swept atomic.Uint32

	shards [shardCount]shard
}

// New returns an empty ledger with at most limit keys: handled, claimed and
// reserved for notes together. The limit is DefaultMaxKeys if limit is 0. base
// is the current second on the scale of expiries: Unix time if they outlive the
// process.
func New(limit int64, base uint32) *Ledger {
	l := &Ledger{start: time.Now(), base: max(base, 1)}
	l.SetLimit(limit)
	for i := range l.shards {
		l.shards[i].number = i
	}
	return l
}

// SetLimit changes the maximum number of keys, DefaultMaxKeys if limit is 0. A
// limit below the current number removes no keys.
func (l *Ledger) SetLimit(limit int64) {
	if limit <= 0 {
		limit = DefaultMaxKeys
	}
	l.limit.Store(limit)
}

// instant is a point in time on both scales of a ledger.
type instant struct {
	elapsed time.Duration // since the start: leases
	second  uint32        // since the base: windows
}

func (l *Ledger) now() instant {
	elapsed := time.Since(l.start)
	return instant{elapsed, l.base + uint32(elapsed/time.Second)}
}

// Now returns the current second on the scale of expiries.
func (l *Ledger) Now() uint32 { return l.now().second }

// Expiry returns the second in which a window that begins now ends, rounded up
// so that no key expires early.
func (l *Ledger) Expiry(window time.Duration) uint32 {
	window = min(max(window, 0), maxWindow)
	end := int64(l.base) + int64((time.Since(l.start)+window+time.Second-1)/time.Second)
	return uint32(min(end, 1<<32-1))
}

// Claim is [replay.Store.Claim].
func (l *Ledger) Claim(keys replay.Keys, owner replay.Owner, lease time.Duration) (replay.Verdict, error) {
	if len(keys.Blocking) == 0 {
		return 0, replay.ErrNoKeys
	}
	now := l.now()
	l.sweepNext(now)
	verdict, err := l.claim(keys, owner, lease, now)
	if errors.Is(err, replay.ErrFull) && l.reclaim(now) {
		verdict, err = l.claim(keys, owner, lease, now)
	}
	return verdict, err
}

func (l *Ledger) claim(keys replay.Keys, owner replay.Owner, lease time.Duration, now instant) (replay.Verdict, error) {
	var buf [lockHint]*shard
	locked := l.lock(buf[:0], keys.Blocking, keys.Notes)
	defer unlock(locked)
	var states [lockHint]replay.State
	found, more := l.blocking(states[:0], keys, owner, now)
	found, notes := l.notable(found, keys, now)
	if v := replay.Judge(found[:len(keys.Blocking)], found[len(keys.Blocking):]); v != replay.Ours {
		return v, nil
	}
	if !l.reserve(more + notes) {
		return 0, replay.ErrFull
	}
	for i, key := range slices.Backward(keys.Blocking) {
		reserved := 0
		if i == 0 {
			reserved = notes
		}
		l.shardOf(key).hold(l, key, owner, now.elapsed+lease, reserved, now)
	}
	return replay.Ours, nil
}

// blocking appends the states of the blocking keys as owner sees them, and
// returns how many keys a claim by owner adds, without notes.
func (l *Ledger) blocking(states []replay.State, keys replay.Keys, owner replay.Owner, now instant) (_ []replay.State, more int) {
	for i, key := range keys.Blocking {
		s := l.shardOf(key)
		state, known := s.stateFor(l, key, owner, now)
		states = append(states, state)
		switch {
		case slices.Contains(keys.Blocking[:i], key): // duplicate
		case known:
			more -= int(s.claims[key].notes) // reserved again with this claim
		default:
			more++
		}
	}
	return states, more
}

// notable appends the states of the notes and returns how many of them would be
// new keys.
func (l *Ledger) notable(states []replay.State, keys replay.Keys, now instant) (_ []replay.State, fresh int) {
	for i, key := range keys.Notes {
		state, _ := l.shardOf(key).state(l, key, now)
		states = append(states, state)
		if state != replay.Handled && !slices.Contains(keys.Notes[:i], key) && !slices.Contains(keys.Blocking, key) {
			fresh++
		}
	}
	return states, fresh
}

// reserve adds n to the number of keys, if the limit allows it.
func (l *Ledger) reserve(n int) bool {
	if l.held.Add(int64(n)) > l.limit.Load() && n > 0 {
		l.held.Add(-int64(n))
		return false
	}
	return true
}

// Renew is [replay.Store.Renew].
func (l *Ledger) Renew(keys replay.Keys, owner replay.Owner, lease time.Duration) error {
	return l.ifHeld(keys, owner, func(s *shard, key replay.Key, now instant) {
		c := s.claims[key]
		c.until = now.elapsed + lease
		s.claims[key] = c
	})
}

// Pin keeps the claim past its lease until Unpin or Commit, while a commit is
// being made durable. done reports that owner has already committed the claim
// and that nothing was pinned.
func (l *Ledger) Pin(keys replay.Keys, owner replay.Owner) (done bool, err error) {
	if len(keys.Blocking) == 0 {
		return false, replay.ErrNoKeys
	}
	now := l.now()
	var buf [lockHint]*shard
	locked := l.lock(buf[:0], keys.Blocking)
	defer unlock(locked)
	if done, err := l.owned(keys, owner, now); done || err != nil {
		return done, err
	}
	for _, key := range keys.Blocking {
		s := l.shardOf(key)
		c := s.claims[key]
		c.pins++
		s.claims[key] = c
	}
	return false, nil
}

// Unpin undoes one Pin after a failed commit.
func (l *Ledger) Unpin(keys replay.Keys, owner replay.Owner) {
	_ = l.ifHeld(keys, owner, func(s *shard, key replay.Key, now instant) {
		c := s.claims[key]
		c.pins = max(0, c.pins-1)
		s.claims[key] = c
		if !c.live(now) {
			l.forget(s.end(l, key, c, replay.Resolution{State: replay.Free}, now))
		}
	})
}

// Commit is [replay.Store.Commit], with the result of [Ledger.Expiry] instead
// of the window.
func (l *Ledger) Commit(keys replay.Keys, owner replay.Owner, expiry uint32, status int) error {
	if len(keys.Blocking) == 0 {
		return replay.ErrNoKeys
	}
	now := l.now()
	var buf [lockHint]*shard
	locked := l.lock(buf[:0], keys.Blocking, keys.Notes)
	defer unlock(locked)
	if done, err := l.owned(keys, owner, now); done || err != nil {
		return err
	}
	room := 0 // reserved for this claim and not yet used
	for _, key := range keys.Blocking {
		s := l.shardOf(key)
		c, ok := s.claims[key]
		if !ok {
			continue // duplicate
		}
		room += s.end(l, key, c, replay.Resolution{State: replay.Handled, Status: status}, now)
		room -= l.remember(s, key, expiry)
	}
	for _, key := range keys.Notes {
		room -= l.note(key, expiry, now, room > 0)
	}
	l.forget(room)
	return nil
}

// remember marks key as handled until the later of expiry and its current
// expiry. It returns how many keys this adds to the shard, which the caller has
// counted.
func (l *Ledger) remember(s *shard, key replay.Key, expiry uint32) int {
	return max(0, s.handled.raise(key, expiry))
}

// note stores a note and returns how much of the claim's reservation it used. A
// note that was handled at the claim, and has been forgotten since, has no
// reservation: it is written only if the limit allows it. A claimed key belongs
// to the delivery that claimed it and is not changed.
func (l *Ledger) note(key replay.Key, expiry uint32, now instant, reserved bool) (used int) {
	s := l.shardOf(key)
	switch state, _ := s.state(l, key, now); {
	case state == replay.Claimed:
		return 0
	case state == replay.Free && !reserved:
		if l.reserve(1) {
			l.remember(s, key, expiry)
		}
		return 0
	default:
		return l.remember(s, key, expiry)
	}
}

// owned returns nil if owner holds every blocking key, and reports whether it
// has already committed them. Their shards are locked.
func (l *Ledger) owned(keys replay.Keys, owner replay.Owner, now instant) (done bool, err error) {
	switch {
	case l.holds(keys, owner, now):
		return false, nil
	case l.committedBy(keys, owner, now):
		return true, nil
	default:
		return false, replay.ErrNotOwner
	}
}

// committedBy reports whether owner committed all blocking keys, as far as the
// ledger still stores it. Their shards are locked.
func (l *Ledger) committedBy(keys replay.Keys, owner replay.Owner, now instant) bool {
	for _, key := range keys.Blocking {
		e, ok := l.shardOf(key).resolutions.find(key, now)
		if !ok || e.owner != owner || e.resolution.State != replay.Handled {
			return false
		}
	}
	return true
}

// Release is [replay.Store.Release].
func (l *Ledger) Release(keys replay.Keys, owner replay.Owner, status int) {
	now := l.now()
	var buf [lockHint]*shard
	locked := l.lock(buf[:0], keys.Blocking)
	defer unlock(locked)
	for _, key := range keys.Blocking {
		s := l.shardOf(key)
		if c, ok := s.claims[key]; ok && c.owner == owner && c.live(now) {
			l.forget(s.end(l, key, c, replay.Resolution{State: replay.Free, Status: status}, now))
		}
	}
}

// ifHeld calls do for every blocking key, under lock, if owner holds all of
// them.
func (l *Ledger) ifHeld(keys replay.Keys, owner replay.Owner, do func(*shard, replay.Key, instant)) error {
	if len(keys.Blocking) == 0 {
		return replay.ErrNoKeys
	}
	now := l.now()
	var buf [lockHint]*shard
	locked := l.lock(buf[:0], keys.Blocking)
	defer unlock(locked)
	if !l.holds(keys, owner, now) {
		return replay.ErrNotOwner
	}
	for _, key := range keys.Blocking {
		do(l.shardOf(key), key, now)
	}
	return nil
}

// holds reports whether owner holds every blocking key. Their shards are
// locked.
func (l *Ledger) holds(keys replay.Keys, owner replay.Owner, now instant) bool {
	for _, key := range keys.Blocking {
		if c, ok := l.shardOf(key).claims[key]; !ok || c.owner != owner || !c.live(now) {
			return false
		}
	}
	return true
}

// Lookup is [replay.Lookuper].
func (l *Ledger) Lookup(keys []replay.Key) []replay.State {
	now := l.now()
	states := make([]replay.State, len(keys))
	locked := l.lock(nil, keys)
	defer unlock(locked)
	for i, key := range keys {
		states[i], _ = l.shardOf(key).state(l, key, now)
	}
	return states
}

// Entry is the stored state of one key.
type Entry struct {
	State  replay.State
	Expiry uint32 // when the key expires, if it is handled
}

// Entries returns the entries of all keys.
func (l *Ledger) Entries(keys []replay.Key) []Entry {
	now := l.now()
	entries := make([]Entry, len(keys))
	locked := l.lock(nil, keys)
	defer unlock(locked)
	for i, key := range keys {
		s := l.shardOf(key)
		entries[i].State, _ = s.state(l, key, now)
		if entries[i].State == replay.Handled {
			entries[i].Expiry = s.handled.expiries[key]
		}
	}
	return entries
}

// Forget is [replay.Forgetter].
func (l *Ledger) Forget(keys []replay.Key) int {
	now := l.now()
	locked := l.lock(nil, keys)
	defer unlock(locked)
	forgotten := 0
	for _, key := range keys {
		s := l.shardOf(key)
		if state, _ := s.state(l, key, now); state == replay.Handled {
			delete(s.handled.expiries, key)
			s.resolutions.drop(key)
			forgotten++
		}
	}
	l.forget(forgotten)
	return forgotten
}

// Stats is [replay.StatsReporter].
func (l *Ledger) Stats() replay.Stats {
	claimed, notes := l.claimed.Load(), l.notes.Load()
	return replay.Stats{Remembered: max(0, l.held.Load()-claimed-notes), Claimed: claimed, Capacity: l.limit.Load()}
}

// Expire removes every key that has expired. It locks one shard at a time.
func (l *Ledger) Expire() {
	now := l.now()
	for i := range l.shards {
		l.sweep(&l.shards[i], now)
	}
}

// sweepNext sweeps one shard if fewer shards have been swept than seconds have
// passed. So every shard is swept about every four minutes while deliveries
// arrive, and a claim never sweeps more than one.
func (l *Ledger) sweepNext(now instant) {
	due, swept := now.second-l.base, l.swept.Load()
	if swept >= due {
		return
	}
	next := max(swept+1, due-min(due, shardCount-1)) // after a pause, each shard once
	if l.swept.CompareAndSwap(swept, next) {
		l.sweep(&l.shards[next%shardCount], now)
	}
}

// reclaim frees keys in a full ledger if any have expired.
func (l *Ledger) reclaim(now instant) bool {
	if l.reclaimed.Load() == now.second {
		return false
	}
	freed := 0
	for i := range l.shards {
		if freed += l.sweep(&l.shards[i], now); freed >= reclaimEnough {
			return true
		}
	}
	if freed == 0 {
		l.reclaimed.Store(now.second)
	}
	return freed > 0
}

// reclaimEnough is how many keys one operation frees in a full ledger before it
// proceeds.
const reclaimEnough = 1024

// sweep removes expired entries from a shard and returns how many keys this
// freed.
func (l *Ledger) sweep(s *shard, now instant) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	freed := s.handled.sweep(now.second)
	l.forget(freed)
	return freed + s.dropDead(l, now)
}

// forget subtracts n from the number of keys.
func (l *Ledger) forget(n int) {
	if n > 0 {
		l.held.Add(-int64(n))
	}
}
