// Package command is `caddy verify-webhook …`: what users, providers and
// contributors need at the command line. One file per subcommand.
package command

import (
	"errors"
	"slices"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:      "verify-webhook",
		Usage:     "<command>",
		Short:     "Make, check and explain webhook deliveries",
		CobraFunc: addSubcommands,
	})
}

// addSubcommands makes cmd the parent of all subcommands.
func addSubcommands(cmd *cobra.Command) {
	cmd.Long = `Tools to try, test and debug the endpoints of the verify_webhook handler:
list the providers, make and send genuine deliveries of any of them, run test
vectors, print why a delivery was refused, look up what was handled, and let it
be handled again. Every subcommand has --json, for scripts.

Exit codes: 0 success; 1 refused, not as it should be, or failed; 2 wrong usage.`
	cmd.Example = `  caddy verify-webhook providers pay
  caddy verify-webhook send github --secret env:GITHUB_WEBHOOK_SECRET
  caddy verify-webhook explain github delivery.http \
    --secret env:GITHUB_WEBHOOK_SECRET`
	for _, sub := range subcommands() {
		cmd.AddCommand(withExitCodes(within80Columns(sub)))
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return unknownSubcommand(cmd, args[0])
	}
	withExitCodes(within80Columns(cmd))
}

// unknownSubcommand suggests what may be meant.
func unknownSubcommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	return usagef("unrecognized command: %s%s", name, didYouMean(name, names))
}

// subcommands are what follows `caddy verify-webhook`.
func subcommands() []*cobra.Command {
	return []*cobra.Command{
		providersCommand(),
		signCommand(),
		sendCommand(),
		watchCommand(),
		explainCommand(),
		testCommand(),
		seenCommand(),
		forgetCommand(),
		listenCommand(),
		handshakesCommand(),
		queueCommand(),
		healthCommand(),
	}
}

// within80Columns wraps the help on flags, and shortens what is longer.
func within80Columns(cmd *cobra.Command) *cobra.Command {
	cmd.SetUsageTemplate(strings.NewReplacer(
		"FlagUsages |", "FlagUsagesWrapped 80 |",
		`Use "{{.CommandPath}} [command] --help" for more information about a command.`, `Run "{{.CommandPath}} <command> --help" for more.`,
	).Replace(cmd.UsageTemplate()))
	return cmd
}

// withFlagName adds to an error of an unknown flag which one may be meant.
func withFlagName(cmd *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	slices.Sort(names)
	if near := option.Nearest(unknown.GetSpecifiedName(), names); near != "" {
		return usagef("%s; did you mean --%s?", err, near)
	}
	return err
}
