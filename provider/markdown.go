package provider

import (
	"fmt"
	"io"
	"strings"
)

//go:generate go run ./gendocs ../docs/providers.md

const markdownHead = `# Providers

<!-- Made by "go generate ./provider" from the catalogue: change that, not this. -->

%d providers, each proven by conformance vectors. A line to copy, where its secret is found, and what its signature is good for.
` + "`caddy verify-webhook providers NAME`" + ` prints the same.

- Every provider takes ` + "`secret`" + ` (several for rotation, each with an optional label), ` + "`tolerance`" + ` and ` + "`public_url`" + `; those with more options have them listed below the table.
- **The same delivery**: what makes two deliveries the same one, so that only one is handled. *Content* is what the signature covers; where nothing is signed, it is the body. A replay is the same content under another, unsigned, ID: it is not forwarded.
- **Window**: how long a handled delivery is remembered. It covers the provider's retries and manual redelivery.
- A provider that is not here, but signs in any usual way, is a few lines with ` + "`custom`" + `.

| Provider | Write | Secret | Signed | Delivery ID | The same delivery | Window | Handshake | Weak points |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
`

// Markdown writes the page on the presets.
func Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, markdownHead, len(catalogue))
	for i := range catalogue {
		d := catalogue[i].Describe()
		cells := []string{
			fmt.Sprintf("[%s](%s)", d.Title, d.Docs), markdownCode(d.Lines), d.Secret, strings.Join(d.Signed, "; "),
			d.ID, strings.Join(d.Same, " "), d.Window, d.Handshake, strings.Join(d.Weak, "; "),
		}
		for j, cell := range cells {
			cells[j] = strings.ReplaceAll(cell, "|", `\|`)
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	b.WriteString("\n## Options beyond these\n")
	for i := range catalogue {
		d := catalogue[i].Describe()
		if len(d.Options) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n\n", d.Name)
		for _, o := range d.Options {
			fmt.Fprintf(&b, "- `%s`: %s\n", o.Syntax, o.Help)
		}
	}
	b.WriteString(markdownTokens)
	for i := range catalogue {
		d := catalogue[i].Describe()
		for _, name := range d.TokenHeaders {
			fmt.Fprintf(&b, "| %s | `%s` | `request>headers>%s delete` |\n", d.Name, name, name)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const markdownTokens = `
## Secrets in headers

The providers below send the secret itself in a header. It is removed from what the app gets, unless ` + "`forward_token`" + ` is set, and from what error routes get.

Caddy copies the headers of a request for its logs before any handler runs, so only a filter keeps a secret out of them: out of the access log, and, after a response of 500 or
above, out of Caddy's own log. Write the provider's line into every log, for example into the default one:

` + "```caddyfile" + `
{
	log default {
		format filter {
			request>headers>X-Gitlab-Token delete
		}
	}
}

hooks.example.com {
	handle /webhooks/gitlab {
		verify_webhook gitlab {env.GITLAB_SECRET}
		reverse_proxy localhost:5000
	}
	handle {
		respond 404
	}
}
` + "```" + `

Caddy itself redacts ` + "`Authorization`" + `, unless ` + "`log_credentials`" + ` is set. A header whose name you chose (` + "`header`" + `, ` + "`custom`" + `) needs a line of its own.
A secret in the body is forwarded, because the app gets the bytes that were verified; one in the query is forwarded, and needs a filter for ` + "`request>uri`" + `.

| Provider | Header | Filter |
| --- | --- | --- |
`

// markdownCode puts lines into one cell of a table.
func markdownCode(lines []string) string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = "`" + strings.TrimSpace(line) + "`"
	}
	return strings.Join(out, "<br>")
}

// Text writes what is to be known of one preset, for a terminal.
func (d Description) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n\n", d.Title, d.Name)
	for _, line := range d.Lines {
		b.WriteString("\t" + line + "\n")
	}
	b.WriteString("\n")
	for _, row := range [][2]string{
		{"Secret", d.Secret},
		{"Signed", strings.Join(d.Signed, "; ")},
		{"Delivery ID", d.ID},
		{"Same delivery", strings.Join(d.Same, " ")},
		{"Window", d.Window},
		{"Handshake", d.Handshake},
		{"Weak points", strings.Join(d.Weak, "; ")},
		{"Documentation", d.Docs},
	} {
		if row[1] != "" {
			fmt.Fprintf(&b, "%-15s %s\n", row[0]+":", row[1])
		}
	}
	if len(d.TokenHeaders) > 0 {
		fmt.Fprintf(&b, "%-14s %s holds the secret: it is not forwarded, and a log filter keeps it out of logs\n", "Secret in:", strings.Join(d.TokenHeaders, ", "))
	}
	for _, o := range d.Options {
		fmt.Fprintf(&b, "%-15s %s: %s\n", "Option:", o.Syntax, o.Help)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
