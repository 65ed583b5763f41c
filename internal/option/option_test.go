package option

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// read reads every kind of option.
func read(text string) error {
	d := caddyfile.NewTestDispenser(text)
	d.Next()
	if _, err := Argument(d, "path"); err != nil {
		return err
	}
	return Block(d, func(r *Reader) {
		var text string
		var number int64
		switch r.Name() {
		case "text":
			r.Text(&text)
		case "word":
			r.Word(&text, "yes", "no")
		case "flag":
			r.Flag(new(bool))
		case "duration":
			r.Duration(new(caddy.Duration))
		case "size":
			r.Size(&number)
		case "count":
			r.Count(&number)
		case "status":
			r.Status(new(int))
		case "statuses":
			r.Statuses(new([]int))
		case "list":
			r.Arguments("one two")
		case "line":
			l := r.Line()
			l.Next("a name")
			l.Named("prefix")
			l.NamedNumber("position")
			l.Flag("optional")
			l.Done()
		default:
			r.Misplaced([]string{"inner"}, "the inner block")
			r.Unknown("text", "word", "flag")
		}
	})
}

func TestInvalidOptionsHaveClearMessages(t *testing.T) {
	for option, want := range map[string]string{
		"text":                  "missing value: expected one after text",
		"text a b":              "too many arguments: expected one value after text",
		`text ""`:               "empty value: write one after text, or remove the option; if it comes from {$NAME}, that variable is not set",
		"text a\ntext b":        "duplicate option: text",
		"flag\nsize 1MiB\nflag": "duplicate option: flag",
		"flag yes":              "too many arguments: expected no value after flag",
		"word maybe":            "unrecognized word: maybe; write yes or no",
		"duration soon":         "invalid duration: soon is not a duration; write, for example, duration 30s",
		"duration -1s":          "invalid duration: -1s is not a duration; write, for example, duration 30s",
		"size big":              "invalid size: big is not a size; write, for example, size 1MiB",
		"size 0":                "invalid size: 0 is not a size; write, for example, size 1MiB",
		"count 1.5":             "invalid count: 1.5 is not a number; write, for example, count 1000",
		"status 100":            "invalid status: 100 is not a status code; write, for example, status 200",
		"statuses":              "missing value: write, for example, statuses 2xx",
		"statuses 2xx,410":      "invalid statuses: separate status codes with spaces; write, for example, statuses 2xx 410",
		"statuses 2xx 6xx":      "invalid statuses: 6xx is not a status code; write, for example, statuses 2xx 410",
		"list":                  "missing value: write, for example, list one two",
		"line":                  "line: missing a name",
		"line a prefix":         "line: missing value: expected one after prefix",
		"line a position first": "line: invalid position: first is not a number",
		"line a b":              "line: too many arguments: did not expect b",
		"inner":                 "inner must be inside the inner block",
		"txet":                  "unrecognized option: txet; did you mean text?",
		"colour":                "unrecognized option: colour; write one of text, word, flag",
	} {
		t.Run(option, func(t *testing.T) {
			err := read("name {\n" + option + "\n}")
			if err == nil {
				t.Fatal("got no error")
			}
			got, _, _ := strings.Cut(err.Error(), ", at Testfile:")
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestValidOptionsAreAccepted(t *testing.T) {
	for _, text := range []string{
		"name", "name path", "name {\n}",
		"name path {\ntext a\nword yes\nflag\nduration 1d\nsize 1MiB\ncount 5\nstatus 299\nstatuses 2xx 410\nlist a b\nlist c\nline a optional position 2 prefix p\n}",
	} {
		if err := read(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestArgumentOnTheFirstLine(t *testing.T) {
	for text, want := range map[string]string{
		"name a b": "too many arguments: expected at most one path; options go in a block",
		`name ""`:  "empty path: write one or leave it out; if it comes from {$NAME}, that variable is not set",
	} {
		err := read(text)
		if err == nil {
			t.Errorf("%s is accepted", text)
		} else if got, _, _ := strings.Cut(err.Error(), ", at Testfile:"); got != want {
			t.Errorf("%s: got %s", text, got)
		}
	}
}
