package signature

import (
	"encoding/binary"
	"math/bits"
	"unicode"
)

// appendUnescaped appends text without its escapes. It returns false if one is not
// well-formed.
func appendUnescaped(dst, text []byte) ([]byte, bool) {
	var u unescaper
	for len(text) > 0 {
		n := min(len(text), unescaperSize)
		if n < len(text) {
			n = wholeEscapes(text[:n])
		}
		var ok bool
		if dst, ok = u.append(dst, text[:n]); !ok {
			return dst, false
		}
		text = text[n:]
	}
	return dst, true
}

// unescaper unescapes a piece of text in two steps: it finds the escapes, then copies
// the text between them. Neither has branches that depend on the distances of escapes,
// because a wrong prediction of a branch takes longer than unescaping.
type unescaper struct {
	plain [2 * unescaperSize]byte // the text with spaces for pluses, then zeros
	out   [2 * unescaperSize]byte // the text without escapes
	at    [unescaperSize + 8]uint16
	n     int // used of at
}

const (
	unescaperSize = 1 << 10
	// gather moves the lowest bit of each byte to the highest byte, by multiplication.
	gather = 0x0102040810204080
)

func (u *unescaper) append(dst, text []byte) ([]byte, bool) {
	u.load(text)
	const mask = unescaperSize - 1 // shows the compiler that no index is out of range
	to, from := 0, 0
	wrong := uint16(0)
	for _, at := range u.at[:u.n] {
		next := int(at) & mask
		run := max(0, next-from) // an escape in another one is wrong, too
		for i := 0; ; {
			src, dst := u.plain[(from+i)&mask:][:16], u.out[(to+i)&mask:][:16]
			binary.LittleEndian.PutUint64(dst, binary.LittleEndian.Uint64(src))
			binary.LittleEndian.PutUint64(dst[8:], binary.LittleEndian.Uint64(src[8:]))
			if i += 16; i >= run {
				break
			}
		}
		to += run
		c := firstDigit[u.plain[next+1]] | secondDigit[u.plain[next+2]]
		u.out[to&mask] = byte(c)
		wrong |= c
		from, to = next+3, to+1
	}
	dst = append(dst, u.out[:to]...)
	if from < len(text) {
		dst = append(dst, u.plain[from:len(text)]...)
	}
	return dst, wrong < noHex
}

// load copies the text and finds its escapes.
func (u *unescaper) load(text []byte) {
	n := copy(u.plain[:unescaperSize], text)
	clear(u.plain[n : n+64])
	u.n = 0
	for start := 0; start < n; start += 64 {
		block := u.plain[start : start+64]
		found := uint64(0)
		for i := 0; i < 64; i += 8 {
			x := binary.LittleEndian.Uint64(block[i:])
			found |= equal(x, '%') >> 7 * gather >> 56 << i
			binary.LittleEndian.PutUint64(block[i:], x^equal(x, '+')>>7*('+'^' '))
		}
		for count := bits.OnesCount64(found); count > 0; count -= 8 {
			list := u.at[u.n : u.n+8]
			for i := range list {
				list[i] = uint16(start + bits.TrailingZeros64(found))
				found &= found - 1
			}
			u.n += min(count, 8)
		}
	}
}

// positions returns a number whose bit i is set if b[i] is c.
func positions(b *[64]byte, c byte) uint64 {
	set := uint64(0)
	for i := 0; i < 64; i += 8 {
		set |= equal(binary.LittleEndian.Uint64(b[i:]), c) >> 7 * gather >> 56 << i
	}
	return set
}

// hexPositions returns a number whose bit i is set if b[i] is a hexadecimal digit.
func hexPositions(b *[64]byte) uint64 {
	set := uint64(0)
	for i := 0; i < 64; i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		digits := atLeast(x&low7, '0') &^ atLeast(x&low7, '9'+1)
		lower := x&low7 | ones*('a'-'A')
		letters := atLeast(lower, 'a') &^ atLeast(lower, 'f'+1)
		set |= ((digits | letters) &^ x & high) >> 7 * gather >> 56 << i
	}
	return set
}

// atLeast sets the high bit of every byte of x that is at least c. All are below 128.
func atLeast(x uint64, c byte) uint64 { return x + ones*uint64(128-c) }

// firstDigit and secondDigit are the values of hexadecimal digits in their places of
// two, noHex for all other bytes.
var firstDigit, secondDigit = func() (first, second [256]uint16) {
	for i := range first {
		first[i], second[i] = noHex, noHex
	}
	for i, digit := range "0123456789abcdef" {
		for _, c := range []rune{digit, unicode.ToUpper(digit)} {
			first[c], second[c] = uint16(i)<<4, uint16(i)
		}
	}
	return first, second
}()

const noHex = 1 << 8
