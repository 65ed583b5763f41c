package command

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// providersCommand is `caddy verify-webhook providers [<name or word>]`.
func providersCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "providers [<name or word>]",
		Short: "List or search the providers, or describe one",
		Long: `Without an argument, lists all providers. With the name of one, prints what to
write in the Caddyfile, where to find the secret, what the signature covers, and
what an attacker can still do. With any other word, lists the providers whose
name or title contains it.`,
		Example: `  caddy verify-webhook providers
  caddy verify-webhook providers pay
  caddy verify-webhook providers stripe`,
		Args: cobra.MaximumNArgs(1),
	}
	addJSON(cmd, &asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		word := strings.Join(args, "")
		if asJSON {
			return providersJSON(cmd.OutOrStdout(), word)
		}
		if isProvider(word) {
			return describeProvider(cmd.OutOrStdout(), word)
		}
		return searchProviders(cmd.OutOrStdout(), word)
	}
	return onTerminal(cmd)
}

func isProvider(name string) bool { return slices.Contains(provider.Names(), name) }

// listed is a provider in a list.
type listed struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Docs  string `json:"docs,omitempty"`
}

// providersWith returns the providers whose name or title contains a word,
// ignoring letter case.
func providersWith(word string) []listed {
	presets := make(map[string]provider.Preset)
	for _, p := range provider.Presets() {
		presets[p.Name] = p
	}
	word = strings.ToLower(word)
	var found []listed
	for _, name := range provider.Names() {
		l := listed{Name: name, Title: presets[name].Title, Docs: presets[name].Docs}
		if name == "custom" {
			l.Title = "any other provider, described in the config"
		}
		if strings.Contains(strings.ToLower(l.Name+" "+l.Title), word) {
			found = append(found, l)
		}
	}
	return found
}

func listProviders(w io.Writer) error { return searchProviders(w, "") }

func searchProviders(w io.Writer, word string) error {
	found := providersWith(word)
	if len(found) == 0 {
		return unknownProvider(word)
	}
	longest := 0
	for _, l := range found {
		longest = max(longest, len(l.Name))
	}
	for _, l := range found {
		line := fmt.Sprintf("%-*s  ", longest, l.Name)
		if err := printWrapped(w, line, l.Title); err != nil {
			return err
		}
	}
	return nil
}

func providersJSON(w io.Writer, word string) error {
	if isProvider(word) && word != "custom" {
		for _, p := range provider.Presets() {
			if p.Name == word {
				return printJSON(w, p.Describe())
			}
		}
	}
	found := providersWith(word)
	if len(found) == 0 {
		return unknownProvider(word)
	}
	return printJSON(w, found)
}

func describeProvider(w io.Writer, name string) error {
	for _, p := range provider.Presets() {
		if p.Name == name {
			return printDescription(w, p.Describe())
		}
	}
	if name == "custom" {
		_, err := io.WriteString(w, customHelp)
		return err
	}
	if isProvider(name) {
		_, err := fmt.Fprintf(w, "%s is a provider of another module, which documents it.\n", name)
		return err
	}
	return unknownProvider(name)
}

const customHelp = `Any other provider (custom)

	verify_webhook custom {
		secret {env.ACME_SECRET}
		algorithm hmac-sha256
		signature header X-Acme-Signature hex prefix v1=
		signed "{timestamp}.{body}"
		timestamp header X-Acme-Timestamp unix
		id header X-Acme-Delivery
		event json type
	}

Describes a scheme with HMAC, Ed25519, ECDSA or RSA in the config. algorithm
and signature are required; without signed, the body is signed. All options are
in docs/caddyfile.md. Test yours with examples of the provider:
caddy verify-webhook test.
`

// printDescription describes a preset in plain text of at most 80 columns.
func printDescription(w io.Writer, d provider.Description) error {
	if _, err := fmt.Fprintf(w, "%s (%s)\n\n\t%s\n\n", d.Title, d.Name, strings.Join(d.Lines, "\n\t")); err != nil {
		return err
	}
	rows := [][2]string{
		{"Secret", d.Secret},
		{"Signed", strings.Join(d.Signed, "; ")},
		{"Delivery ID", d.ID},
		{"Same delivery", strings.Join(d.Same, " ")},
		{"Window", d.Window},
		{"Handshake", d.Handshake},
		{"Tests", strings.Join(d.Tests, "; ")},
		{"Weak points", strings.Join(d.Weak, "; ")},
	}
	if len(d.TokenHeaders) > 0 {
		rows = append(rows, [2]string{"Secret in", strings.Join(d.TokenHeaders, ", ") + " contains the secret: it is not forwarded, and a log filter keeps it out of logs"})
	}
	for _, o := range d.Options {
		rows = append(rows, [2]string{"Option", o.Syntax + ": " + o.Help})
	}
	rows = append(rows, [2]string{"Documentation", d.Docs})
	for _, row := range rows {
		if row[1] == "" {
			continue
		}
		if err := printWrapped(w, fmt.Sprintf("%-15s ", row[0]+":"), strings.ReplaceAll(row[1], "`", "")); err != nil {
			return err
		}
	}
	return nil
}

const columns = 80

// printWrapped prints a text after a label, in at most 80 columns, with indented
// continuation lines. A longer word gets its own line.
func printWrapped(w io.Writer, label, text string) error {
	indent := strings.Repeat(" ", len(label))
	var b strings.Builder
	line := label
	for word := range strings.FieldsSeq(text) {
		// %-15s counts runes, and so does this.
		if width := len([]rune(line)) + len([]rune(word)); width > columns && strings.TrimSpace(line) != "" && line != label {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = indent
		}
		line += word + " "
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// checkProvider returns an error with a suggestion if there is no provider of that
// name.
func checkProvider(name string) error {
	if isProvider(name) {
		return nil
	}
	return unknownProvider(name)
}

func unknownProvider(name string) error {
	names := provider.Names()
	var near []string
	for _, known := range names {
		if strings.Contains(known, strings.ToLower(name)) || len(known) > 2 && strings.Contains(strings.ToLower(name), known) {
			near = append(near, known)
		}
	}
	if nearest := option.Nearest(strings.ToLower(name), names); nearest != "" && !slices.Contains(near, nearest) {
		near = append([]string{nearest}, near...)
	}
	if len(near) > 0 {
		return usagef("unrecognized provider: %s; did you mean %s?", option.Shown(name), strings.Join(near[:min(len(near), 5)], ", "))
	}
	return usagef("unrecognized provider: %s; search with `caddy verify-webhook providers <word>`, or describe it with `custom`", option.Shown(name))
}

// hasOptions reports whether a provider has options of its own.
func hasOptions(name string) bool {
	i := slices.IndexFunc(provider.Presets(), func(p provider.Preset) bool { return p.Name == name })
	return i < 0 || len(provider.Presets()[i].Takes)+len(provider.Presets()[i].Needs) > 0
}

// needsSecret reports whether verifying a provider's deliveries requires a secret.
func needsSecret(name string) bool {
	i := slices.IndexFunc(provider.Presets(), func(p provider.Preset) bool { return p.Name == name })
	return i < 0 || !provider.Presets()[i].NoSecret
}
