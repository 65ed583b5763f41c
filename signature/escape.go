package signature

import (
	"fmt"
	"io"
	"unicode/utf8"
)

// writeEscaped writes the body as JSON.stringify spells a string, without the
// quotes around it. Nothing of the body is kept.
func writeEscaped(w io.Writer, b Body) error {
	e := &escaper{w: w}
	if p := b.Bytes(); p != nil {
		if _, err := e.Write(p); err != nil {
			return err
		}
	} else if _, err := b.WriteTo(e); err != nil {
		return fmt.Errorf("reading the body again: %w", err)
	}
	if len(e.tail) > 0 {
		return e.refuse()
	}
	return e.flush()
}

// escaper escapes what is written to it. It refuses what is not UTF-8, and
// control characters that no JSON document has outside its strings, where they
// are escaped already: each would be hashed as six bytes.
type escaper struct {
	w    io.Writer
	out  []byte
	tail []byte // the beginning of a character that the next write completes
}

func (e *escaper) refuse() error {
	return Refuse(Malformed, "the body is not UTF-8, or has control characters, and so is not JSON")
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
	for start, i := 0, 0; ; i++ {
		if i < len(p) && p[i] >= ' ' && p[i] != '"' && p[i] != '\\' {
			continue
		}
		if err := e.plain(p[start:i]); err != nil || i == len(p) {
			return len(p), err
		}
		for ; i < len(p); i++ {
			short := escapes[p[i]]
			if short == 0 {
				break
			}
			e.out = append(e.out, '\\', short)
			if len(e.out) >= maxGathered {
				if err := e.flush(); err != nil {
					return 0, err
				}
			}
		}
		if i < len(p) && p[i] < ' ' {
			return 0, e.refuse()
		}
		if start = i; i == len(p) {
			return len(p), nil
		}
	}
}

// escapes are the characters that are escaped, with the letter behind the
// backslash.
var escapes = [256]byte{'"': '"', '\\': '\\', '\t': 't', '\n': 'n', '\r': 'r'}

// plain adds what is not escaped.
func (e *escaper) plain(p []byte) error {
	if len(e.out)+len(p) < 2*maxGathered {
		e.out = append(e.out, p...)
		return nil
	}
	if err := e.flush(); err != nil {
		return err
	}
	return flush(e.w, p)
}

// valid reports whether p goes on as UTF-8.
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
