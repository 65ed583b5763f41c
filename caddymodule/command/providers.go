package command

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// providersCommand is `caddy verify-webhook providers [NAME]`.
func providersCommand() *cobra.Command {
	return onTerminal(&cobra.Command{
		Use:   "providers [NAME]",
		Short: "Lists the providers, or says all about one",
		Long: `Without a name, lists all providers whose signatures are verified. With one,
says what to write in the Caddyfile, where the secret is found, what the
signature covers, and what an attacker could still do.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listProviders(cmd.OutOrStdout())
			}
			return describeProvider(cmd.OutOrStdout(), args[0])
		},
	})
}

func listProviders(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range provider.Presets() {
		d := p.Describe()
		fmt.Fprintf(table, "%s\t%s\t%s\n", d.Name, d.Title, d.Docs)
	}
	for _, name := range provider.Names() {
		if !isPreset(name) {
			fmt.Fprintf(table, "%s\t\t\n", name)
		}
	}
	return table.Flush()
}

func isPreset(name string) bool {
	return slices.ContainsFunc(provider.Presets(), func(p provider.Preset) bool { return p.Name == name })
}

func describeProvider(w io.Writer, name string) error {
	for _, p := range provider.Presets() {
		if p.Name == name {
			return p.Describe().Text(w)
		}
	}
	var near []string
	for _, known := range provider.Names() {
		if strings.Contains(known, name) || strings.Contains(name, known) {
			near = append(near, known)
		}
	}
	if len(near) > 0 {
		return fmt.Errorf("there is no provider %q: did you mean %s?", name, strings.Join(near, " or "))
	}
	return fmt.Errorf("there is no provider %q: `caddy verify-webhook providers` lists them; others are described with `custom`", name)
}

// checkProvider returns an error that suggests what may be meant if there is no
// provider of that name.
func checkProvider(name string) error {
	if slices.Contains(provider.Names(), name) {
		return nil
	}
	return unknownProvider(name)
}

func unknownProvider(name string) error {
	names := provider.Names()
	var near []string
	for _, known := range names {
		if strings.Contains(known, strings.ToLower(name)) || strings.Contains(strings.ToLower(name), known) {
			near = append(near, known)
		}
	}
	if nearest := option.Nearest(strings.ToLower(name), names); nearest != "" && !slices.Contains(near, nearest) {
		near = append([]string{nearest}, near...)
	}
	if len(near) > 0 {
		return usagef("unrecognized provider: %s; did you mean %s?", name, strings.Join(near[:min(len(near), 5)], ", "))
	}
	return usagef("unrecognized provider: %s; search them with `caddy verify-webhook providers <word>`, or describe yours with `custom`", name)
}

// hasOptions reports whether a provider has options beyond those of all.
func hasOptions(name string) bool {
	i := slices.IndexFunc(provider.Presets(), func(p provider.Preset) bool { return p.Name == name })
	return i < 0 || len(provider.Presets()[i].Takes)+len(provider.Presets()[i].Needs) > 0
}

// needsSecret reports whether deliveries of a provider cannot be checked without
// a secret.
func needsSecret(name string) bool {
	i := slices.IndexFunc(provider.Presets(), func(p provider.Preset) bool { return p.Name == name })
	return i < 0 || !provider.Presets()[i].NoSecret
}
