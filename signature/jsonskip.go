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
	for {
		if s.escaped && pos < len(buf) {
			pos, s.escaped = pos+1, false
		}
		pos += s.words(buf[pos:])
		// What words stopped at, or what remains.
		n, done := s.slowly(buf[pos:min(pos+8, len(buf))])
		if pos += n; done || pos == len(buf) {
			return pos, done
		}
	}
}

// words consumes whole words up to one that holds a backslash or, perhaps, the
// end.
func (s *skipper) words(buf []byte) int {
	depth, carry := s.depth, uint64(0)
	if s.inString {
		carry = high
	}
	pos := 0
	for ; len(buf)-pos >= 8; pos += 8 {
		x := binary.LittleEndian.Uint64(buf[pos:])
		// A byte is in a string if the quotes up to it are odd in number.
		inside := equal(x, '"')
		inside ^= inside << 8
		inside ^= inside << 16
		inside ^= inside << 32
		inside ^= carry
		folded := x | ones*0x20 // [ and { become one, as do ] and }
		closing := equal(folded, '}') &^ inside
		down := bits.OnesCount64(closing)
		if equal(x, '\\') != 0 || down >= depth {
			break
		}
		depth += bits.OnesCount64(equal(folded, '{')&^inside) - down
		carry = -(inside >> 63) & high
	}
	s.depth, s.inString = depth, carry != 0
	return pos
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

// skipBare consumes a number or a word, as bare does, without a copy.
func (s *jsonScan) skipBare() bool {
	skipped := false
	for s.fill() {
		n := bareEnd(s.buf[s.pos:])
		s.pos += n
		skipped = skipped || n > 0
		if s.pos < len(s.buf) {
			break
		}
	}
	return skipped
}
