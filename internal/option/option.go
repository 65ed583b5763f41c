// Package option reads the options of Caddyfile blocks. Handlers, stores and
// providers share it, so that the same mistake always has the same message.
package option

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// Reader reads the options of one block. It keeps the first error; after it,
// its methods leave their targets in any state.
type Reader struct {
	d    *caddyfile.Dispenser
	name string // of the current option
	seen []string
	err  error
}

// Block calls read for every option of the block, and returns the first error. A
// missing block counts as empty.
func Block(d *caddyfile.Dispenser, read func(*Reader)) error {
	r := &Reader{d: d}
	for nesting := d.Nesting(); r.err == nil && d.NextBlock(nesting); {
		r.name = d.Val()
		read(r)
	}
	return r.err
}

// Argument returns the single argument on the line of d, empty if there is none.
// what names it in errors.
func Argument(d *caddyfile.Dispenser, what string) (string, error) {
	args := d.RemainingArgs()
	switch {
	case len(args) == 0:
		return "", nil
	case len(args) > 1:
		return "", d.Errf("too many arguments: expected at most one %s; options go in a block", what)
	case args[0] == "":
		return "", d.Errf("empty %s: write one or leave it out; if it comes from {$NAME}, that variable is not set", what)
	default:
		return args[0], nil
	}
}

// Name returns the name of the current option.
func (r *Reader) Name() string { return r.name }

// Failed reports whether there is an error.
func (r *Reader) Failed() bool { return r.err != nil }

// Fail records an error at the current line, if it is the first.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = r.d.Errf(format, args...)
	}
}

// Keep records an error that contains its line, if it is the first.
func (r *Reader) Keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Once rejects an option that was read before.
func (r *Reader) Once() {
	name := r.name
	if slices.Contains(r.seen, name) {
		r.Fail("duplicate option: %s", name)
	}
	r.seen = append(r.seen, name)
}

// Arguments reads the values of an option, at least one.
// example is what to write after the option's name.
func (r *Reader) Arguments(example string) []string {
	name := r.name
	args := r.d.RemainingArgs()
	if len(args) == 0 {
		r.Fail("missing value: write, for example, %s %s", name, example)
	}
	return args
}

// value reads the single value of an option.
func (r *Reader) value() (name, text string) {
	name = r.name
	r.Once()
	args := r.d.RemainingArgs()
	switch {
	case len(args) == 0:
		r.Fail("missing value: expected one after %s", name)
	case len(args) > 1:
		r.Fail("too many arguments: expected one value after %s", name)
	case args[0] == "":
		r.Fail("empty value: write one after %s, or remove the option; if it comes from {$NAME}, that variable is not set", name)
	default:
		text = args[0]
	}
	return name, text
}

// invalid records a value of the wrong kind.
func (r *Reader) invalid(name, text, kind, example string) {
	r.Fail("invalid %s: %s is not a %s; write, for example, %[1]s %[4]s", name, Shown(text), kind, example)
}

// Text reads an option with one value.
func (r *Reader) Text(to *string) { _, *to = r.value() }

// Word reads an option with a fixed set of values.
func (r *Reader) Word(to *string, allowed ...string) {
	name, text := r.value()
	if r.err == nil && !slices.Contains(allowed, text) {
		r.Keep(r.d.WrapErr(Unrecognized(name, text, allowed...)))
	}
	*to = text
}

// Unrecognized is the error of a value outside a fixed set.
func Unrecognized(name, text string, allowed ...string) error {
	return fmt.Errorf("unrecognized %s: %s; write %s", name, Shown(text), strings.Join(allowed, " or "))
}

// Flag reads an option without a value.
func (r *Reader) Flag(to *bool) {
	name := r.name
	r.Once()
	if len(r.d.RemainingArgs()) > 0 {
		r.Fail("too many arguments: expected no value after %s", name)
	}
	*to = true
}

