package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"

	"github.com/spf13/cobra"
)

// addJSON adds the flag that every subcommand has.
func addJSON(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVar(to, "json", false, "print JSON")
}

// printJSON prints a value as one line of JSON. Characters that a terminal interprets
// or hides are escaped as JSON escapes them.
func printJSON(w io.Writer, value any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	line := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if bytes.ContainsFunc(line, unprintable) {
		line = escapeJSON(line)
	}
	_, err := w.Write(append(line, '\n'))
	return err
}

func unprintable(c rune) bool { return !unicode.IsPrint(c) }

// escapeJSON replaces unprintable characters. In JSON, they are only in strings.
func escapeJSON(line []byte) []byte {
	var b bytes.Buffer
	for _, c := range string(line) {
		switch {
		case !unprintable(c):
			b.WriteRune(c)
		case c > 0xffff:
			first, second := utf16.EncodeRune(c)
			fmt.Fprintf(&b, `\u%04x\u%04x`, first, second)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.Bytes()
}
