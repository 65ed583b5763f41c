package signature

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
)

// JSONPaths finds scalar values in a JSON document in one pass and bounded
// memory, without building the document: a body may be megabytes in a file,
// and all that is wanted of it is an ID near its beginning. encoding/json
// would hold all of it; the scan ends at the last value that is wanted.
//
// Of a member that comes twice the first counts. Strings are unescaped,
// numbers are as written, true and false are the words; null, objects and
// arrays count as absent, and so does a value longer than 64 KiB. A document
// that breaks off or is not JSON yields what was found up to there.
type JSONPaths struct {
	names    []string
	segments [][]string
}

const (
	maxJSONValue = 64 << 10
	maxJSONPaths = 64 // the width of the mask that says which paths are alive
	jsonReadSize = 32 << 10
)

// NewJSONPaths compiles paths: member names and array indexes joined by dots.
func NewJSONPaths(paths []string) (*JSONPaths, error) {
	if len(paths) > maxJSONPaths {
		return nil, errors.New("too many JSON paths: 64 are the most")
	}
	p := &JSONPaths{names: paths}
	for _, path := range paths {
		segments := strings.Split(path, ".")
		for _, s := range segments {
			if s == "" {
				return nil, errors.New("the JSON path " + strconv.Quote(path) + " has an empty part: write member names joined by single dots")
			}
		}
		p.segments = append(p.segments, segments)
	}
	return p, nil
}

// Find returns a value for each path, in their order, empty for those that are
// absent. An error means that the body could not be read.
func (p *JSONPaths) Find(b Body) ([]string, error) {
	s := &jsonScan{paths: p, found: make([]string, len(p.names)), buf: b.Bytes()}
	if s.buf == nil {
		r := b.Open()
		defer r.Close()
		s.src, s.buf = r, make([]byte, 0, jsonReadSize)
	}
	s.want = 1<<len(p.names) - 1
	s.value(s.want, 0)
	return s.found, s.err
}

// jsonScan is one pass over one document. Its methods return false when the
// scan is over: everything found, the end of input, or not JSON.
type jsonScan struct {
	paths *JSONPaths
	found []string
	want  uint64 // the paths not yet found
	buf   []byte
	pos   int
	src   io.Reader // nil: buf is the whole document
	err   error
	text  []byte // the string or number being kept
}

// peek returns the next byte without consuming it.
func (s *jsonScan) peek() (byte, bool) {
	for s.pos == len(s.buf) {
		if s.src == nil || s.err != nil {
			return 0, false
		}
		n, err := s.src.Read(s.buf[:cap(s.buf)])
		s.buf, s.pos = s.buf[:n], 0
		if n == 0 && err != nil {
			if err != io.EOF {
				s.err = err
			}
			s.src = nil
			return 0, false
		}
	}
	return s.buf[s.pos], true
}

// token returns the next byte that is not white space, without consuming it.
func (s *jsonScan) token() (byte, bool) {
	for {
		c, ok := s.peek()
		if !ok || (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
			return c, ok
		}
		s.pos++
	}
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
	case '{':
		return s.object(alive, depth)
	case '[':
		return s.array(alive, depth)
	case '"':
		text, ok := s.str(true)
		return ok && s.keep(alive, depth, text)
	default:
		text, ok := s.bare()
		if text == "null" {
			text = ""
		}
		return ok && s.keep(alive, depth, text)
	}
}

// keep records a scalar for the paths that end here and drops those that
// would have to go deeper: of members that come twice the first counts.
func (s *jsonScan) keep(alive uint64, depth int, text string) bool {
	for i := range s.found {
		if alive&(1<<i) == 0 {
			continue
		}
		if len(s.paths.segments[i]) == depth {
			s.found[i] = text
		}
		s.want &^= 1 << i
	}
	return s.want != 0
}

// drop takes back paths that end at a container.
func (s *jsonScan) drop(alive uint64, depth int) uint64 {
	for i := range s.found {
		if alive&(1<<i) != 0 && len(s.paths.segments[i]) == depth {
			s.want &^= 1 << i
			alive &^= 1 << i
		}
	}
	return alive
}

