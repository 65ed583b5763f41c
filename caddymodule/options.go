package caddymodule

import (
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// options reads the options of one Caddyfile block. It keeps the first
// mistake.
type options struct {
	d    *caddyfile.Dispenser
	seen []string
	err  error
}

func (o *options) fail(format string, args ...any) {
	if o.err == nil {
		o.err = o.d.Errf(format, args...)
	}
}

// once refuses an option that comes a second time.
func (o *options) once() {
	name := o.d.Val()
	if slices.Contains(o.seen, name) {
		o.fail("%s stands there twice: keep one", name)
	}
	o.seen = append(o.seen, name)
}

// value reads the one value of an option.
func (o *options) value() (name, text string) {
	name = o.d.Val()
	o.once()
	args := o.d.RemainingArgs()
	if len(args) != 1 {
		o.fail("%s takes one value, here it has %d", name, len(args))
		return name, ""
	}
	if args[0] == "" {
		o.fail("%s is empty: write a value, or leave the option out; if it comes from {$NAME}, that variable is not set", name)
	}
	return name, args[0]
}

func (o *options) text(to *string) { _, *to = o.value() }

// flag reads an option that takes no value.
func (o *options) flag(to *bool) {
	name := o.d.Val()
	o.once()
	if args := o.d.RemainingArgs(); len(args) > 0 {
		o.fail("%s takes no value, but %q follows", name, args[0])
	}
	*to = true
}

func (o *options) duration(to *caddy.Duration) {
	name, text := o.value()
	if o.err != nil {
		return
	}
	d, err := caddy.ParseDuration(text)
	if err != nil || d <= 0 {
		o.fail("%s %s is not a duration: write, for example, %s 30s", name, text, name)
	}
	*to = caddy.Duration(d)
}

func (o *options) size(to *int64) {
	name, text := o.value()
	if o.err != nil {
		return
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > 1<<50 {
		o.fail("%s %s is not a size: write, for example, %s 1MiB", name, text, name)
	}
	*to = int64(n)
}

func (o *options) count(to *int64) {
	name, text := o.value()
	if o.err != nil {
		return
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		o.fail("%s %s is not a number: write, for example, %s 1000", name, text, name)
	}
	*to = n
}

func (o *options) status(to *int) {
	name, text := o.value()
	if o.err != nil {
		return
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 200 || n > 599 {
		o.fail("%s %s is not a status code: write, for example, %s 200", name, text, name)
	}
	*to = n
}

// statuses reads codes and classes: 2xx 410.
func (o *options) statuses(to *[]int) {
	name := o.d.Val()
	o.once()
	args := o.d.RemainingArgs()
	if len(args) == 0 {
		o.fail("%s needs status codes: write, for example, %s 2xx", name, name)
	}
	for _, arg := range args {
		if strings.Contains(arg, ",") {
			o.fail("%s %s: separate status codes with spaces: write, for example, %s 2xx 410", name, arg, name)
		}
		n, err := strconv.Atoi(strings.TrimSuffix(arg, "xx"))
		if err != nil || (strings.HasSuffix(arg, "xx") && (n < 1 || n > 5)) || (!strings.HasSuffix(arg, "xx") && (n < 200 || n > 599)) {
			o.fail("%s %s is not a status code: write, for example, %s 2xx 410", name, arg, name)
		}
		*to = append(*to, n)
	}
}

// misplaced says where an option belongs, if it is one of those known there.
func (o *options) misplaced(known []string, where string) {
	if name := o.d.Val(); slices.Contains(known, name) {
		o.fail("%s belongs into %s", name, where)
	}
}

// unknown says that an option is not one of the known ones, and which of them
// may be meant.
func (o *options) unknown(known ...string) {
	name := o.d.Val()
	if s := nearest(name, known); s != "" {
		o.fail("unknown option %s: did you mean %s?", name, s)
		return
	}
	o.fail("unknown option %s: write one of %s", name, strings.Join(known, ", "))
}

// nearest returns the word that differs least from what was written, if that
// is little enough to be a slip.
func nearest(written string, words []string) string {
	best, least := "", max(2, len(written)/3)+1
	for _, w := range words {
		if n := editDistance(written, w); n < least {
			best, least = w, n
		}
	}
	return best
}

// editDistance counts the letters to insert, delete or replace (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
