package provider

import (
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// arguments are what follows an option on its line. Words with a meaning of
// their own may stand in any order; the first mistake is kept.
type arguments struct {
	d      *caddyfile.Dispenser
	option string
	rest   []string
	err    error
}

func (a *arguments) fail(format string, args ...any) {
	if a.err == nil {
		a.err = a.d.Errf(a.option+": "+format, args...)
	}
}

// next takes the next argument, which must be there.
func (a *arguments) next(what string) string {
	if len(a.rest) == 0 {
		a.fail("it lacks %s", what)
		return ""
	}
	text := a.rest[0]
	a.rest = a.rest[1:]
	return text
}

// optional takes the next argument if there is one.
func (a *arguments) optional() string {
	if len(a.rest) == 0 {
		return ""
	}
	return a.next("")
}

// named takes a word and the value behind it, if the word is there.
func (a *arguments) named(word string) string {
	i := slices.Index(a.rest, word)
	if i < 0 {
		return ""
	}
	if i+1 == len(a.rest) {
		a.fail("a value must follow %s", word)
		return ""
	}
	value := a.rest[i+1]
	a.rest = slices.Delete(slices.Clone(a.rest), i, i+2)
	return value
}

func (a *arguments) namedInt(word string) int {
	text := a.named(word)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		a.fail("%s %s is not a number", word, text)
	}
	return n
}

// flag takes a word if it is there.
func (a *arguments) flag(word string) bool {
	i := slices.Index(a.rest, word)
	if i < 0 {
		return false
	}
	a.rest = slices.Delete(slices.Clone(a.rest), i, i+1)
	return true
}

// field takes a place and a name.
func (a *arguments) field() signature.Field {
	return signature.Field{
		From: a.next("a place: header, query, form, json or element"),
		Name: a.next("a name"),
	}
}

// done returns the first mistake; arguments that are left over are one.
func (a *arguments) done() error {
	if a.err == nil && len(a.rest) > 0 {
		a.fail("%q is one argument too many", a.rest[0])
	}
	return a.err
}
