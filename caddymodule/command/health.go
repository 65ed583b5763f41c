package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

func healthCommand() *cobra.Command {
	var a adminClient
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Report whether Caddy is running and has an HTTP server",
		Long: `Asks the admin API of the running Caddy instance whether its config has an HTTP
server. It needs no shell, so it works as a health check in images that have
none:

  HEALTHCHECK CMD ["/usr/bin/caddy", "verify-webhook", "health"]

It does not ask the replay store: while that is unavailable, deliveries are
answered 503 and sent again, and a restart of Caddy would not help.`,
		Example: `  caddy verify-webhook health
  caddy verify-webhook health --address localhost:2020`,
		Args: cobra.NoArgs,
	}
	a.add(cmd)
	addJSON(cmd, &a.json)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cmd.SilenceUsage = true
		// The whole config, because the path of a member that is not there is an error.
		var config struct {
			Apps struct {
				HTTP struct {
					Servers map[string]json.RawMessage `json:"servers"`
				} `json:"http"`
			} `json:"apps"`
		}
		if err := a.ask(http.MethodGet, "/config/", nil, &config); err != nil {
			return err
		}
		servers := len(config.Apps.HTTP.Servers)
		if servers == 0 {
			return errors.New("the running config has no HTTP server")
		}
		return printHealth(cmd.OutOrStdout(), servers, a.json)
	}
	return onTerminal(cmd)
}

func printHealth(w io.Writer, servers int, asJSON bool) error {
	if asJSON {
		return printJSON(w, map[string]int{"servers": servers})
	}
	_, err := fmt.Fprintf(w, "healthy: HTTP servers: %d\n", servers)
	return err
}
