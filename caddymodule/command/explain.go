package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/capture"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/diagnose"
)

// errRefused sets the exit code for a refused delivery.
var errRefused = errors.New("the delivery is refused")

// explainFlags are the flags of `explain`.
type explainFlags struct {
	admin                        adminClient
	endpoint                     string
	secrets, others              []string
	options, publicURL, received string
	json                         bool
}

func explainCommand() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain <number> | <provider> [<file>]",
		Short: "Print why a delivery is refused and what to change first",
		Long: `With a number, as "watch" and the inspector's page show it, has the running
Caddy instance explain the delivery that it has captured, with the options and
secrets of its endpoint. --config, --endpoint, --secret, --other, --options and
--public-url replace or add to them.

Otherwise reads a recorded delivery and prints why its signature does not
verify, by trying what goes wrong with secrets, bodies, URLs, headers and
clocks. The record is raw HTTP, a HAR file or one of its entries, a curl line,
or what a provider's page shows of a delivery. Without a file, or with -, it is
read from standard input.

Options and secrets are those of --config or, without it, of the running Caddy
instance, as far as its placeholders can be resolved here. --secret, --options
and --public-url take precedence. Neither a secret nor a signature that would
be accepted is ever printed.

Exit codes: 0 accepted as it is, 1 refused or failed, 2 wrong usage.`,
		Example: `  caddy verify-webhook explain 17
  caddy verify-webhook explain github delivery.http \
    --secret env:GITHUB_WEBHOOK_SECRET
  caddy verify-webhook explain stripe trace.har --secret @secret \
    --other @old_secret
  caddy verify-webhook explain custom delivery.http --config Caddyfile
  pbpaste | caddy verify-webhook explain twilio --secret @token \
    --public-url https://example.com/sms`,
		Args: cobra.RangeArgs(1, 2),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.secrets, "secret", nil, secretHelp+"; may be repeated")
	flags.StringArrayVar(&f.others, "other", nil, "another secret to try; may be repeated")
	flags.StringVar(&f.options, "options", "", "the provider's options in JSON, as in Caddy's config")
	flags.StringVar(&f.publicURL, "public-url", "", "the configured public_url")
	flags.StringVar(&f.received, "received", "", "when the delivery arrived (RFC 3339); a HAR file contains it")
	flags.StringVar(&f.endpoint, "endpoint", "", "the endpoint of the config: its namespace or path")
	f.admin.add(cmd)
	flags.Lookup("config").Usage = "config file with the endpoint"
	addJSON(cmd, &f.json)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		if number, err := strconv.ParseUint(strings.TrimPrefix(args[0], "#"), 10, 64); err == nil {
			return f.explainCaptured(cmd, number, args[1:])
		}
		c, err := f.readCase(cmd, args)
		if err != nil {
			return err
		}
		report, err := diagnose.Explain(cmd.Context(), *c)
		if err != nil {
			return err
		}
		if f.json {
			return printReportJSON(cmd.OutOrStdout(), c.Provider, report)
		}
		return printReport(cmd.OutOrStdout(), report)
	}
	return onTerminal(cmd)
}

// readCase reads the delivery to explain.
func (f *explainFlags) readCase(cmd *cobra.Command, args []string) (*diagnose.Case, error) {
	c := &diagnose.Case{Provider: args[0], Options: json.RawMessage(f.options), PublicURL: f.publicURL, Now: time.Now()}
	if err := checkProvider(c.Provider); err != nil {
		return nil, err
	}
	var err error
	if c.Secrets, err = readSecrets(f.secrets, cmd.InOrStdin()); err != nil {
		return nil, err
	}
	if c.Others, err = readSecrets(f.others, cmd.InOrStdin()); err != nil {
		return nil, err
	}
	if f.received != "" {
		if c.Received, err = time.Parse(time.RFC3339, f.received); err != nil {
			return nil, usagef("--received %s is not a time: write, for example, 2024-05-01T10:00:00Z", f.received)
		}
	}
	if c.Request, err = readRecord(args[1:], cmd.InOrStdin()); err != nil {
		return nil, err
	}
	return c, f.addConfig(c)
}

// addConfig adds options and secrets of the config that were not given. If no
// config was named and everything else is known, no running Caddy instance is needed.
func (f *explainFlags) addConfig(c *diagnose.Case) error {
	named := f.admin.config != "" || f.admin.address != "" || f.endpoint != ""
	if len(c.Secrets) > 0 && !named && (f.options != "" || !hasOptions(c.Provider)) {
		return nil
	}
	endpoint, err := f.findEndpoint(c)
	needed := named || c.Provider == "custom" && f.options == "" || len(c.Secrets) == 0 && f.options == "" && needsSecret(c.Provider)
	switch {
	case err != nil && f.admin.config != "":
		return err
	case err != nil && needed:
		return fmt.Errorf("%w: give --secret%s, or --config with the file that contains the endpoint", err, map[bool]string{true: " and --options"}[c.Provider == "custom"])
	case err != nil:
		return nil
	}
	if f.options == "" {
		c.Options = endpoint.Options
	}
	if len(c.Secrets) > 0 {
		c.Labels = endpoint.labels(len(c.Secrets))
		return nil
	}
	c.Secrets, c.Labels, err = endpoint.resolved()
	return err
}

// labels returns the labels of the configured secrets, if their number matches.
func (e *configuredEndpoint) labels(n int) []string {
	if len(e.Secrets) != n {
		return nil
	}
	var labels []string
	for _, s := range e.Secrets {
		labels = append(labels, s.Label)
	}
	return labels
}

func (f *explainFlags) findEndpoint(c *diagnose.Case) (*configuredEndpoint, error) {
	config, err := f.admin.loadConfig()
	if err != nil {
		return nil, err
	}
	all, err := endpointsIn(config)
	if err != nil {
		return nil, err
	}
	path, _, _ := strings.Cut(c.Request.RequestURI, "?")
	return chooseEndpoint(all, c.Provider, f.endpoint, path)
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

// printReportJSON prints the report as one JSON object.
func printReportJSON(out io.Writer, name string, r *diagnose.Report) error {
	err := printJSON(out, struct {
		Provider string `json:"provider"`
		Accepted bool   `json:"accepted"`
		Answer   string `json:"answer"`
		*diagnose.Report
	}{name, r.Accepted(), r.Answer(), r})
	if err == nil && !r.Accepted() {
		return errRefused
	}
	return err
}

// printReport prints the answer in one line, then the first thing to change, then
// the rest.
func printReport(out io.Writer, r *diagnose.Report) error {
	fmt.Fprintln(out, r.Answer())
	for i, f := range r.Findings {
		if i == 0 {
			fmt.Fprintf(out, "change first: %s\n", f.Change)
			continue
		}
		cause := "cause:       "
		if f.Guess {
			cause = "perhaps:     "
		}
		fmt.Fprintf(out, "\n%s %s\nthen change:  %s\n", cause, f.Cause, f.Change)
	}
	if len(r.Findings) > 0 && r.Reason != "" {
		fmt.Fprintf(out, "\nthe handler:  %s\n", r.Reason)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(out, "note:         %s\n", note)
	}
	if r.Accepted() {
		return nil
	}
	return errRefused
}
