package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// model is the simplest possible store. It is the reference for the others.
type model struct {
	now     time.Duration
	claims  map[replay.Key]held
	handled map[replay.Key]time.Duration // expiry
	limit   int                          // 0: no limit
}

type held struct {
	owner    replay.Owner
	until    time.Duration
	reserved int // for notes; in the claim of the first blocking key
}

func newModel(limit int) *model {
	return &model{claims: map[replay.Key]held{}, handled: map[replay.Key]time.Duration{}, limit: limit}
}

// pass advances the time.
func (m *model) pass(d time.Duration) {
	m.now += d
	for key, c := range m.claims {
		if c.until <= m.now {
			delete(m.claims, key)
		}
	}
	for key, until := range m.handled {
		if until <= m.now {
			delete(m.handled, key)
		}
	}
}

func (m *model) state(key replay.Key) replay.State {
	if _, ok := m.claims[key]; ok {
		return replay.Claimed
	}
	if _, ok := m.handled[key]; ok {
		return replay.Handled
	}
	return replay.Free
}

func (m *model) size() int {
	size := len(m.claims) + len(m.handled)
	for _, c := range m.claims {
		size += c.reserved
	}
	return size
}

func (m *model) claim(keys replay.Keys, owner replay.Owner, lease time.Duration) (replay.Verdict, error) {
	var blocking, notes []replay.State
	for _, key := range keys.Blocking {
		state := m.state(key)
		if m.claims[key].owner == owner {
			state = replay.Free
		}
		blocking = append(blocking, state)
	}
	reserved := map[replay.Key]bool{}
	for _, key := range keys.Notes {
		notes = append(notes, m.state(key))
		if m.state(key) != replay.Handled && !slices.Contains(keys.Blocking, key) {
			reserved[key] = true
		}
	}
	if v := replay.Judge(blocking, notes); v != replay.Ours {
		return v, nil
	}
	after := model{claims: maps.Clone(m.claims), handled: m.handled}
	for _, key := range keys.Blocking {
		after.claims[key] = held{owner: owner, until: m.now + lease}
	}
	after.claims[keys.Blocking[0]] = held{owner, m.now + lease, len(reserved)}
	if size := after.size(); m.limit != 0 && size > m.limit && size > m.size() {
		return 0, replay.ErrFull
	}
	m.claims = after.claims
	return replay.Ours, nil
}

func (m *model) holds(keys replay.Keys, owner replay.Owner) bool {
	for _, key := range keys.Blocking {
		if c, ok := m.claims[key]; !ok || c.owner != owner {
			return false
		}
	}
	return true
}

func (m *model) renew(keys replay.Keys, owner replay.Owner, lease time.Duration) error {
	if !m.holds(keys, owner) {
		return replay.ErrNotOwner
	}
	for _, key := range keys.Blocking {
		c := m.claims[key]
		c.until = m.now + lease
		m.claims[key] = c
	}
	return nil
}

// commit also returns the notes without a reservation: a full store may omit
// them.
func (m *model) commit(keys replay.Keys, owner replay.Owner, window time.Duration) (optional []replay.Key, err error) {
	if !m.holds(keys, owner) {
		return nil, replay.ErrNotOwner
	}
	room := 0
	for _, key := range keys.Blocking {
		room += m.claims[key].reserved
		delete(m.claims, key)
		m.handled[key] = m.now + window
	}
	for _, key := range keys.Notes {
		switch m.state(key) {
		case replay.Claimed:
			continue
		case replay.Free:
			if room--; room < 0 {
				optional = append(optional, key)
			}
		case replay.Handled:
		}
		m.handled[key] = max(m.handled[key], m.now+window)
	}
	return optional, nil
}

func (m *model) release(keys replay.Keys, owner replay.Owner) {
	for _, key := range keys.Blocking {
		if m.claims[key].owner == owner {
			delete(m.claims, key)
		}
	}
}

func (m *model) forget(keys []replay.Key) (n int) {
	for _, key := range keys {
		if m.state(key) == replay.Handled {
			delete(m.handled, key)
			n++
		}
	}
	return n
}

// agreement checks that random operations have the same results in a store and
// in the model.
var agreement = map[string]func(*testing.T, Subject){
	"a store agrees with the model": func(t *testing.T, s Subject) {
		for seed := range uint64(4) {
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			c := comparison{t: t, r: r, store: s.Open(t, 0), model: newModel(0), windows: 24 * time.Hour, longest: 5 * time.Hour}
			c.run(300)
		}
	},
	"a store with a limit agrees with the model": bounded(func(t *testing.T, open func(limit int64) Instance) {
		for seed := range uint64(8) {
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 1))
			limit := 4 + r.IntN(8)
			// Nothing expires: a store may free room after the expiry.
			c := comparison{t: t, r: r, store: open(int64(limit)), model: newModel(limit), windows: 1000 * 24 * time.Hour, longest: 2 * time.Hour}
			c.run(300)
		}
	}),
}

// comparison performs the same operations on a store and on the model. Time
// advances in steps of 20 minutes, and leases and windows end between the
// steps, so that rounding in a store makes no difference.
type comparison struct {
	t       *testing.T
	r       *rand.Rand
	store   Instance
	model   *model
	windows time.Duration // the longest is about twice as long
	longest time.Duration // largest step of time
	claims  []delivery    // claims that were ours and may have expired
	step    string        // the current operation, for messages
}

func (c *comparison) run(steps int) {
	for n := range steps {
		c.step = fmt.Sprintf("step %d", n)
		switch p := c.r.IntN(100); {
		case p < 40:
			c.claim()
		case p < 60:
			c.commit()
		case p < 70:
			c.release()
		case p < 76:
			c.renew()
		case p < 82:
			c.forget()
		case p < 92:
			c.pass()
		case p < 94:
			c.crash()
		default:
			c.claimAgain()
		}
		c.compare()
	}
}

