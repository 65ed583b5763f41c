package catalogue

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// The functions below read unverified JSON documents: in one pass,
// without building them and without allocating for what is in them. A decoder
// makes 50 bytes of the three of `{},`.

const (
	// maxJSONDepth bounds how deep a document is nested.
	maxJSONDepth = 100
	// maxOpenNames bounds the names of an object and of those around it.
	maxOpenNames = 4096
	// longestEscape is the length of \u0041, in bytes.
	longestEscape = 6
)

var (
	errNotJSON   = errors.New("the body is not JSON")
	errTooDeep   = errors.New("the JSON document is nested too deep")
	errManyNames = errors.New("an object of the JSON document has too many members")
	errNameTwice = errors.New("duplicate name in a JSON object")
	errTrailing  = errors.New("data after the end of the JSON document")

	// errStop ends a walk that has found what it looks for.
	errStop = errors.New("stop")
)

// exactName keeps names apart that differ in case.
func exactName(r rune) rune { return r }

// foldName takes characters that differ in case only for the same, as
// encoding/json and others do with names.
func foldName(r rune) rune {
	if r < utf8.RuneSelf {
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return least
}

// jsonWalk is one pass over one document.
type jsonWalk struct {
	buf   []byte
	pos   int
	names *names   // nil: names are not compared
	open  []uint64 // hashes of the compared names in all open objects
}

// token returns the next byte that is not white space, without consuming it.
func (w *jsonWalk) token() (byte, bool) {
	for ; w.pos < len(w.buf); w.pos++ {
		switch c := w.buf[w.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c, true
		}
	}
	return 0, false
}

// value consumes a value, which must be well-formed.
func (w *jsonWalk) value(depth int) error {
	c, ok := w.token()
	switch {
	case !ok:
		return errNotJSON
	case depth > maxJSONDepth:
		return errTooDeep
	case c == '{':
		return w.object(depth)
	case c == '[':
		return w.array(depth)
	case c == '"':
		_, err := w.text()
		return err
	}
	return w.bare(c)
}

func (w *jsonWalk) object(depth int) error {
	outer := len(w.open)
	more, err := w.enter('}')
	if !more {
		return err
	}
	for more && err == nil {
		if err = w.member(depth); err == nil {
			more, err = w.next('}')
		}
	}
	if err != nil {
		return err
	}
	names := w.open[outer:]
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return errNameTwice
		}
	}
	w.open = w.open[:outer]
	return nil
}

func (w *jsonWalk) member(depth int) error {
	name, err := w.name()
	if err != nil {
		return err
	}
	if w.names != nil && depth <= w.names.depth {
		if len(w.open) == maxOpenNames {
			return errManyNames
		}
		hash := nameHash(name, exactName)
		if err := w.names.check(name, hash); err != nil {
			return err
		}
		w.open = append(w.open, hash)
	}
	return w.value(depth + 1)
}

// name consumes a member's name and the colon behind it.
func (w *jsonWalk) name() ([]byte, error) {
	if c, _ := w.token(); c != '"' {
		return nil, errNotJSON
	}
	name, err := w.text()
	if err != nil {
		return nil, err
	}
	if c, _ := w.token(); c != ':' {
		return nil, errNotJSON
	}
	w.pos++
	return name, nil
}

func (w *jsonWalk) array(depth int) error {
	more, err := w.enter(']')
	for more && err == nil {
		if err = w.value(depth + 1); err == nil {
			more, err = w.next(']')
		}
	}
	return err
}

// enter consumes the bracket that opens a container, and the one that closes it
// if it is empty. It reports whether there is something in it.
func (w *jsonWalk) enter(end byte) (bool, error) {
	w.pos++
	c, ok := w.token()
	if !ok {
		return false, errNotJSON
	}
	if c == end {
		w.pos++
	}
	return c != end, nil
}

// next consumes a comma or the end of a container, and reports which.
func (w *jsonWalk) next(end byte) (bool, error) {
	c, _ := w.token()
	if c != ',' && c != end {
		return false, errNotJSON
	}
	w.pos++
	return c == ',', nil
}

