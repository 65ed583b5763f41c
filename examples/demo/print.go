package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// printTable prints one line per row, the problems of failed rows, and a summary.
// It returns the number of failed rows.
func printTable(out io.Writer, rows []row) (failed int) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "APP\tFROM\tDELIVERY\tPROVIDER GOT\tAPP SAW IT\tOUTCOME\t")
	previous := ""
	for _, r := range rows {
		if block := r.app + r.provider; block != previous && previous != "" {
			fmt.Fprintln(table, "\t\t\t\t\t\t")
		}
		previous = r.app + r.provider
		verdict := "ok"
		if len(r.problems) > 0 {
			verdict = "WRONG"
			failed++
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.app, r.provider, r.step.name,
			counted(r.answers), times(len(r.requests)), counted(r.outcomes), verdict)
	}
	table.Flush()
	fmt.Fprintln(out)
	for _, r := range rows {
		for _, p := range r.problems {
			fmt.Fprintf(out, "WRONG: %s, %s, %s: %s\n", r.app, r.provider, r.step.name, p)
		}
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", len(rows)-failed, failed)
	return failed
}

func times(n int) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// counted lists values in the order of first appearance, with their counts if there
// is more than one value.
func counted[T comparable](values []T) string {
	if len(values) == 1 {
		return fmt.Sprint(values[0])
	}
	count := make(map[T]int)
	var order []T
	for _, v := range values {
		if count[v]++; count[v] == 1 {
			order = append(order, v)
		}
	}
	parts := make([]string, 0, len(order))
	for _, v := range order {
		parts = append(parts, fmt.Sprintf("%d × %v", count[v], v))
	}
	return strings.Join(parts, ", ")
}

// printLinesToTry prints shell commands that sign and send deliveries, ready to paste.
func printLinesToTry(out io.Writer, apps []*app) {
	for _, a := range apps {
		fmt.Fprintf(out, githubLines, a.name, a.site, a.github)
		fmt.Fprintf(out, stripeLines, a.name, a.site, a.stripe)
	}
	fmt.Fprintln(out, "Run one of these commands: the app gets the delivery. Run it again: the app does not.")
	fmt.Fprintln(out, "Change the body after computing sig: Caddy responds with 401. Press Ctrl-C to stop.")
}

const githubLines = `# GitHub to %[1]s
body='{"action":"opened","issue":{"number":1}}'
sig=$(printf %%s "$body" | openssl dgst -sha256 -hmac '%[3]s' -r | cut -d' ' -f1)
curl -i %[2]s/webhooks/github -H 'Content-Type: application/json' -H 'X-GitHub-Event: issues' \
  -H 'X-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958' -H "X-Hub-Signature-256: sha256=$sig" --data-binary "$body"

`

const stripeLines = `# Stripe to %[1]s
body='{"id":"evt_try","object":"event","type":"invoice.paid"}'; t=$(date +%%s)
sig=$(printf %%s "$t.$body" | openssl dgst -sha256 -hmac '%[3]s' -r | cut -d' ' -f1)
curl -i %[2]s/webhooks/stripe -H 'Content-Type: application/json' -H "Stripe-Signature: t=$t,v1=$sig" --data-binary "$body"

`
