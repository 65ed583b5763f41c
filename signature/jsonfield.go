package signature

import (
	"bytes"
	"errors"
	"io"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// JSONPaths finds scalar values in a JSON document in one pass and bounded memory,
// without building the document: a body can have megabytes in a file, of which only
// an ID near the beginning is needed. encoding/json would keep all of it; the scan
// stops at the last wanted value.
//
// The first of duplicate members counts. Strings are unescaped, numbers are as
// written, true and false are these words; null, objects, arrays and values longer
// than 64 KiB count as absent. An incomplete or invalid document yields the values
// found before the error. The result depends only on the document, not on how it is
// read.
type JSONPaths struct {
	names    []string
	segments [][]string
	indexes  [][]int  // the segments as array indexes, -1 for others
	ends     []uint64 // by depth: the paths that end there
}

const (
	maxJSONValue = 64 << 10
	maxJSONPaths = 64 // the width of the mask of live paths
	jsonReadSize = 32 << 10
)

// NewJSONPaths compiles paths: member names and array indexes joined by dots.
func NewJSONPaths(paths []string) (*JSONPaths, error) {
	if len(paths) > maxJSONPaths {
		return nil, errors.New("too many JSON paths: at most 64")
	}
	p := &JSONPaths{names: paths}
	for i, path := range paths {
		segments := strings.Split(path, ".")
		indexes := make([]int, len(segments))
		for j, s := range segments {
			if s == "" {
				return nil, errors.New("the JSON path " + strconv.Quote(path) + " has an empty part: write member names joined by single dots")
			}
			indexes[j] = arrayIndex(s)
		}
		for len(p.ends) <= len(segments) {
			p.ends = append(p.ends, 0)
		}
		p.ends[len(segments)] |= 1 << i
		p.segments = append(p.segments, segments)
		p.indexes = append(p.indexes, indexes)
	}
	return p, nil
}

// arrayIndex returns the number in s, -1 if s is not a number.
func arrayIndex(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || strconv.Itoa(n) != s {
		return -1
	}
	return n
}

// Find returns a value for each path, in their order, empty if absent. An error means
// that the body could not be read.
func (p *JSONPaths) Find(b Body) ([]string, error) {
	var s jsonScan
	return s.find(nil, p, b)
}

// jsonScan is one pass over one document. Its methods return false at the end of the
// scan: everything found, the end of input, or invalid JSON.
type jsonScan struct {
	paths *JSONPaths
	want  uint64 // the paths not yet found
	buf   []byte
	pos   int
	src   io.Reader // nil: buf is the whole input
	err   error
	text  []byte // a string or number that spans two reads
	plain []byte // a string without its escapes
	found []byte // the short values, concatenated
	spans []span // by path: the position of its value in found
	long  []longValue
}

// longValue is a value that is kept separately, so that it is copied once.
type longValue struct {
	path  int
	value string
}

// maxShared is the longest value that shares an allocation with others.
const maxShared = 1 << 10

type span struct{ start, end int }

// find appends a value for each path to dst.
func (s *jsonScan) find(dst []string, p *JSONPaths, b Body) ([]string, error) {
	s.paths, s.want = p, 1<<len(p.names)-1
	s.pos, s.src, s.err = 0, nil, nil
	s.found, s.spans = s.found[:0], s.spans[:0]
	for range p.names {
		s.spans = append(s.spans, span{})
	}
	if s.buf = b.Bytes(); s.buf == nil {
		r := b.Open()
		defer r.Close()
		s.src, s.buf = r, make([]byte, 0, jsonReadSize)
	}
	// Only a container has paths.
	if c, ok := s.token(); ok && s.want != 0 && (c == '{' || c == '[') {
		s.value(s.want, 0)
	}
	s.buf, s.src = nil, nil
	all := string(s.found) // one allocation for all values
	first := len(dst)
	for _, at := range s.spans {
		dst = append(dst, all[at.start:at.end])
	}
	for _, l := range s.long {
		dst[first+l.path] = l.value
	}
	clear(s.long)
	s.long = s.long[:0]
	return dst, s.err
}

// fill ensures that there is a byte at pos.
func (s *jsonScan) fill() bool {
	for s.pos == len(s.buf) {
		if s.src == nil {
			return false
		}
		n, err := s.src.Read(s.buf[:cap(s.buf)])
		s.buf, s.pos = s.buf[:n], 0
		if err != nil {
			if s.src = nil; err != io.EOF {
				s.err = err
			}
		}
	}
	return true
}

// token returns the next byte that is not white space, without consuming it.
func (s *jsonScan) token() (byte, bool) {
	for s.fill() {
		for i, c := range s.buf[s.pos:] {
			if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
				s.pos += i
				return c, true
			}
		}
		s.pos = len(s.buf)
	}
	return 0, false
}