// text consumes a string and returns what is between its quotes, as written.
func (w *jsonWalk) text() ([]byte, error) {
	rest := w.buf[w.pos+1:]
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '"':
			w.pos += i + 2
			return rest[:i], nil
		case c < ' ':
			return nil, errNotJSON
		case c == '\\':
			n := escapeLen(rest[i:])
			if n == 0 {
				return nil, errNotJSON
			}
			i += n - 1
		}
	}
	return nil, errNotJSON
}

// escapeLen returns the length of the escape that b begins with, 0 if there is
// none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	if shortEscapes[b[1]] != 0 {
		return 2
	}
	if b[1] != 'u' || len(b) < 6 {
		return 0
	}
	if (hexDigits[b[2]]|hexDigits[b[3]]|hexDigits[b[4]]|hexDigits[b[5]])&noDigit != 0 {
		return 0
	}
	return 6
}

// hexDigits are the values of hexadecimal digits, noDigit of all else.
var hexDigits = func() (value [256]byte) {
	for i := range value {
		value[i] = noDigit
	}
	for i, c := range []byte("0123456789abcdef") {
		value[c], value[bytes.ToUpper([]byte{c})[0]] = byte(i), byte(i)
	}
	return value
}()

const noDigit = 0x80

// shortEscapes are the characters of the escapes of two bytes, by their second.
var shortEscapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// bare consumes a number, true, false or null.
func (w *jsonWalk) bare(c byte) error {
	switch c {
	case 't':
		return w.word("true")
	case 'f':
		return w.word("false")
	case 'n':
		return w.word("null")
	}
	return w.number()
}

func (w *jsonWalk) word(word string) error {
	if !bytes.HasPrefix(w.buf[w.pos:], []byte(word)) {
		return errNotJSON
	}
	w.pos += len(word)
	return nil
}

func (w *jsonWalk) number() error {
	if w.buf[w.pos] == '-' {
		w.pos++
	}
	switch whole := w.digits(); {
	case whole == 0, whole > 1 && w.buf[w.pos-whole] == '0':
		return errNotJSON
	case w.pos == len(w.buf):
		return nil
	}
	if w.buf[w.pos] == '.' {
		w.pos++
		if w.digits() == 0 {
			return errNotJSON
		}
	}
	if w.pos == len(w.buf) || w.buf[w.pos]|0x20 != 'e' {
		return nil
	}
	w.pos++
	if w.pos < len(w.buf) && (w.buf[w.pos] == '+' || w.buf[w.pos] == '-') {
		w.pos++
	}
	if w.digits() == 0 {
		return errNotJSON
	}
	return nil
}

// digits consumes decimal digits and returns how many there are.
func (w *jsonWalk) digits() int {
	rest := w.buf[w.pos:]
	n := 0
	for n < len(rest) && '0' <= rest[n] && rest[n] <= '9' {
		n++
	}
	w.pos += n
	return n
}

// nameHash hashes a name by its characters (FNV-1a), escapes undone. Who makes
// two names of one hash gets their own message refused.
func nameHash(name []byte, same func(rune) rune) uint64 {
	h := uint64(14695981039346656037)
	for len(name) > 0 {
		r, n := nameRune(name)
		h = (h ^ uint64(same(r))) * 1099511628211
		name = name[n:]
	}
	return h
}

// nameRune returns the first character of a well-formed name.
func nameRune(name []byte) (rune, int) {
	if name[0] < utf8.RuneSelf && name[0] != '\\' {
		return rune(name[0]), 1
	}
	if name[0] != '\\' {
		return utf8.DecodeRune(name)
	}
	if name[1] != 'u' {
		return rune(shortEscapes[name[1]]), 2
	}
	// Halves of a pair are taken one by one, in every spelling alike.
	return rune(hexDigits[name[2]])<<12 | rune(hexDigits[name[3]])<<8 | rune(hexDigits[name[4]])<<4 | rune(hexDigits[name[5]]), 6
}