func (s *jsonScan) object(alive uint64, depth int) bool {
	alive = s.drop(alive, depth)
	s.pos++
	if c, ok := s.token(); !ok || c == '}' {
		s.pos++
		return ok && s.want != 0
	}
	for {
		if c, ok := s.token(); !ok || c != '"' {
			return false
		}
		name, ok := s.str(true)
		if !ok {
			return false
		}
		if c, ok := s.token(); !ok || c != ':' {
			return false
		}
		s.pos++
		next := s.follow(alive, depth, name)
		if !s.value(next, depth+1) {
			return false
		}
		s.want &^= next // absent deeper down: a second member of this name does not count
		if s.want == 0 {
			return false
		}
		if more, ok := s.separator('}'); !more {
			return ok
		}
	}
}

func (s *jsonScan) array(alive uint64, depth int) bool {
	alive = s.drop(alive, depth)
	s.pos++
	if c, ok := s.token(); !ok || c == ']' {
		s.pos++
		return ok && s.want != 0
	}
	for i := 0; ; i++ {
		next := uint64(0)
		if alive != 0 {
			next = s.follow(alive, depth, strconv.Itoa(i))
		}
		if !s.value(next, depth+1) {
			return false
		}
		if more, ok := s.separator(']'); !more {
			return ok
		}
	}
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

// follow returns the paths of alive whose part at depth is name.
func (s *jsonScan) follow(alive uint64, depth int, name string) uint64 {
	var next uint64
	for i, segments := range s.paths.segments {
		if alive&(1<<i) != 0 && segments[depth] == name {
			next |= 1 << i
		}
	}
	return next
}

// str consumes a string. Unless keep, or if it is too long, its text is lost.
func (s *jsonScan) str(keep bool) (string, bool) {
	s.pos++ // the opening quote
	s.text = s.text[:0]
	escaped, tooLong := false, false
	for {
		if _, ok := s.peek(); !ok {
			return "", false
		}
		rest := s.buf[s.pos:]
		n := bytes.IndexByte(rest, '"')
		if n < 0 {
			n = len(rest)
		}
		if esc := bytes.IndexByte(rest[:n], '\\'); esc >= 0 {
			n, escaped = esc, true
		}
		s.take(rest[:n], keep, &tooLong)
		s.pos += n
		if n == len(rest) {
			continue
		}
		if rest[n] == '"' {
			s.pos++
			return s.unescape(keep && !tooLong, escaped), true
		}
		for range 2 { // the backslash and what it escapes
			c, ok := s.peek()
			if !ok {
				return "", false
			}
			s.take([]byte{c}, keep, &tooLong)
			s.pos++
		}
	}
}

func (s *jsonScan) take(b []byte, keep bool, tooLong *bool) {
	if !keep || *tooLong {
		return
	}
	if len(s.text)+len(b) > maxJSONValue {
		*tooLong = true
		return
	}
	s.text = append(s.text, b...)
}

func (s *jsonScan) unescape(keep, escaped bool) string {
	if !keep {
		return ""
	}
	if !escaped {
		return string(s.text)
	}
	quoted := append(append([]byte{'"'}, s.text...), '"')
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return ""
	}
	return text
}

// bare consumes a number or a word.
func (s *jsonScan) bare() (string, bool) {
	s.text = s.text[:0]
	for {
		c, ok := s.peek()
		if !ok || strings.IndexByte(" \t\r\n,]}:{[\"", c) >= 0 {
			return string(s.text), len(s.text) > 0
		}
		if len(s.text) < maxJSONValue {
			s.text = append(s.text, c)
		}
		s.pos++
	}
}

// skip consumes a value that nobody asked for. It counts brackets and steps
// over strings, no more: that is all it takes to find the value's end.
func (s *jsonScan) skip(c byte) bool {
	if c == '"' {
		_, ok := s.str(false)
		return ok
	}
	if c != '{' && c != '[' {
		_, ok := s.bare()
		return ok
	}
	depth := 0
	for {
		c, ok := s.peek()
		if !ok {
			return false
		}
		switch c {
		case '"':
			if _, ok := s.str(false); !ok {
				return false
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		s.pos++
		if depth == 0 {
			return true
		}
	}
}
