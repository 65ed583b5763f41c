package command

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/diagnose"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/inspector"
)

// explainCaptured makes the running Caddy instance explain a delivery that it has
// captured.
func (f *explainFlags) explainCaptured(cmd *cobra.Command, number uint64, rest []string) error {
	if len(rest) > 0 || f.received != "" {
		return usagef("delivery %d was captured by the running Caddy instance: leave out the file and --received", number)
	}
	question := map[string]any{"number": number}
	override, err := f.override(cmd, number)
	if err != nil {
		return err
	}
	if override != nil {
		question["override"] = override
	}
	answer := inspector.Explanation{Report: new(diagnose.Report)}
	if err := f.admin.ask(http.MethodPost, inspector.AdminExplainPath, question, &answer); err != nil {
		return err
	}
	if !f.json {
		return printReport(cmd.OutOrStdout(), answer.Report)
	}
	if err := printJSON(cmd.OutOrStdout(), answer); err != nil || answer.Accepted {
		return err
	}
	return errRefused
}

// override is what replaces parts of the running config, or nil.
func (f *explainFlags) override(cmd *cobra.Command, number uint64) (*inspector.Override, error) {
	o := &inspector.Override{Options: json.RawMessage(f.options), PublicURL: f.publicURL}
	var err error
	if o.Secrets, err = readSecrets(f.secrets, cmd.InOrStdin()); err != nil {
		return nil, err
	}
	if o.Others, err = readSecrets(f.others, cmd.InOrStdin()); err != nil {
		return nil, err
	}
	if f.admin.config != "" || f.endpoint != "" {
		err = f.overrideByEndpoint(o, number)
	} else if len(o.Secrets)+len(o.Others) == 0 && f.options == "" && f.publicURL == "" {
		return nil, nil
	}
	return o, err
}

// overrideByEndpoint adds options and secrets of an endpoint of the config file or,
// without one, of another endpoint of the running config.
func (f *explainFlags) overrideByEndpoint(o *inspector.Override, number uint64) error {
	var delivery inspector.Summary
	if err := f.admin.ask(http.MethodGet, fmt.Sprintf("%s?number=%d", inspector.AdminDeliveryPath, number), nil, &delivery); err != nil {
		return err
	}
	config, err := f.admin.loadConfig()
	if err != nil {
		return err
	}
	all, err := endpointsIn(config)
	if err != nil {
		return err
	}
	endpoint, err := chooseEndpoint(all, delivery.Provider, f.endpoint, delivery.Path)
	if err != nil {
		return err
	}
	if len(o.Options) == 0 {
		o.Options = endpoint.Options
	}
	if len(o.Secrets) == 0 {
		o.Secrets, o.Labels, err = endpoint.resolved()
	}
	return err
}
