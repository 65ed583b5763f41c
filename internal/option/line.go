package option

import (
	"slices"
	"strconv"
)

// Line contains the arguments of an option with several arguments. Keywords can be
// in any order. Errors go to the Reader.
type Line struct {
	r      *Reader
	option string
	rest   []string
}

// Line reads the arguments of an option.
func (r *Reader) Line() *Line {
	return &Line{r: r, option: r.name, rest: r.d.RemainingArgs()}
}

// Next returns the next argument, which is required. what names it in the error.
func (l *Line) Next(what string) string {
	if len(l.rest) == 0 {
		l.r.Fail("%s: missing %s", l.option, what)
		return ""
	}
	text := l.rest[0]
	l.rest = l.rest[1:]
	return text
}

// Optional returns the next argument, if there is one.
func (l *Line) Optional() string {
	if len(l.rest) == 0 {
		return ""
	}
	return l.Next("")
}

// Named returns the value after a keyword, if the keyword is present.
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

// NamedNumber is Named for an integer of at least 0.
func (l *Line) NamedNumber(word string) int {
	text := l.Named(word)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		l.r.Fail("%s: invalid %s: %s is not a number", l.option, word, Shown(text))
	}
	return n
}

// Flag reports whether a keyword is present.
func (l *Line) Flag(word string) bool {
	i := slices.Index(l.rest, word)
	if i < 0 {
		return false
	}
	l.rest = slices.Delete(slices.Clone(l.rest), i, i+1)
	return true
}

// Done rejects remaining arguments.
func (l *Line) Done() {
	if len(l.rest) > 0 {
		l.r.Fail("%s: too many arguments: did not expect %s", l.option, Shown(l.rest[0]))
	}
}
