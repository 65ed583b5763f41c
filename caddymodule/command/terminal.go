package command

import (
	"io"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// onTerminal makes a command escape all control characters except line breaks and
// tabs, in its output and its errors. They can come from records, files and
// servers that contain an attacker's data.
func onTerminal(cmd *cobra.Command) *cobra.Command {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SetOut(terminal{cmd.OutOrStdout()})
		cmd.SetErr(terminal{cmd.ErrOrStderr()})
		if err := run(cmd, args); err != nil {
			return printableError{err}
		}
		return nil
	}
	return cmd
}

// terminal escapes the text that is written to it.
type terminal struct{ out io.Writer }

// Write implements io.Writer.
func (t terminal) Write(p []byte) (int, error) {
	if _, err := io.WriteString(t.out, printable(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// printable escapes all that is not printable, except line breaks and tabs.
func printable(text string) string {
	var b strings.Builder
	for text != "" {
		end := strings.IndexAny(text, "\n\t")
		if end < 0 {
			end = len(text)
		}
		b.WriteString(signature.Excerpt(text[:end], math.MaxInt))
		if end < len(text) {
			b.WriteByte(text[end])
			end++
		}
		text = text[end:]
	}
	return b.String()
}

// printableError is an error whose text is fit for a terminal.
type printableError struct{ error }

// Error implements error.
func (e printableError) Error() string { return printable(e.error.Error()) }

// Unwrap returns the error as it was.
func (e printableError) Unwrap() error { return e.error }
