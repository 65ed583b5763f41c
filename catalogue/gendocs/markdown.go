package main

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// pagesFolder has the pages of the kinds, in the folder of the index.
const pagesFolder = "providers"

// pages returns the pages by their names in the folder of the documentation.
func pages(presets []provider.Preset) map[string]string {
	all := make([]provider.Description, len(presets))
	byKind := make(map[string][]provider.Description)
	for i := range presets {
		d := presets[i].Describe()
		all[i] = d
		byKind[d.Kind] = append(byKind[d.Kind], d)
	}
	for _, list := range byKind {
		slices.SortFunc(list, byTitle)
	}
	slices.SortFunc(all, byTitle)
	written := map[string]string{"providers.md": index(all, byKind)}
	for kind, list := range byKind {
		written[pageOf(kind)] = kindPage(kind, list)
	}
	return written
}

func byTitle(a, b provider.Description) int {
	return cmp.Or(cmp.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title)), cmp.Compare(a.Name, b.Name))
}

// pageOf returns the name of a kind's page.
func pageOf(kind string) string { return pagesFolder + "/" + slug(kind) + ".md" }

var notInSlugs = regexp.MustCompile(`[^a-z0-9 _-]`)

// slug returns the anchor that GitHub gives a heading.
func slug(heading string) string {
	return strings.ReplaceAll(notInSlugs.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

const generated = `<!-- Made by "go generate ./catalogue" from the catalogue: change that, not this. -->
`

const indexHead = `# Providers

` + generated + `
%d providers. Each has a section with its Caddyfile, its options, what it signs, what distinguishes its deliveries, and its weak points; each is tested with
conformance vectors. ` + "`caddy verify-webhook providers NAME`" + ` prints the same.

[By kind of product](#by-kind-of-product) · [A to Z](#a-to-z) · [How to read a section](#how-to-read-a-section) · [What is not supported](#what-is-not-supported) ·
[Test buttons](#test-buttons-simulators-and-command-lines) · [Secrets in headers](#secrets-in-headers)

A provider that is not listed: if it signs in a usual way, describe its scheme with [` + "`custom`" + `](caddyfile.md#custom-a-provider-without-a-preset), a few lines in the Caddyfile. A preset can
also be a Caddy module in a repository of your own ([example](../examples/external-provider)).

## By kind of product

`

const indexSections = `
## How to read a section

- **Caddyfile**: the lines to copy. Every provider takes ` + "`secret`" + ` (several during rotation, each with an optional label), ` + "`tolerance`" + ` and ` + "`public_url`" + `.
- **Secret**: where the provider shows it.
- **Signed**: the algorithm and the signed content, or the parts of the delivery that are signed.
- **Same delivery**: when two deliveries are the same one, so that only one is handled. *Content* is what the signature covers; if nothing is signed, it is the body. A *replay* is
  the same content under another, unsigned, ID. It is not forwarded.
- **Remembered for**: the default of ` + "`window`" + `. It covers the provider's retries and manual redelivery.
- **Tolerance**: how far a signed time can differ from now, by default.
- **Retries signed with a new time**: if they are not, or the provider does not document it, the tolerance covers the last documented retry. *By implication*: in most cases the provider's own
  library rejects older times.
- **Weak points**: what an attacker who has seen a delivery can do without the secret.
`

// index writes the page with the links to all others.
func index(all []provider.Description, byKind map[string][]provider.Description) string {
	var b strings.Builder
	fmt.Fprintf(&b, indexHead, len(all))
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		links := make([]string, len(byKind[kind]))
		for i, d := range byKind[kind] {
			links[i] = sectionLink(d)
		}
		fmt.Fprintf(&b, "**[%s](%s)**: %s\n\n", kind, pageOf(kind), strings.Join(links, " · "))
	}
	b.WriteString("## A to Z\n\n| Provider | Caddyfile |\n| --- | --- |\n")
	for _, d := range all {
		fmt.Fprintf(&b, "| %s | `%s` |\n", sectionLink(d), directiveLine(d))
	}
	b.WriteString(indexSections)
	writeUnsupported(&b, all)
	writeTests(&b, all)
	b.WriteString(markdownTokens)
	for _, d := range all {
		for _, name := range d.TokenHeaders {
			fmt.Fprintf(&b, "| %s | `%s` | `request>headers>%s delete` |\n", d.Name, name, name)
		}
	}
	return b.String()
}

// sectionLink links to a provider's section from the index.
func sectionLink(d provider.Description) string {
	return fmt.Sprintf("[%s](%s#%s)", d.Title, pageOf(d.Kind), slug(d.Title))
}

// directiveLine is what to write, in one line. A block is shortened.
func directiveLine(d provider.Description) string {
	if len(d.Lines) == 1 {
		return d.Lines[0]
	}
	return d.Lines[0] + " … }"
}

// kindPage writes the sections of the providers of a kind.
func kindPage(kind string, list []provider.Description) string {
	var b strings.Builder
	links := make([]string, len(list))
	for i, d := range list {
		links[i] = fmt.Sprintf("[%s](#%s)", d.Title, slug(d.Title))
	}
	fmt.Fprintf(&b, "# Providers: %s\n\n%s\n%s\n\n[All providers](../providers.md) · [How to read a section](../providers.md#how-to-read-a-section)\n",
		lowerFirst(kind), generated, strings.Join(links, " · "))
	for _, d := range list {
		writeSection(&b, d)
	}
	return b.String()
}

// lowerFirst keeps abbreviations as they are.
func lowerFirst(text string) string {
	if text == strings.ToUpper(text) {
		return text
	}
	return strings.ToLower(text[:1]) + text[1:]
}

// writeSection writes what users need to know of one provider.
func writeSection(b *strings.Builder, d provider.Description) {
	fmt.Fprintf(b, "\n## %s\n\n```caddyfile fragment\nhandle /webhooks/%s {\n", d.Title, d.Name)
	for _, line := range d.Lines {
		b.WriteString("\t" + line + "\n")
	}
	b.WriteString("\treverse_proxy localhost:5000\n}\n```\n\n")
	for _, row := range [][2]string{
		{"Secret", d.Secret},
		{"Signed", strings.Join(d.Signed, "; ")},
		{"Delivery ID", d.ID},
		{"Same delivery", strings.Join(d.Same, " ")},
		{"Remembered for", d.Window},
		{"Tolerance", d.Tolerance},
		{"Retries signed with a new time", markdownSource(d.Retries, d.RetriesSource)},
		{"Handshake", d.Handshake},
		{"Weak points", strings.Join(d.Weak, "; ")},
		{"Not supported", d.Unsupported},
		{"Tests", strings.Join(d.Tests, "; ")},
		{"Secret in a header", withLink(d.TokenHeaders)},
		{"Options", options(d)},
		{"Documentation", d.Docs},
	} {
		if row[1] != "" {
			fmt.Fprintf(b, "- **%s**: %s\n", row[0], row[1])
		}
	}
}

// withLink names headers that hold the secret.
func withLink(headers []string) string {
	if len(headers) == 0 {
		return ""
	}
	return "`" + strings.Join(headers, "`, `") + "`, which [is not forwarded, and must be filtered in logs](../providers.md#secrets-in-headers)"
}

// options is a list within a list.
func options(d provider.Description) string {
	var b strings.Builder
	for _, o := range d.Options {
		fmt.Fprintf(&b, "\n  - `%s`: %s", o.Syntax, o.Help)
	}
	return b.String()
}

// writeUnsupported lists what providers send beside the deliveries that are
// verified.
func writeUnsupported(b *strings.Builder, all []provider.Description) {
	b.WriteString("\n## What is not supported\n\nRequests that open a WebSocket are refused with every provider: route them to the app on a path of their own, without `verify_webhook`.\n\n")
	for _, d := range all {
		if d.Unsupported != "" {
			fmt.Fprintf(b, "- %s: %s.\n", sectionLink(d), d.Unsupported)
		}
	}
}

// writeTests writes what test buttons and simulators send that is refused.
func writeTests(b *strings.Builder, all []provider.Description) {
	b.WriteString(markdownTests)
	for _, d := range all {
		for _, text := range d.Tests {
			fmt.Fprintf(b, "| %s | %s |\n", d.Name, strings.ReplaceAll(text, "|", `\|`))
		}
	}
}

const markdownTests = `
## Test buttons, simulators and command lines

Most providers sign a test like every delivery. These do not: they sign it with another key, or with a published one that anyone can use. Such a delivery is refused, and the log and
` + "`explain`" + ` name its origin.

| Provider | What is sent as a test |
| --- | --- |
`

const markdownTokens = `
## Secrets in headers

These providers send the secret itself in a header. The header is not forwarded to the app, unless ` + "`forward_token`" + ` is set, or to error routes.

Caddy copies the headers of a request for its logs before any handler runs. Only a filter keeps a secret out of the access log and, after a response of 500 or above, out of Caddy's own log.
Add the provider's line to every log, for example to the default one:

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

Caddy itself redacts ` + "`Authorization`" + `, unless ` + "`log_credentials`" + ` is set. A header whose name you configure (` + "`header`" + `, ` + "`custom`" + `) needs its own line.
A secret in the body is forwarded, because the app gets the bytes that were verified. A secret in the query is forwarded too, and needs a filter for ` + "`request>uri`" + `.

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
