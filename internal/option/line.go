package option

import (
	"slices"
	"strconv"
)

// Line is what follows an option on its line, for options with several
// arguments. Words with a meaning of their own may come in any order. Errors go
// to the Reader.
type Line struct {
	r      *Reader
	option string
	rest   []string
}

// Line reads the arguments of an option.
func (r *Reader) Line() *Line {
	return &Line{r: r, option: r.name, rest: r.d.RemainingArgs()}
}

// Next takes the next argument, which must be there. what is what is missing
// otherwise.
func (l *Line) Next(what string) string {
	if len(l.rest) == 0 {
		l.r.Fail("%s: missing %s", l.option, what)
		return ""
	}
	text := l.rest[0]
	l.rest = l.rest[1:]
	return text
}

// Optional takes the next argument if there is one.
func (l *Line) Optional() string {
	if len(l.rest) == 0 {
		return ""
	}
	return l.Next("")
}

// Named takes a word and the value after it, if the word is there.
func (l *Line) Named(word string) string {
	i := slices.Index(l.rest, word)
	if i < 0 {
		return ""
	}
	if i+1 == len(l.rest) {
		l.r.Fail("%s: missing value: expected one after %s", l.option, word)
		return ""
	}
	value := l.rest[i+1]
	l.rest = slices.Delete(slices.Clone(l.rest), i, i+2)
	return value
}

// NamedNumber is Named for a whole number from 0.
func (l *Line) NamedNumber(word string) int {
	text := l.Named(word)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		l.r.Fail("%s: invalid %s: %s is not a number", l.option, word, text)
	}
	return n
}

// Flag takes a word if it is there, and reports whether it was.
func (l *Line) Flag(word string) bool {
	i := slices.Index(l.rest, word)
	if i < 0 {
		return false
	}
	l.rest = slices.Delete(slices.Clone(l.rest), i, i+1)
	return true
}

// Done rejects arguments that are left over.
func (l *Line) Done() {
	if len(l.rest) > 0 {
		l.r.Fail("%s: too many arguments: did not expect %s", l.option, l.rest[0])
	}
}
