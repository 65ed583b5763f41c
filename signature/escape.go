package signature

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// writeEscaped writes the body as JSON.stringify writes a string, without the
// quotes. It does not keep the body.
func writeEscaped(w io.Writer, b Body) error {
	e := &escaper{w: w}
	if p := b.Bytes(); p != nil {
		if _, err := e.Write(p); err != nil {
			return err
		}
	} else if _, err := b.WriteTo(e); err != nil {
		return fmt.Errorf("rereading body: %w", err)
	}
	if len(e.tail) > 0 {
		return e.refuse()
	}
	return e.flush()
}

// escaper escapes the text that is written to it. It refuses invalid UTF-8, and
// control characters, which a JSON document cannot contain unescaped: each would
// be hashed as six bytes.
type escaper struct {
	w    io.Writer
	out  []byte
	tail []byte // the beginning of a character that the next write completes
}

func (e *escaper) refuse() error {
	return Refuse(Malformed, "the body is not JSON, because it is not UTF-8 or contains control characters")
}

func (e *escaper) flush() error {
	err := flush(e.w, e.out)
	e.out = e.out[:0]
	return err
}

// Write implements io.Writer.
func (e *escaper) Write(p []byte) (int, error) {
	if !e.valid(p) {
		return 0, e.refuse()
	}
	for rest := p; len(rest) > 0; {
		if len(e.out) >= maxGathered {
			if err := e.flush(); err != nil {
				return 0, err
			}
		}
		n := min(len(rest), maxGathered)
		var ok bool
		if e.out, ok = appendEscaped(e.out, rest[:n]); !ok {
			return 0, e.refuse()
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// appendEscaped appends text with its escapes. It returns false if a character has
// no short escape. Text without escapes is copied eight bytes at a time.
func appendEscaped(dst, text []byte) ([]byte, bool) {
	n := len(dst)
	dst = slices.Grow(dst, 2*len(text))
	out := dst[n : n+2*len(text)]
	to := 0
	for len(text) > 0 {
		for len(text) >= 8 {
			x := binary.LittleEndian.Uint64(text)
			control := (x - ones*' ') &^ x & high // of the first such byte, at least
			if control|equal(x, '"')|equal(x, '\\') != 0 {
				break
			}
			binary.LittleEndian.PutUint64(out[to:], x)
			text, to = text[8:], to+8
		}
		piece := text[:min(8, len(text))]
		for _, c := range piece {
			short := escapes[c]
			switch {
			case short != 0:
				out[to], out[to+1] = '\\', short
				to += 2
			case c < ' ':
				return dst, false
			default:
				out[to] = c
				to++
			}
		}
		text = text[len(piece):]
	}
	return dst[:n+to], true
}

// escapes are the escaped characters, with the letter after the backslash.
var escapes = [256]byte{'"': '"', '\\': '\\', '\t': 't', '\n': 'n', '\r': 'r'}

// valid reports whether p continues as UTF-8.
func (e *escaper) valid(p []byte) bool {
	for len(e.tail) > 0 && len(p) > 0 {
		e.tail, p = append(e.tail, p[0]), p[1:]
		if !utf8.FullRune(e.tail) {
			continue
		}
		if !utf8.Valid(e.tail) {
			return false
		}
		e.tail = e.tail[:0]
	}
	end := len(p)
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		if utf8.RuneStart(p[len(p)-i]) {
			if !utf8.FullRune(p[len(p)-i:]) {
				end = len(p) - i
			}
			break
		}
	}
	e.tail = append(e.tail, p[end:]...)
	return utf8.Valid(p[:end])
}