const someKeys = 6

func (c *comparison) anyKey(kind replay.Kind) replay.Key { return key(kind, 1+c.r.IntN(someKeys)) }

// anyKeys returns one or two blocking keys and up to two notes. Sometimes one
// of the notes is a key that can be a blocking key of another delivery.
func (c *comparison) anyKeys() (keys replay.Keys) {
	for range 1 + c.r.IntN(2) {
		keys.Blocking = append(keys.Blocking, c.anyKey(replay.KindContent))
	}
	for range c.r.IntN(3) {
		kind := replay.KindID
		if c.r.IntN(10) == 0 {
			kind = replay.KindContent
		}
		keys.Notes = append(keys.Notes, c.anyKey(kind))
	}
	return keys
}

func (c *comparison) between(longest time.Duration) time.Duration {
	const step = 20 * time.Minute
	return step*time.Duration(1+c.r.IntN(int(longest/step))) + step/2
}

func (c *comparison) claim() {
	c.claimAs(delivery{t: c.t, store: c.store, keys: c.anyKeys(), owner: replay.NewOwner()})
}

// claimAgain repeats a claim of an owner whose lease may have expired.
func (c *comparison) claimAgain() {
	if i, ok := c.anyClaim(); ok {
		c.claimAs(c.claims[i])
	}
}

func (c *comparison) claimAs(d delivery) {
	lease := c.between(3 * time.Hour)
	want, wantErr := c.model.claim(d.keys, d.owner, lease)
	got, err := c.store.Claim(c.t.Context(), d.keys, d.owner, lease)
	if got != want || !errors.Is(err, wantErr) {
		c.t.Fatalf("%s: Claim(%v) = %v, %v; want %v, %v", c.step, d.keys, got, err, want, wantErr)
	}
	if want == replay.Ours && wantErr == nil {
		c.claims = append(c.claims, d)
	}
}

func (c *comparison) anyClaim() (i int, ok bool) {
	if len(c.claims) == 0 {
		return 0, false
	}
	return c.r.IntN(len(c.claims)), true
}

func (c *comparison) drop(owner replay.Owner) {
	c.claims = slices.DeleteFunc(c.claims, func(d delivery) bool { return d.owner == owner })
}

func (c *comparison) commit() {
	i, ok := c.anyClaim()
	if !ok {
		return
	}
	d, window := c.claims[i], c.between(c.windows)+c.windows
	c.drop(d.owner)
	optional, wantErr := c.model.commit(d.keys, d.owner, window)
	times := 1
	if wantErr == nil {
		times += c.r.IntN(2) // a commit whose response was lost
	}
	for range times {
		if err := c.store.Commit(c.t.Context(), d.keys, d.owner, window, 200); !errors.Is(err, wantErr) {
			c.t.Fatalf("%s: Commit(%v) = %v, want %v", c.step, d.keys, err, wantErr)
		}
	}
	if c.model.limit == 0 {
		return
	}
	for n, state := range c.lookup(optional) {
		if state == replay.Free {
			delete(c.model.handled, optional[n])
		}
	}
}

func (c *comparison) release() {
	if i, ok := c.anyClaim(); ok {
		d := c.claims[i]
		c.drop(d.owner)
		c.model.release(d.keys, d.owner)
		d.release(500)
	}
}

func (c *comparison) renew() {
	i, ok := c.anyClaim()
	if !ok {
		return
	}
	d, lease := c.claims[i], c.between(3*time.Hour)
	want := c.model.renew(d.keys, d.owner, lease)
	if err := c.store.Renew(c.t.Context(), d.keys, d.owner, lease); !errors.Is(err, want) {
		c.t.Fatalf("%s: Renew(%v) = %v, want %v", c.step, d.keys, err, want)
	}
}

func (c *comparison) forget() {
	keys := []replay.Key{c.anyKey(replay.KindContent), c.anyKey(replay.KindID)}
	want := c.model.forget(keys)
	if got, err := c.store.Forget(c.t.Context(), keys); err != nil || got != want {
		c.t.Fatalf("%s: Forget = %d, %v; want %d", c.step, got, err, want)
	}
}

func (c *comparison) pass() {
	d := c.between(c.longest).Truncate(20 * time.Minute)
	c.model.pass(d)
	c.store.Advance(c.t, d)
}

// crash reopens the store at a time without claims, because claims may or may
// not survive a crash.
func (c *comparison) crash() {
	if c.store.Reopen == nil {
		return
	}
	for _, d := range c.claims {
		c.model.release(d.keys, d.owner)
		d.release(500)
	}
	c.claims = nil
	c.store = c.store.Reopen(c.t)
}

func (c *comparison) lookup(keys []replay.Key) []replay.State {
	states, err := c.store.Lookup(c.t.Context(), keys)
	if err != nil {
		c.t.Fatalf("%s: Lookup: %v", c.step, err)
	}
	return states
}

func (c *comparison) compare() {
	var keys []replay.Key
	for n := range someKeys {
		keys = append(keys, key(replay.KindContent, n+1), key(replay.KindID, n+1))
	}
	for i, got := range c.lookup(keys) {
		if want := c.model.state(keys[i]); got != want {
			c.t.Fatalf("%s: key %d is %v, want %v", c.step, i, got, want)
		}
	}
	if c.model.limit == 0 {
		return
	}
	stats := c.store.Stats()
	if stats.Remembered != int64(len(c.model.handled)) || stats.Remembered+stats.Claimed > int64(c.model.limit) {
		c.t.Fatalf("%s: Stats = %+v, want %d remembered and at most %d together", c.step, stats, len(c.model.handled), c.model.limit)
	}
}
