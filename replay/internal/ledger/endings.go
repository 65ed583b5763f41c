package ledger

import (
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// endings are the latest endings of claims in one shard: enough for a copy
// that asks a moment after its claim has ended, and for a commit that is
// repeated because its answer was lost. The memory for them is bounded.
type endings struct {
	ring []ended // grows to endingCount
	next int
}

const (
	endingCount = 64
	endingLife  = time.Minute
)

type ended struct {
	key    replay.Key
	owner  replay.Owner
	ending replay.Ending
	at     time.Duration
}

func (e *endings) add(key replay.Key, owner replay.Owner, ending replay.Ending, now instant) {
	new := ended{key, owner, ending, now.elapsed}
	if len(e.ring) < endingCount {
		e.ring = append(e.ring, new)
		return
	}
	e.ring[e.next] = new
	e.next = (e.next + 1) % endingCount
}

// find returns the latest ending of key.
func (e *endings) find(key replay.Key, now instant) (latest ended, ok bool) {
	for age := range e.ring {
		r := e.ring[(e.next+len(e.ring)-1-age)%len(e.ring)] // the newest first
		if r.key == key {
			return r, now.elapsed-r.at < endingLife
		}
	}
	return ended{}, false
}

// drop forgets the endings of key.
func (e *endings) drop(key replay.Key) {
	for i := range e.ring {
		if e.ring[i].key == key {
			e.ring[i] = ended{}
		}
	}
}
