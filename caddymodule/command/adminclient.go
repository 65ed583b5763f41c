package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
)

// adminClient queries the running Caddy instance over its admin API.
type adminClient struct {
	address, config, adapter string
	json                     bool
}

// add adds the flags that Caddy's own commands have.
func (a *adminClient) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.address, "address", "", "address of the admin API, if not the default")
	cmd.Flags().StringVarP(&a.config, "config", "c", "", "config file with the address of the admin API")
	cmd.Flags().StringVarP(&a.adapter, "adapter", "a", "", "config adapter of that file, if it is neither JSON nor a Caddyfile")
}

// request returns the status of a delivery ID at the endpoints of a provider or
// namespace.
func (a *adminClient) request(method, uri string, body any) (found []caddymodule.DeliveryStatus, err error) {
	err = a.ask(method, uri, body, &found)
	return found, err
}

// ask sends body as JSON, unless it is nil, and decodes the JSON response into
// answer.
func (a *adminClient) ask(method, uri string, body, answer any) error {
	resp, err := a.send(method, uri, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return fmt.Errorf("reading Caddy's response: %w", err)
	}
	return nil
}

// send sends body as JSON, unless it is nil.
func (a *adminClient) send(method, uri string, body any) (*http.Response, error) {
	address, err := caddycmd.DetermineAdminAPIAddress(a.address, nil, a.config, a.adapter)
	if err != nil {
		return nil, fmt.Errorf("finding the admin API: %w", err)
	}
	var in io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(encoded)
	}
	resp, err := caddycmd.AdminAPIRequest(address, method, uri, nil, in)
	if err != nil {
		return nil, fmt.Errorf("querying the running Caddy instance: %w", err)
	}
	return resp, nil
}

// print prints statuses, as a table or in JSON.
func (a *adminClient) print(w io.Writer, found []caddymodule.DeliveryStatus) error {
	if a.json {
		return printJSON(w, found)
	}
	return printStatuses(w, found)
}

// printStatuses prints one line for every secret of every endpoint.
func printStatuses(w io.Writer, found []caddymodule.DeliveryStatus) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PROVIDER\tENDPOINT\tSECRET\tSTATE")
	for _, s := range found {
		state := s.State
		if s.Forgotten {
			state = "forgotten"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", s.Provider, s.Endpoint, s.Secret, state)
	}
	return table.Flush()
}
