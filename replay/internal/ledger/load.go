package ledger

import "github.com/verify-webhook/caddy-verify-webhook/replay"

// Loader fills a ledger that nobody uses yet with keys that were handled
// earlier. It sorts them by shard first, because a shard's table fits into the
// processor's cache and the whole does not.
type Loader struct {
	ledger  *Ledger
	now     instant
	batches [shardCount][]loaded
}

type loaded struct {
	key    replay.Key
	expiry uint32
	forget bool
}

// loadBatch is how many keys of one shard are put in together.
const loadBatch = 1024

// NewLoader returns a loader. [Loader.Finish] must be called in the end.
func (l *Ledger) NewLoader() *Loader {
	return &Loader{ledger: l, now: l.now()}
}

// Add adds a key, unless it has expired. Of several expiries the latest counts.
func (b *Loader) Add(key replay.Key, expiry uint32) {
	if expiry > b.now.second {
		b.put(loaded{key, expiry, false})
	}
}

// Forget undoes what was added with the same key and expiry.
func (b *Loader) Forget(key replay.Key, expiry uint32) {
	b.put(loaded{key, expiry, true})
}

func (b *Loader) put(r loaded) {
	s := b.ledger.shardOf(r.key)
	batch := &b.batches[s.number]
	*batch = append(*batch, r)
	if len(*batch) >= loadBatch {
		b.flush(s)
	}
}

// Finish puts in what is still in batches.
func (b *Loader) Finish() {
	for i := range b.ledger.shards {
		b.flush(&b.ledger.shards[i])
	}
}

func (b *Loader) flush(s *shard) {
	l := b.ledger
	for _, r := range b.batches[s.number] {
		i := s.handled.find(r.key)
		known := i >= 0
		switch {
		case r.forget && known && s.handled.table[i].expiry == r.expiry:
			s.handled.remove(i)
			l.held.Add(-1)
		case r.forget, known && s.handled.table[i].expiry >= r.expiry:
		default:
			l.held.Add(1)
			l.remember(s, r.key, r.expiry, b.now)
		}
	}
	b.batches[s.number] = b.batches[s.number][:0]
}
