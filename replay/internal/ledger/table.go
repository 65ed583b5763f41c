package ledger

import (
	"encoding/binary"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// slot is one handled key. expiry 0 marks an empty slot. It holds no pointer:
// the garbage collector never looks into a table of slots.
type slot struct {
	key    replay.Key
	expiry uint32
}

// keyTable is a set of handled keys: open addressing with linear probing. Keys
// are digests made with a secret, so nobody can choose them to collide.
type keyTable struct {
	slots []slot
	count int
}

const minSlots = 16

// tag is the part of a key that decides its place in the table.
func tag(key replay.Key) uint32 { return binary.LittleEndian.Uint32(key[8:]) }

// home scales the tag to the table, which need not be a power of two.
func (s *keyTable) home(tag uint32) int {
	return int(uint64(tag) * uint64(len(s.slots)) >> 32)
}

func (s *keyTable) next(i int) int {
	if i++; i < len(s.slots) {
		return i
	}
	return 0
}

// find returns the place of key, or -1.
func (s *keyTable) find(key replay.Key) int {
	if s.count == 0 {
		return -1
	}
	for i := s.home(tag(key)); s.slots[i].expiry != 0; i = s.next(i) {
		if s.slots[i].key == key {
			return i
		}
	}
	return -1
}

// raise adds key and returns 1, or gives it expiry if that is later and returns
// 0, or returns -1 if it changes nothing.
func (s *keyTable) raise(key replay.Key, expiry uint32) int {
	switch i := s.find(key); {
	case i < 0:
		s.add(key, expiry)
		return 1
	case s.slots[i].expiry < expiry:
		s.slots[i].expiry = expiry
		return 0
	default:
		return -1
	}
}

// add adds a key that is not there yet.
func (s *keyTable) add(key replay.Key, expiry uint32) {
	if (s.count+1)*5 > len(s.slots)*4 {
		// Growing by half, not twofold, keeps a table at least 53 % full.
		s.resize(max(minSlots, len(s.slots)+len(s.slots)/2))
	}
	s.insert(slot{key, expiry})
	s.count++
}

func (s *keyTable) insert(new slot) {
	i := s.home(tag(new.key))
	for s.slots[i].expiry != 0 {
		i = s.next(i)
	}
	s.slots[i] = new
}

func (s *keyTable) resize(size int) {
	old := s.slots
	s.slots = make([]slot, size)
	for _, o := range old {
		if o.expiry != 0 {
			s.insert(o)
		}
	}
}

// remove empties place i and moves later slots of the same run back, so that
// no tombstones are left to probe over.
func (s *keyTable) remove(i int) {
	s.count--
	for j := s.next(i); s.slots[j].expiry != 0; j = s.next(j) {
		home := s.home(tag(s.slots[j].key))
		// Slot j may fill the gap at i unless its home lies between them.
		if between := i < home && home <= j || j < i && (i < home || home <= j); !between {
			s.slots[i] = s.slots[j]
			i = j
		}
	}
	s.slots[i] = slot{}
}

// removeExpired removes the slots with this tag whose expiry is at most now,
// and returns how many there were.
func (s *keyTable) removeExpired(tag uint32, now uint32) int {
	removed := 0
	if s.count == 0 {
		return 0
	}
	for i := s.home(tag); s.slots[i].expiry != 0; {
		if at := s.slots[i]; at.expiry <= now && tagOf(at) == tag {
			s.remove(i) // another slot may have moved to i
			removed++
			continue
		}
		i = s.next(i)
	}
	return removed
}

func tagOf(s slot) uint32 { return tag(s.key) }

// shrink gives memory back once most of the table is empty.
func (s *keyTable) shrink() {
	switch {
	case s.count == 0:
		s.slots = nil
	case len(s.slots) > minSlots && s.count < len(s.slots)/4:
		s.resize(max(minSlots, s.count*3/2))
	}
}