// value reads one value. alive are the paths whose first depth parts led here.
func (s *jsonScan) value(alive uint64, depth int) bool {
	c, ok := s.token()
	if !ok {
		return false
	}
	if alive &= s.want; alive == 0 {
		return s.skip(c)
	}
	switch c {
	case '{', '[':
		s.want &^= alive & s.paths.ends[depth] // a container is not a scalar
		if alive &= s.want; alive == 0 {
			return s.want != 0 && s.skip(c)
		}
		s.pos++
		if c == '{' {
			return s.object(alive, depth)
		}
		return s.array(alive, depth)
	case '"':
		text, ok := s.str()
		return ok && s.keep(alive, depth, text)
	default:
		text, ok := s.bare()
		if string(text) == "null" {
			text = nil
		}
		return ok && s.keep(alive, depth, text)
	}
}

// keep records a scalar for the paths that end here and drops those that continue:
// the first of duplicate members counts.
func (s *jsonScan) keep(alive uint64, depth int, text []byte) bool {
	s.want &^= alive
	if alive &= s.paths.ends[depth]; alive != 0 && len(text) > maxShared {
		value := string(text)
		for ; alive != 0; alive &= alive - 1 {
			s.long = append(s.long, longValue{bits.TrailingZeros64(alive), value})
		}
	}
	if alive != 0 && len(text) > 0 {
		at := span{len(s.found), len(s.found) + len(text)}
		s.found = append(s.found, text...)
		for ; alive != 0; alive &= alive - 1 {
			s.spans[bits.TrailingZeros64(alive)] = at
		}
	}
	return s.want != 0
}

// object reads the members of an object whose bracket has been consumed.
func (s *jsonScan) object(alive uint64, depth int) bool {
	c, ok := s.token()
	if ok && c == '}' {
		s.pos++
		return true
	}
	for ok && c == '"' {
		name, ok := s.str()
		if !ok {
			return false
		}
		next := s.member(alive&s.want, depth, name)
		if c, ok := s.token(); !ok || c != ':' {
			return false
		}
		s.pos++
		if !s.value(next, depth+1) {
			return false
		}
		s.want &^= next // absent inside: a second member of this name does not count
		if s.want == 0 {
			return false
		}
		if alive&s.want == 0 {
			return s.nested(1)
		}
		if more, ok := s.separator('}'); !more {
			return ok
		}
		c, _ = s.token()
	}
	return false
}

// array reads the elements of an array whose bracket has been consumed.
func (s *jsonScan) array(alive uint64, depth int) bool {
	c, ok := s.token()
	if ok && c == ']' {
		s.pos++
		return true
	}
	for i := 0; ok; i++ {
		next, later := s.element(alive&s.want, depth, i)
		if next|later == 0 {
			return s.nested(1)
		}
		if !s.value(next, depth+1) {
			return false
		}
		if s.want &^= next; s.want == 0 {
			return false
		}
		more, ok := s.separator(']')
		if !more {
			return ok
		}
	}
	return false
}

// separator consumes a comma (more) or the end of the container.
func (s *jsonScan) separator(end byte) (more, ok bool) {
	c, ok := s.token()
	if !ok || (c != ',' && c != end) {
		return false, false
	}
	s.pos++
	return c == ',', true
}

// member returns the paths of alive whose part at depth is name.
func (s *jsonScan) member(alive uint64, depth int, name []byte) uint64 {
	var next uint64
	for ; alive != 0; alive &= alive - 1 {
		i := bits.TrailingZeros64(alive)
		if s.paths.segments[i][depth] == string(name) {
			next |= 1 << i
		}
	}
	return next
}

// element returns the paths of alive whose part at depth is the index i, and
// those for which it is a later one.
func (s *jsonScan) element(alive uint64, depth, i int) (next, later uint64) {
	for ; alive != 0; alive &= alive - 1 {
		path := bits.TrailingZeros64(alive)
		switch index := s.paths.indexes[path][depth]; {
		case index == i:
			next |= 1 << path
		case index > i:
			later |= 1 << path
		}
	}
	return next, later
}

// str consumes a string and returns it unescaped, nil if it is too long. The
// bytes are good until the next read.
func (s *jsonScan) str() ([]byte, bool) {
	s.pos++ // the opening quote
	s.text = s.text[:0]
	for s.fill() {
		rest := s.buf[s.pos:]
		n := bytes.IndexByte(rest, '"')
		if n < 0 {
			n = len(rest)
		}
		if esc := bytes.IndexByte(rest[:n], '\\'); esc >= 0 {
			s.pos += esc
			s.take(rest[:esc])
			return s.escapedStr()
		}
		s.pos += n
		if n == len(rest) {
			s.take(rest)
			continue
		}
		s.pos++
		if len(s.text) == 0 { // the whole string is in the buffer
			return limited(rest[:n]), true
		}
		s.take(rest[:n])
		return limited(s.text), true
	}
	return nil, false
}

