// Package command adds `caddy verify-webhook` to Caddy's command line: tools
// to try, test and debug webhook endpoints.
package command

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "verify-webhook",
		Short: "Tools for webhook endpoints",
		Long: `Tools to try, test and debug the endpoints of the verify_webhook handler:
make and send genuine deliveries of any provider, and find out why one was
refused.`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.AddCommand(signCommand(), sendCommand(), explainCommand())
		},
	})
}
