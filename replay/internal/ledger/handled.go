package ledger

import (
	"maps"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// handled are the handled keys of a shard, each with the second in which it
// expires. Neither keys nor values contain pointers, so the garbage collector
// never scans the map.
type handled struct {
	expiries map[replay.Key]uint32
	// earliest is the first second in which a sweep can find an expired key.
	earliest uint32
	// most is the largest number of keys since the map was created: a Go map
	// keeps the memory of its largest size.
	most int
}

// minShrink is the smallest value of most at which the map is replaced.
const minShrink = 64

// grow preallocates an empty shard for n keys.
func (h *handled) grow(n int) { h.expiries = make(map[replay.Key]uint32, n) }

// raise adds key and returns 1, or sets a later expiry and returns 0, or
// returns -1 if it changes nothing.
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

// sweep removes expired keys and returns how many it removed. It reads all
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

// shrink frees memory if most of the map is empty.
func (h *handled) shrink() {
	if h.most < minShrink || len(h.expiries) >= h.most/4 {
		return
	}
	kept := make(map[replay.Key]uint32, len(h.expiries))
	maps.Copy(kept, h.expiries)
	h.expiries, h.most = kept, len(kept)
}
