package command

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
)

func seenCommand() *cobra.Command {
	var a adminClient
	cmd := &cobra.Command{
		Use:   "seen <provider> <id>",
		Short: "Print whether a delivery was handled",
		Long: `Prints what the running Caddy instance remembers of a delivery ID, at every
endpoint of a provider or at the endpoint of that name (its namespace or path),
and under each secret: handled, claimed (being handled now) or free.`,
		Example: `  caddy verify-webhook seen github \
    72d3162e-cc78-11e3-81ab-4c9367dc0958`,
		Args: cobra.ExactArgs(2),
	}
	a.add(cmd)
	addJSON(cmd, &a.json)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		query := url.Values{"provider": {args[0]}, "id": {args[1]}}
		found, err := a.request(http.MethodGet, caddymodule.AdminSeenPath+"?"+query.Encode(), nil)
		if err != nil {
			return err
		}
		return a.print(cmd.OutOrStdout(), found)
	}
	return onTerminal(cmd)
}
