package ledger

import (
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// resolutions records how the latest claims in one shard ended. That serves a
// copy that asks shortly after the claim has ended, and a commit that is
// repeated because its result was lost. The memory is bounded.
type resolutions struct {
	ring []ended // grows to resolutionCount
	next int
}

const (
	resolutionCount = 64
	resolutionLife  = time.Minute
)

type ended struct {
	key        replay.Key
	owner      replay.Owner
	resolution replay.Resolution
	at         time.Duration
}

func (e *resolutions) add(key replay.Key, owner replay.Owner, resolution replay.Resolution, now instant) {
	new := ended{key, owner, resolution, now.elapsed}
	if len(e.ring) < resolutionCount {
		e.ring = append(e.ring, new)
		return
	}
	e.ring[e.next] = new
	e.next = (e.next + 1) % resolutionCount
}

// find returns the latest resolution of key.
func (e *resolutions) find(key replay.Key, now instant) (latest ended, ok bool) {
	for age := range e.ring {
		r := e.ring[(e.next+len(e.ring)-1-age)%len(e.ring)] // newest first
		if r.key == key {
			return r, now.elapsed-r.at < resolutionLife
		}
	}
	return ended{}, false
}

// drop removes the resolutions of key.
func (e *resolutions) drop(key replay.Key) {
	for i := range e.ring {
		if e.ring[i].key == key {
			e.ring[i] = ended{}
		}
	}
}
