package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/capture"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/diagnose"
)

// errRefused makes the exit code tell that the delivery is refused.
var errRefused = errors.New("the delivery is refused")

func explainCommand() *cobra.Command {
	var secrets, others []string
	var options, publicURL, received string
	cmd := &cobra.Command{
		Use:   "explain <provider> [<file>]",
		Short: "Says why a recorded delivery is refused, and what to change first",
		Long: `Takes a delivery that somebody has recorded, as raw HTTP, as a HAR file or one
of its entries, or as a curl line, and says why its signature does not verify: by
trying what people get wrong with secrets, bodies, URLs, headers and clocks.

Without a file, or with -, it reads standard input. Neither a secret nor a
signature that would be accepted is ever printed. The exit code is 0 if the
delivery is accepted as it is.`,
		Example: `  caddy verify-webhook explain github delivery.http --secret env:GITHUB_WEBHOOK_SECRET
  caddy verify-webhook explain stripe trace.har --secret @secret --other @old_secret
  pbpaste | caddy verify-webhook explain twilio --secret @token --public-url https://example.com/sms`,
		Args: cobra.RangeArgs(1, 2),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&secrets, "secret", nil, secretHelp+"; several are several configured secrets")
	flags.StringArrayVar(&others, "other", nil, "another secret that could be meant, in the same forms")
	flags.StringVar(&options, "options", "", "the provider's options in JSON, as in Caddy's config")
	flags.StringVar(&publicURL, "public-url", "", "the public_url that is configured")
	flags.StringVar(&received, "received", "", "when the delivery came (RFC 3339); a HAR file knows")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		c := diagnose.Case{Provider: args[0], Options: json.RawMessage(options), PublicURL: publicURL, Now: time.Now()}
		var err error
		if c.Secrets, err = readSecrets(secrets, cmd.InOrStdin()); err != nil {
			return err
		}
		if c.Others, err = readSecrets(others, cmd.InOrStdin()); err != nil {
			return err
		}
		if received != "" {
			if c.Received, err = time.Parse(time.RFC3339, received); err != nil {
				return fmt.Errorf("--received %s is not a time: write, for example, 2024-05-01T10:00:00Z", received)
			}
		}
		if c.Request, err = readRecord(args[1:], cmd.InOrStdin()); err != nil {
			return err
		}
		report, err := diagnose.Explain(cmd.Context(), c)
		if err != nil {
			return err
		}
		return printReport(cmd.OutOrStdout(), report)
	}
	return onTerminal(cmd)
}

func readSecrets(flags []string, stdin io.Reader) ([]string, error) {
	var all []string
	for _, flag := range flags {
		secret, err := readSecret(flag, stdin)
		if err != nil {
			return nil, err
		}
		all = append(all, secret)
	}
	return all, nil
}

func readRecord(args []string, stdin io.Reader) (*capture.Request, error) {
	var raw []byte
	var err error
	if len(args) == 0 || args[0] == "-" {
		raw, err = io.ReadAll(stdin)
	} else {
		raw, err = os.ReadFile(args[0])
	}
	if err != nil {
		return nil, fmt.Errorf("reading the record: %w", err)
	}
	return capture.Parse(raw)
}

// printReport prints what was found, the first thing to change first.
func printReport(out io.Writer, r *diagnose.Report) error {
	for _, note := range r.Notes {
		fmt.Fprintf(out, "note: %s\n", note)
	}
	if r.Outcome == caddymodule.Verified || r.Outcome == caddymodule.Handshake {
		fmt.Fprintf(out, "%s: the delivery is accepted as it is\n", r.Outcome)
		return nil
	}
	fmt.Fprintf(out, "%s: %s\n", r.Outcome, r.Reason)
	for i, f := range r.Findings {
		cause, change := "cause:       ", "change first:"
		if f.Guess {
			cause = "perhaps:     "
		}
		if i > 0 {
			change = "then:        "
		}
		fmt.Fprintf(out, "\n%s %s\n%s %s\n", cause, f.Cause, change, f.Change)
	}
	return errRefused
}