// jsonMembers yields name, as written, and value of every member of an object,
// up to the first that is not well-formed; nothing for any other value. What is
// in the values is not checked.
func jsonMembers(value []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		w := &jsonWalk{buf: value}
		_ = w.members(func(name []byte) error { // there is no more
			member, err := w.take()
			if err == nil && !yield(name, member) {
				return errStop
			}
			return err
		})
	}
}

// jsonElements yields the elements of an array, up to the first that is not
// well-formed; nothing for any other value. What is in them is not checked.
func jsonElements(value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		w := &jsonWalk{buf: value}
		_ = w.elements(func() error { // there is no more
			element, err := w.take()
			if err == nil && !yield(element) {
				return errStop
			}
			return err
		})
	}
}

// members calls each with the name, as written, of every member of the object
// that comes next; each consumes the value. Any other value is passed over.
func (w *jsonWalk) members(each func(name []byte) error) error {
	if c, _ := w.token(); c != '{' {
		return w.skip()
	}
	more, err := w.enter('}')
	for n := 1; more && err == nil; n++ {
		if n > maxOpenNames {
			return errManyNames
		}
		var name []byte
		if name, err = w.name(); err == nil {
			err = each(name)
		}
		if err == nil {
			more, err = w.next('}')
		}
	}
	return err
}

// elements calls each for every element of the array that comes next; each
// consumes it. Any other value is passed over.
func (w *jsonWalk) elements(each func() error) error {
	if c, _ := w.token(); c != '[' {
		return w.skip()
	}
	more, err := w.enter(']')
	for more && err == nil {
		if err = each(); err == nil {
			more, err = w.next(']')
		}
	}
	return err
}

// take consumes a value and returns it as written.
func (w *jsonWalk) take() ([]byte, error) {
	w.token()
	start := w.pos
	err := w.skip()
	return w.buf[start:w.pos], err
}

// skip consumes a value. Of an object or array only strings and brackets are
// looked at, which takes a quarter of the time.
func (w *jsonWalk) skip() error {
	c, ok := w.token()
	switch {
	case !ok:
		return errNotJSON
	case c == '"':
		_, err := w.text()
		return err
	case c != '{' && c != '[':
		return w.bare(c)
	}
	depth := 0
	for w.pos < len(w.buf) {
		switch w.buf[w.pos] {
		case '"':
			if _, err := w.text(); err != nil {
				return err
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				w.pos++
				return nil
			}
		}
		w.pos++
	}
	return errNotJSON
}

// isNamed reports whether a name, as written, is want in any case.
func isNamed(name []byte, want string) bool {
	if len(name) > longestEscape*len(want) {
		return false
	}
	if bytes.IndexByte(name, '\\') < 0 {
		return bytes.EqualFold(name, []byte(want))
	}
	text, ok := jsonString(name, true)
	return ok && strings.EqualFold(text, want)
}

// jsonString returns the text of a string; bare says that the quotes are
// missing already. It reports false for any other value.
func jsonString(value []byte, bare bool) (string, bool) {
	if !bare {
		if len(value) < 2 || value[0] != '"' {
			return "", false
		}
		value = value[1 : len(value)-1]
	}
	if !utf8.Valid(value) {
		var text string
		err := json.Unmarshal(slices.Concat([]byte{'"'}, value, []byte{'"'}), &text)
		return text, err == nil
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value), true
	}
	return unescaped(value), true
}

// unescaped returns the text of a well-formed string without its escapes, as
// encoding/json does, in a third of the time.
func unescaped(value []byte) string {
	var b strings.Builder
	b.Grow(len(value))
	for len(value) > 0 {
		if value[0] != '\\' {
			n := bytes.IndexByte(value, '\\')
			if n < 0 {
				n = len(value)
			}
			b.Write(value[:n])
			value = value[n:]
			continue
		}
		if value[1] != 'u' {
			b.WriteByte(shortEscapes[value[1]])
			value = value[2:]
			continue
		}
		r, n := nameRune(value)
		value = value[n:]
		if utf16.IsSurrogate(r) && len(value) > 1 && value[0] == '\\' && value[1] == 'u' {
			low, n := nameRune(value)
			if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
				r, value = both, value[n:]
			}
		}
		b.WriteRune(r) // a half alone becomes U+FFFD
	}
	return b.String()
}