// Duration reads a duration longer than zero.
func (r *Reader) Duration(to *caddy.Duration) {
	name, text := r.value()
	if r.err != nil {
		return
	}
	d, err := caddy.ParseDuration(text)
	if err != nil || d <= 0 {
		r.invalid(name, text, "duration", "30s")
	}
	*to = caddy.Duration(d)
}

// Durations reads at least one duration longer than zero. example is what to write
// after the option's name.
func (r *Reader) Durations(to *[]caddy.Duration, example string) {
	name := r.name
	r.Once()
	for _, arg := range r.Arguments(example) {
		d, err := caddy.ParseDuration(arg)
		if err != nil || d <= 0 {
			r.invalid(name, arg, "duration", example)
		}
		*to = append(*to, caddy.Duration(d))
	}
}

// Size reads a number of bytes.
func (r *Reader) Size(to *int64) {
	name, text := r.value()
	if r.err != nil {
		return
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > 1<<50 {
		r.invalid(name, text, "size", "1MiB")
	}
	*to = int64(n)
}

// Count reads a whole number greater than zero.
func (r *Reader) Count(to *int64) {
	name, text := r.value()
	if r.err != nil {
		return
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		r.invalid(name, text, "number", "1000")
	}
	*to = n
}

// Status reads a final HTTP status code.
func (r *Reader) Status(to *int) {
	name, text := r.value()
	if r.err != nil {
		return
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 200 || n > 599 {
		r.invalid(name, text, "status code", "200")
	}
	*to = n
}

// Statuses reads status codes and their classes: 2xx 410.
func (r *Reader) Statuses(to *[]int) {
	name := r.name
	r.Once()
	for _, arg := range r.Arguments("2xx") {
		if strings.Contains(arg, ",") {
			r.Fail("invalid %s: separate status codes with spaces; write, for example, %[1]s 2xx 410", name)
		}
		n, err := strconv.Atoi(strings.TrimSuffix(arg, "xx"))
		class := strings.HasSuffix(arg, "xx")
		if err != nil || (class && (n < 1 || n > 5)) || (!class && (n < 200 || n > 599)) {
			r.invalid(name, arg, "status code", "2xx 410")
		}
		*to = append(*to, n)
	}
}

// Misplaced rejects an option that belongs to another block, if it is one of known.
func (r *Reader) Misplaced(known []string, where string) {
	if slices.Contains(known, r.name) {
		r.Fail("%s must be inside %s", r.name, where)
	}
}

// Unknown rejects an option that is not one of known.
func (r *Reader) Unknown(known ...string) {
	name := r.name
	if s := Nearest(name, known); s != "" {
		r.Fail("unrecognized option: %s; did you mean %s?", Shown(name), s)
		return
	}
	r.Fail("unrecognized option: %s; write one of %s", Shown(name), strings.Join(known, ", "))
}

// Nearest returns the most similar word, if the difference is small enough for a
// typing error; otherwise "".
func Nearest(written string, words []string) string {
	best, least := "", max(2, len(written)/3)+1
	for _, w := range words {
		if n := editDistance(written, w); n < least {
			best, least = w, n
		}
	}
	return best
}

// editDistance returns the Levenshtein distance.
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

// NotNegative rejects a negative number, which only JSON can contain.
func NotNegative(name string, value, example int64) error {
	if value < 0 {
		return fmt.Errorf(`%s %d is negative: write, for example, "%[1]s": %[3]d`, name, value, example)
	}
	return nil
}

// AtLeast rejects a duration that is too short to be intended: in JSON, a number is
// in nanoseconds.
func AtLeast(name string, value caddy.Duration, least time.Duration, example string) error {
	if d := time.Duration(value); d < least {
		return fmt.Errorf(`%s %s is shorter than %s: write, for example, %s %s; in JSON a number is nanoseconds: write "%[1]s": "%[5]s"`, name, d, least, name, example)
	}
	return nil
}
