// Package shellquote quotes text for command lines that people paste into a shell.
// Nobody knows which shell that is, so no shell may run a part of the text.
package shellquote

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Quote returns text as one word of sh, bash, zsh, ksh and fish.
func Quote(text string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '\'':
			b.WriteString(`'\''`)
		case c == '\\' && endsInFish(text[i+1:]):
			b.WriteString(`'\\'`)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

// endsInFish reports whether a backslash before rest is special between single quotes
// in fish: otherwise it is not, as in other shells.
func endsInFish(rest string) bool {
	return rest == "" || rest[0] == '\'' || rest[0] == '\\'
}

// QuoteHostile is [Quote] for text that an attacker may have written: terminals and
// line editors interpret control characters even between quotes. Text with such
// characters is written as $'…', which bash, zsh and ksh read. It contains no quote
// and no backslash except in octal escapes, so other shells refuse it or pass it on as
// it is, and never run it.
func QuoteHostile(text string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return Quote(text)
	}
	var b strings.Builder
	b.WriteString("$'")
	for _, c := range []byte(text) {
		if c < ' ' || c >= 0x7f || c == '\\' || c == '\'' {
			fmt.Fprintf(&b, `\%03o`, c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String() + "'"
}

// CurlFlags returns the flags that curl needs for a URL, each after a space: otherwise
// it expands braces and brackets, and sends a request for each result.
func CurlFlags(url string) string {
	if strings.ContainsAny(url, "{}[]") {
		return " -g"
	}
	return ""
}
