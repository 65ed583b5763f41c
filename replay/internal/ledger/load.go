package ledger

import (
	"runtime"
	"sync"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// Loader fills a ledger that is not in use yet with keys that were handled
// earlier. It first sorts them by shard, because a shard's map fits into the
// processor's cache and the whole ledger does not, and fills shards in
// parallel.
type Loader struct {
	ledger  *Ledger
	now     instant
	room    int // of a new batch
	batches [shardCount][]loaded
	fillers []chan batch
	filling sync.WaitGroup
	spare   sync.Pool
}

type loaded struct {
	key    replay.Key
	expiry uint32
}

type batch struct {
	shard *shard
	keys  []loaded
}

const (
	// loadBatch is how many keys of one shard are inserted together: about as
	// many as a shard of a ledger of ten million keys has, so that its map is
	// loaded into the cache once. Until then the batches use 20 bytes a key.
	loadBatch = 1 << 15
	// maxFillers is the largest useful number of goroutines for one reader.
	maxFillers = 4
)

// NewLoader returns a loader for about n keys. The caller must call
// [Loader.Finish].
func (l *Ledger) NewLoader(expected int) *Loader {
	b := &Loader{ledger: l, now: l.now(), room: min(expected/shardCount*9/8, loadBatch)}
	for i := range l.shards {
		l.shards[i].handled.grow(expected / shardCount * 9 / 8)
	}
	for range min(max(1, runtime.GOMAXPROCS(0)-1), maxFillers) {
		work := make(chan batch, 16)
		b.fillers = append(b.fillers, work)
		b.filling.Go(func() { b.fill(work) })
	}
	return b
}

// Add adds a key, unless it has expired. The latest expiry of a key counts.
func (b *Loader) Add(key replay.Key, expiry uint32) {
	if expiry > b.now.second {
		b.put(loaded{key, expiry})
	}
}

// Finish inserts the remaining batches and waits until all keys are inserted.
func (b *Loader) Finish() {
	for i := range b.ledger.shards {
		b.flush(&b.ledger.shards[i])
	}
	for _, work := range b.fillers {
		close(work)
	}
	b.filling.Wait()
}

func (b *Loader) put(r loaded) {
	s := b.ledger.shardOf(r.key)
	keys := b.batches[s.number]
	if keys == nil {
		if used, ok := b.spare.Get().(*[]loaded); ok {
			keys = (*used)[:0]
		} else {
			keys = make([]loaded, 0, b.room)
		}
	}
	keys = append(keys, r)
	b.batches[s.number] = keys
	if len(keys) >= loadBatch {
		b.flush(s)
	}
}

// flush sends a batch to the filler of its shard. A shard always has the same
// filler, so that its batches stay in order.
func (b *Loader) flush(s *shard) {
	b.fillers[s.number%len(b.fillers)] <- batch{s, b.batches[s.number]}
	b.batches[s.number] = nil
}

func (b *Loader) fill(work <-chan batch) {
	added := 0
	for w := range work {
		for _, r := range w.keys {
			added += max(0, w.shard.handled.raise(r.key, r.expiry))
		}
		b.spare.Put(&w.keys)
	}
	b.ledger.held.Add(int64(added))
}
