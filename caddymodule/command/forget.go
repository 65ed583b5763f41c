package command

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
)

func forgetCommand() *cobra.Command {
	var a adminClient
	cmd := &cobra.Command{
		Use:   "forget <provider> <id>",
		Short: "Let a handled delivery in again, once",
		Long: `Lets a delivery that was handled before in again, once, for a manual redelivery:
run this command, then make the provider send the delivery again.

If the signature does not cover the delivery ID, as for GitHub, the delivery
must arrive within one hour: the command grants a one-time redelivery pass for
the ID. It fails if no endpoint remembers the ID as handled.`,
		Example: `  caddy verify-webhook forget github \
    72d3162e-cc78-11e3-81ab-4c9367dc0958`,
		Args: cobra.ExactArgs(2),
	}
	a.add(cmd)
	addJSON(cmd, &a.json)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		found, err := a.request(http.MethodPost, caddymodule.AdminForgetPath, map[string]string{"provider": args[0], "id": args[1]})
		if err != nil {
			return err
		}
		if err := a.print(cmd.OutOrStdout(), found); err != nil {
			return err
		}
		if !slices.ContainsFunc(found, func(s caddymodule.DeliveryStatus) bool { return s.Forgotten }) {
			return fmt.Errorf("no endpoint of %s remembers %s as handled", args[0], args[1])
		}
		return nil
	}
	return onTerminal(cmd)
}
