package ledger

import (
	"maps"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// handled are the handled keys of a shard, each with the second in which it is
// forgotten. Neither keys nor values hold pointers, so the garbage collector
// never reads the keys.
type handled struct {
	expiries map[replay.Key]uint32
	// earliest is the first second in which a sweep can find an expired key.
	earliest uint32
	// most is how many keys there have been since the map was made: a Go map
	// keeps the memory of its largest size.
	most int
}

// minShrink is how many keys a map has had at least that is worth replacing.
const minShrink = 64

// grow makes room for n keys in an empty shard.
func (h *handled) grow(n int) { h.expiries = make(map[replay.Key]uint32, n) }

// raise adds key and returns 1, or gives it expiry if that is later and returns
// 0, or returns -1 if it changes nothing.
func (h *handled) raise(key replay.Key, expiry uint32) int {
	old, known := h.expiries[key]
	if known && old >= expiry {
		return -1
	}
	if h.expiries == nil {
		h.expiries = make(map[replay.Key]uint32)
	}
	if len(h.expiries) == 0 || expiry < h.earliest {
		h.earliest = expiry
	}
	h.expiries[key] = expiry
	h.most = max(h.most, len(h.expiries))
	if known {
		return 0
	}
	return 1
}

// sweep removes the keys that have expired and returns how many. It reads all
// keys, unless none can have expired.
func (h *handled) sweep(now uint32) (removed int) {
	if len(h.expiries) == 0 || h.earliest > now {
		return 0
	}
	before := len(h.expiries)
	h.earliest = 1<<32 - 1
	for key, expiry := range h.expiries {
		if expiry <= now {
			delete(h.expiries, key)
		} else {
			h.earliest = min(h.earliest, expiry)
		}
	}
	h.shrink()
	return before - len(h.expiries)
}

// shrink gives memory back once most of the map is empty.
func (h *handled) shrink() {
	if h.most < minShrink || len(h.expiries) >= h.most/4 {
		return
	}
	kept := make(map[replay.Key]uint32, len(h.expiries))
	maps.Copy(kept, h.expiries)
	h.expiries, h.most = kept, len(kept)
}
