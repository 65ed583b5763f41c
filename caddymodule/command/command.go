// Package command is `caddy verify-webhook …`: what users, providers and
// contributors need at the command line. One file per subcommand.
package command

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "verify-webhook",
		Usage: "<command>",
		Short: "Checks and explains webhook signatures",
		Long:  "Checks and explains how webhooks are signed, as the verify_webhook handler sees them.",
		CobraFunc: func(cmd *cobra.Command) {
			cmd.AddCommand(subcommands()...)
		},
	})
}

// subcommands are what follows `caddy verify-webhook`.
func subcommands() []*cobra.Command {
	return []*cobra.Command{
		providersCommand(),
		testCommand(),
	}
}
