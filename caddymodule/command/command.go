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
		Short: "Makes, checks and explains webhook deliveries",
		Long: `Tools to try, test and debug the endpoints of the verify_webhook handler:
list the providers, make and send genuine deliveries of any of them, run test
vectors, find out why a delivery was refused, look up what was handled, let it be
handled again, see the secrets that came with handshakes, look into the queues of
webhook_queue, and listen to a webhook_relay.`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.AddCommand(subcommands()...)
		},
	})
}

// subcommands are what follows `caddy verify-webhook`.
func subcommands() []*cobra.Command {
	return []*cobra.Command{
		providersCommand(),
		signCommand(),
		sendCommand(),
		explainCommand(),
		testCommand(),
		seenCommand(),
		forgetCommand(),
		listenCommand(),
		handshakesCommand(),
		queueCommand(),
	}
}
