package command

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
)

// testCommand is `caddy verify-webhook test FILE...`.
func testCommand() *cobra.Command {
	var asJSON bool
	cmd := onTerminal(&cobra.Command{
		Use:   "test <file>...",
		Short: "Run conformance vectors through the handler",
		Long: `Runs files of conformance vectors through the real handler, at the time that
each of them gives, and prints a table: how many were accepted and refused as
expected, and how many were not. The command fails if any was not.

A file is a JSON array. Each entry has:

	provider     the provider as in Caddy's JSON config, such as
	             {"name": "github", "secrets": [{"secret": "…"}]}
	request      method, url, headers (lists of values), body_b64
	now          the time, in Unix seconds
	expect       "accept" or "reject"
	answer       for handshakes: status, headers, body
	sent_before  true: the request is the second of two copies`,
		Args:          cobra.MinimumNArgs(1),
		SilenceUsage:  true,
		SilenceErrors: false,
		Example: `  caddy verify-webhook test vectors.json
  caddy verify-webhook test --json github.json stripe.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return testFiles(cmd.OutOrStdout(), cmd.ErrOrStderr(), args, asJSON)
		},
	})
	addJSON(cmd, &asJSON)
	return cmd
}

// tally counts the vectors of one provider.
type tally struct{ accepted, refused, wrong int }

func runTest(w io.Writer, files []string) error { return testFiles(w, io.Discard, files, false) }

// testFiles runs the vectors of files, with a bar on a terminal.
func testFiles(w, bar io.Writer, files []string, asJSON bool) error {
	tallies := make(map[string]*tally)
	var wrong []string
	progress := newProgress(bar, len(files))
	for _, file := range files {
		vectors, err := conformance.ReadFile(file)
		if err != nil {
			return err
		}
		for _, v := range vectors {
			name := v.ProviderName()
			t := tallies[name]
			if t == nil {
				t = &tally{}
				tallies[name] = t
			}
			if text := t.add(v); text != "" {
				wrong = append(wrong, fmt.Sprintf("%s %s: %s", name, v.Name, text))
			}
		}
		progress.step()
	}
	progress.clear()
	if err := printTest(w, tallies, wrong, asJSON); err != nil {
		return err
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d vectors did not end as expected", len(wrong))
	}
	if len(tallies) == 0 {
		return errors.New("there are no vectors in the files")
	}
	return nil
}

// printTest prints what was counted, and what did not end as expected.
func printTest(w io.Writer, tallies map[string]*tally, wrong []string, asJSON bool) error {
	if asJSON {
		counts := make(map[string]map[string]int)
		for name, t := range tallies {
			counts[name] = map[string]int{"accepted": t.accepted, "refused": t.refused, "wrong": t.wrong}
		}
		return printJSON(w, map[string]any{"providers": counts, "wrong": slices.Concat([]string{}, wrong)})
	}
	if err := printTallies(w, tallies); err != nil {
		return err
	}
	for _, text := range wrong {
		fmt.Fprintln(w, text)
	}
	return nil
}

// add runs a vector, counts it, and says what is wrong with the result.
func (t *tally) add(v conformance.Vector) string {
	result, err := conformance.Run(v)
	switch {
	case err != nil:
		t.wrong++
		return err.Error()
	case result.Wrong != "":
		t.wrong++
		return result.Wrong
	case result.Accepted:
		t.accepted++
	default:
		t.refused++
	}
	return ""
}

func printTallies(w io.Writer, tallies map[string]*tally) error {
	var sum tally
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "provider\taccepted\trefused\twrong\t")
	for _, name := range slices.Sorted(maps.Keys(tallies)) {
		t := tallies[name]
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t\n", name, t.accepted, t.refused, t.wrong)
		sum.accepted, sum.refused, sum.wrong = sum.accepted+t.accepted, sum.refused+t.refused, sum.wrong+t.wrong
	}
	fmt.Fprintf(table, "total\t%d\t%d\t%d\t\n", sum.accepted, sum.refused, sum.wrong)
	return table.Flush()
}
