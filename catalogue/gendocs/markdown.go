package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

const markdownHead = `# Providers

<!-- Made by "go generate ./catalogue" from the catalogue: change that, not this. -->

%d providers, each proven by conformance vectors. A line to copy, where its secret is found, and what its signature is good for.
` + "`caddy verify-webhook providers NAME`" + ` prints the same.

- Every provider takes ` + "`secret`" + ` (several for rotation, each with an optional label), ` + "`tolerance`" + ` and ` + "`public_url`" + `; those with more options have them listed below the table.
- **The same delivery**: what makes two deliveries the same one, so that only one is handled. *Content* is what the signature covers; where nothing is signed, it is the body. A replay is the same content under another, unsigned, ID: it is not forwarded.
- **Window**: how long a handled delivery is remembered. It covers the provider's retries and manual redelivery.
- **Tolerance**: how far a signed time may be from now by default. **Retries signed with a new time**: where they are not, or nobody documents it, the tolerance covers the last documented retry. *By implication*: mostly, the provider's own library refuses older ones.
- A provider that is not here, but signs in any usual way, is a few lines with ` + "`custom`" + `. One in a repository of your own is a preset or a Caddy module ([example](../examples/external-provider)).

| Provider | Write | Secret | Signed | Delivery ID | The same delivery | Window | Tolerance | Retries signed with a new time | Handshake | Weak points |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
`

// markdown writes the page on the presets.
func markdown(w io.Writer, presets []provider.Preset) error {
	var b strings.Builder
	fmt.Fprintf(&b, markdownHead, len(presets))
	for i := range presets {
		d := presets[i].Describe()
		cells := []string{
			fmt.Sprintf("[%s](%s)", d.Title, d.Docs), markdownCode(d.Lines), d.Secret, strings.Join(d.Signed, "; "),
			d.ID, strings.Join(d.Same, " "), d.Window, d.Tolerance, markdownSource(d.Retries, d.RetriesSource), d.Handshake, strings.Join(d.Weak, "; "),
		}
		for j, cell := range cells {
			cells[j] = strings.ReplaceAll(cell, "|", `\|`)
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	writeUnsupported(&b, presets)
	b.WriteString("\n## Options beyond these\n")
	for i := range presets {
		d := presets[i].Describe()
		if len(d.Options) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n\n", d.Name)
		for _, o := range d.Options {
			fmt.Fprintf(&b, "- `%s`: %s\n", o.Syntax, o.Help)
		}
	}
	writeTests(&b, presets)
	b.WriteString(markdownTokens)
	for i := range presets {
		d := presets[i].Describe()
		for _, name := range d.TokenHeaders {
			fmt.Fprintf(&b, "| %s | `%s` | `request>headers>%s delete` |\n", d.Name, name, name)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeUnsupported lists what providers send beside the deliveries that are
// verified.
func writeUnsupported(b *strings.Builder, presets []provider.Preset) {
	b.WriteString("\n## What is not supported\n\nRequests that open a WebSocket are refused with every provider: send them past `verify_webhook`, with a path of their own.\n\n")
	for i := range presets {
		if d := presets[i].Describe(); d.Unsupported != "" {
			fmt.Fprintf(b, "- %s (`%s`): %s.\n", d.Title, d.Name, d.Unsupported)
		}
	}
}

// writeTests writes what test buttons and simulators send that is refused.
func writeTests(b *strings.Builder, presets []provider.Preset) {
	b.WriteString(markdownTests)
	for i := range presets {
		d := presets[i].Describe()
		for _, text := range d.Tests {
			fmt.Fprintf(b, "| %s | %s |\n", d.Name, strings.ReplaceAll(text, "|", `\|`))
		}
	}
}

const markdownTests = `
## Test buttons, simulators and command lines

What most providers send as a test is signed like every delivery. These are not: they have a key of their own, or one that is published, with which anyone can sign, so
that such a delivery is refused, and the log and ` + "`explain`" + ` say from where it is.

| Provider | What is sent as a test |
| --- | --- |
`

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

// markdownSource links text to its source, which is a page, perhaps with what it
// says, or code that was read.
func markdownSource(text, source string) string {
	page, note, _ := strings.Cut(source, " ")
	page = strings.TrimRight(page, ":;")
	switch {
	case source == "":
		return text
	case !strings.HasPrefix(page, "https://"):
		return text + ": " + source
	case note == "":
		return fmt.Sprintf("[%s](%s)", text, page)
	}
	return fmt.Sprintf("[%s](%s): %s", text, page, note)
}

// markdownCode puts lines into one cell of a table.
func markdownCode(lines []string) string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = "`" + strings.TrimSpace(line) + "`"
	}
	return strings.Join(out, "<br>")
}
