package signature

import (
	"encoding/binary"
	"math/bits"
)

// skipper finds the end of a JSON object or array of which nothing is wanted.
// It counts brackets outside strings, eight bytes at a time and without a
// branch on what they are: most of a delivery is passed over this way, between
// an ID at the beginning and an event type at the end.
type skipper struct {
	depth    int // brackets that are open
	inString bool
	escaped  bool // the byte before was a backslash that escapes
}

const (
	low7 = 0x7f7f7f7f7f7f7f7f
	high = 0x8080808080808080
	ones = 0x0101010101010101
)

// equal sets the high bit of every byte of x that is c.
func equal(x uint64, c byte) uint64 {
	x ^= ones * uint64(c)
	return ^((x&low7 + low7) | x) & high
}

// skip consumes from buf. It returns how much, and whether the last bracket
// has been closed; if not, it goes on with the next call.
func (s *skipper) skip(buf []byte) (int, bool) {
	pos := 0
	if s.escaped && len(buf) > 0 {
		pos, s.escaped = 1, false
	}
	for len(buf)-pos >= 8 {
		x := binary.LittleEndian.Uint64(buf[pos:])
		quotes := equal(x, '"')
		if equal(x, '\\') != 0 {
			n, done := s.slowly(buf[pos : pos+8])
			if pos += n; done {
				return pos, true
			}
			if s.escaped && pos < len(buf) {
				pos, s.escaped = pos+1, false
			}
			continue
		}
		// A byte is in a string if the quotes up to it are odd in number.
		inside := quotes ^ quotes<<8
		inside ^= inside << 16
		inside ^= inside << 32
		if s.inString {
			inside ^= high
		}
		folded := x | ones*0x20 // [ and { become one, as do ] and }
		opening := equal(folded, '{') &^ inside
		closing := equal(folded, '}') &^ inside
		down := bits.OnesCount64(closing)
		if down >= s.depth { // the end may be here
			n, done := s.slowly(buf[pos : pos+8])
			if pos += n; done {
				return pos, true
			}
			continue
		}
		s.depth += bits.OnesCount64(opening) - down
		s.inString = inside>>63 != 0
		pos += 8
	}
	n, done := s.slowly(buf[pos:])
	return pos + n, done
}

// slowly does the same byte by byte.
func (s *skipper) slowly(buf []byte) (int, bool) {
	for i, c := range buf {
		switch {
		case s.escaped:
			s.escaped = false
		case c == '"':
			s.inString = !s.inString
		case s.inString:
			s.escaped = c == '\\'
		case c == '{' || c == '[':
			s.depth++
		case c == '}' || c == ']':
			if s.depth--; s.depth == 0 {
				return i + 1, true
			}
		}
	}
	return len(buf), false
}
