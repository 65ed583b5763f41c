package command

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
)

func handshakesCommand() *cobra.Command {
	var a adminClient
	var accept string
	var forget, asJSON bool
	cmd := &cobra.Command{
		Use:   "handshakes [<provider>]",
		Short: "Print the secrets that providers sent with handshakes",
		Long: `Some providers send the secret of a webhook to its URL when the webhook is
created: Notion, Asana, Gusto. While handshakes are accepted, the running Caddy
instance keeps these secrets in memory for one hour, and never uses them. This
command prints each secret with its time, the address of its sender and the
requested URL.

Anyone can send a secret meanwhile. Use the one whose time and sender match your
setup, write it into the config, and remove accept_handshake. If several match,
use --forget and make the provider send its secret again.

With --accept, the endpoints of the provider accept handshakes for that time, up
to 1h, without a config change.`,
		Example: `  caddy verify-webhook handshakes
  caddy verify-webhook handshakes asana --accept 10m
  caddy verify-webhook handshakes --forget`,
		Args: cobra.MaximumNArgs(1),
	}
	a.add(cmd)
	cmd.Flags().StringVar(&accept, "accept", "", "accept handshakes of the provider for this long, for example 10m")
	cmd.Flags().BoolVar(&forget, "forget", false, "remove the received secrets")
	addJSON(cmd, &asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		provider := strings.Join(args, "")
		switch {
		case accept != "" && forget:
			return errors.New("--accept and --forget cannot be combined")
		case accept != "":
			return acceptHandshakes(cmd.OutOrStdout(), &a, provider, accept, asJSON)
		}
		uri := caddymodule.AdminHandshakesPath + "?" + url.Values{"provider": {provider}}.Encode()
		if forget {
			return forgetHandshakes(cmd.OutOrStdout(), &a, uri, asJSON)
		}
		var found []caddymodule.HandshakeSecret
		if err := a.ask(http.MethodGet, uri, nil, &found); err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), found)
		}
		return printHandshakes(cmd.OutOrStdout(), found)
	}
	return onTerminal(cmd)
}

func acceptHandshakes(w io.Writer, a *adminClient, provider, accept string, asJSON bool) error {
	if provider == "" {
		return errors.New("missing provider: write, for example, caddy verify-webhook handshakes asana --accept 10m")
	}
	period, err := caddy.ParseDuration(accept)
	if err != nil {
		return fmt.Errorf("--accept %s is not a duration: write, for example, 10m", accept)
	}
	body := map[string]any{"provider": provider, "accept": period}
	var accepted caddymodule.HandshakesAccepted
	if err := a.ask(http.MethodPost, caddymodule.AdminHandshakesPath, body, &accepted); err != nil {
		return err
	}
	if asJSON {
		return printJSON(w, accepted)
	}
	_, err = fmt.Fprintf(w, "%s: accepting handshakes until %s; print received secrets with: caddy verify-webhook handshakes\n",
		strings.Join(accepted.Endpoints, ", "), accepted.Until.Local().Format(time.TimeOnly))
	return err
}

func forgetHandshakes(w io.Writer, a *adminClient, uri string, asJSON bool) error {
	var removed struct {
		Removed int `json:"removed"`
	}
	if err := a.ask(http.MethodDelete, uri, nil, &removed); err != nil {
		return err
	}
	if asJSON {
		return printJSON(w, removed)
	}
	_, err := fmt.Fprintf(w, "removed %d\n", removed.Removed)
	return err
}

// printHandshakes prints one line for every secret. Data from senders is quoted,
// because it could contain terminal escapes.
func printHandshakes(w io.Writer, found []caddymodule.HandshakeSecret) error {
	if len(found) == 0 {
		_, err := fmt.Fprintln(w, "no handshake with a secret was received in the last hour")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RECEIVED\tPROVIDER\tENDPOINT\tFROM\tURL\tSECRET")
	for _, s := range found {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Received.Local().Format(time.DateTime), s.Provider, s.Endpoint, s.From, s.URL, s.Secret)
	}
	return table.Flush()
}