// escapedStr continues with a string from its first backslash on.
func (s *jsonScan) escapedStr() ([]byte, bool) {
	escaped := false
	for s.fill() {
		rest := s.buf[s.pos:]
		for i, c := range rest {
			if c == '"' && !escaped {
				s.take(rest[:i])
				s.pos += i + 1
				return s.unescape(limited(s.text)), true
			}
			escaped = c == '\\' && !escaped
		}
		s.take(rest)
		s.pos = len(s.buf)
	}
	return nil, false
}

// take adds to text, up to one byte more than the limit of a value.
func (s *jsonScan) take(b []byte) {
	room := maxJSONValue + 1 - len(s.text)
	if len(s.text) > 0 && cap(s.text)-len(s.text) < min(room, len(b)) {
		s.text = slices.Grow(s.text, room) // once, instead of step by step
	}
	s.text = append(s.text, b[:min(room, len(b))]...)
}

// limited returns text, or nothing if it is too long.
func limited(text []byte) []byte {
	if len(text) > maxJSONValue {
		return nil
	}
	return text
}

// unescape returns a string without its escapes, as encoding/json does, or
// nothing if it is not well-formed. The bytes are valid until the next string.
func (s *jsonScan) unescape(raw []byte) []byte {
	if raw == nil {
		return nil
	}
	s.plain = slices.Grow(s.plain[:0], len(raw))
	for len(raw) > 0 {
		switch c := raw[0]; {
		case c < ' ':
			return nil
		case c == '\\':
			r, n := escapedRune(raw)
			if n == 0 {
				return nil
			}
			s.plain, raw = utf8.AppendRune(s.plain, r), raw[n:]
		case c < utf8.RuneSelf:
			s.plain, raw = append(s.plain, c), raw[1:]
		default:
			r, n := utf8.DecodeRune(raw) // invalid UTF-8 is replaced
			s.plain, raw = utf8.AppendRune(s.plain, r), raw[n:]
		}
	}
	return s.plain
}

// escapedRune returns the character of an escape, and the length of the escape in
// bytes, 0 if it is invalid.
func escapedRune(raw []byte) (rune, int) {
	if len(raw) < 2 {
		return 0, 0
	}
	switch c := raw[1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r, ok := hexEscape(raw)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	low, _ := hexEscape(raw[6:])
	if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
		return both, 12
	}
	return utf8.RuneError, 6
}

// hexEscape reads an escape of four hex digits.
func hexEscape(raw []byte) (rune, bool) {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(raw[2:6]), 16, 32)
	return rune(n), err == nil
}

// bare consumes a number or a word.
func (s *jsonScan) bare() ([]byte, bool) {
	s.text = s.text[:0]
	for s.fill() {
		rest := s.buf[s.pos:]
		n := bareEnd(rest)
		s.take(rest[:n])
		s.pos += n
		if n < len(rest) {
			break
		}
	}
	return limited(s.text), len(s.text) > 0
}

// bareEnd returns how many bytes of b can belong to a number or a word.
func bareEnd(b []byte) int {
	for i, c := range b {
		switch c {
		case ' ', '\t', '\r', '\n', ',', ']', '}', ':', '{', '[', '"':
			return i
		}
	}
	return len(b)
}

// skip consumes an unneeded value that starts with c.
func (s *jsonScan) skip(c byte) bool {
	switch c {
	case '{', '[':
		s.pos++
		return s.nested(1)
	case '"':
		return s.skipStr()
	}
	return s.skipBare()
}

// nested consumes up to the end of depth open brackets.
func (s *jsonScan) nested(depth int) bool {
	k := skipper{depth: depth}
	for s.fill() {
		n, done := k.skip(s.buf[s.pos:])
		s.pos += n
		if done {
			return true
		}
	}
	return false
}

// skipStr consumes a string.
func (s *jsonScan) skipStr() bool {
	s.pos++ // the opening quote
	for s.fill() {
		rest := s.buf[s.pos:]
		n := bytes.IndexByte(rest, '"')
		if n < 0 {
			n = len(rest)
		}
		if bytes.IndexByte(rest[:n], '\\') >= 0 {
			return s.endOfStr()
		}
		if s.pos += n; n < len(rest) {
			s.pos++
			return true
		}
	}
	return false
}

// endOfStr consumes the rest of a string byte by byte. Looking for the next quote
// after every backslash would have quadratic cost.
func (s *jsonScan) endOfStr() bool {
	escaped := false
	for s.fill() {
		for i, c := range s.buf[s.pos:] {
			switch {
			case escaped:
				escaped = false
			case c == '"':
				s.pos += i + 1
				return true
			default:
				escaped = c == '\\'
			}
		}
		s.pos = len(s.buf)
	}
	return false
}
