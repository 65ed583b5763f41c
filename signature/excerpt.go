package signature

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxQuoted is how many characters of one text a reason quotes. Texts in requests
// can have any length.
const maxQuoted = 48

// Excerpt returns the beginning of text, at most that many characters, safe for a
// log or a terminal: unprintable characters, such as control characters and
// direction marks, are escaped.
func Excerpt(text string, most int) string {
	plain := len(text) <= most
	for i := 0; i < len(text) && plain; i++ {
		plain = ' ' <= text[i] && text[i] <= '~'
	}
	if plain {
		return text
	}
	var b strings.Builder
	for range most {
		if text == "" {
			return b.String()
		}
		r, size := utf8.DecodeRuneInString(text)
		switch quoted := strconv.Quote(text[:size]); {
		case unicode.IsPrint(r) && (r != utf8.RuneError || size > 1):
			b.WriteRune(r)
		default:
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[size:]
	}
	if text != "" {
		b.WriteString("…")
	}
	return b.String()
}

// quotableArg returns an argument of a reason that prints as an excerpt. Numbers and
// durations are returned unchanged.
func quotableArg(arg any) any {
	switch v := arg.(type) {
	case string:
		return quotable(v)
	case []byte:
		return quotable(v)
	case error:
		return quotable(v.Error())
	case fmt.Stringer:
		return quotable(v.String())
	}
	if v := reflect.ValueOf(arg); v.Kind() == reflect.String {
		return quotable(v.String())
	}
	return arg
}

// quotable is a text in a reason, of any length.
type quotable string

// Format implements fmt.Formatter.
func (q quotable) Format(f fmt.State, verb rune) {
	short := Excerpt(string(q), maxQuoted)
	if verb == 'q' {
		short = `"` + short + `"`
	}
	_, _ = io.WriteString(f, short)
}
