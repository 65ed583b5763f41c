package command

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/queue"
)

// queueCommand is `caddy verify-webhook queue`.
func queueCommand() *cobra.Command {
	cmd := queueListCommand()
	cmd.Use = "queue"
	cmd.Short = "List, retry and discard stored deliveries"
	cmd.Long = `Shows and changes the queues of webhook_queue in the running Caddy instance.
Without a command it lists the queues.`
	cmd.Example = `  caddy verify-webhook queue
  caddy verify-webhook queue list orders --state dead
  caddy verify-webhook queue retry orders --state dead --status 500 --dry-run
  caddy verify-webhook queue pause orders`
	cmd.Args = cobra.NoArgs
	cmd.AddCommand(
		queueListCommand(), queueShowCommand(),
		queueChangeCommand("retry", "Make dead or waiting deliveries due now", `Makes deliveries due now: dead ones, which are not retried automatically, and
waiting ones, before their time. Their retry schedule restarts.`),
		queueChangeCommand("discard", "Discard dead or waiting deliveries", `Discards deliveries: the app does not get them, and their bodies are removed.`),
		queuePauseCommand("pause", "Stop delivering; deliveries are still accepted"),
		queuePauseCommand("resume", "Deliver again"),
	)
	return cmd
}

// queueFilter selects deliveries.
type queueFilter struct {
	state, olderThan, newerThan, status string
}

func (f *queueFilter) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.state, "state", "", "only deliveries that are waiting, in_flight or dead")
	cmd.Flags().StringVar(&f.olderThan, "older-than", "", "only deliveries accepted at least this long ago: 90s, 2h, 1d")
	cmd.Flags().StringVar(&f.newerThan, "newer-than", "", "only deliveries accepted at most this long ago")
	cmd.Flags().StringVar(&f.status, "status", "", "only deliveries whose last attempt got this status, or none")
}

func (f *queueFilter) empty() bool { return *f == queueFilter{} }

// statusNumber returns the status in the form of the admin API.
func (f *queueFilter) statusNumber() (int, error) {
	switch f.status {
	case "":
		return 0, nil
	case "none":
		return -1, nil
	}
	status, err := strconv.Atoi(f.status)
	if err != nil || status < 200 || status > 599 {
		return 0, fmt.Errorf("invalid status: %q: write, for example, --status 500 or --status none", f.status)
	}
	return status, nil
}

// query returns the filter as parameters.
func (f *queueFilter) query() (url.Values, error) {
	status, err := f.statusNumber()
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	for name, value := range map[string]string{"state": f.state, "older_than": f.olderThan, "newer_than": f.newerThan} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if status != 0 {
		query.Set("status", strconv.Itoa(status))
	}
	return query, nil
}

// filter returns the filter of a change.
func (f *queueFilter) filter() (*queue.Filter, error) {
	status, err := f.statusNumber()
	if err != nil {
		return nil, err
	}
	out := &queue.Filter{State: f.state, Status: status}
	for _, d := range []struct {
		name, text string
		to         *caddy.Duration
	}{{"older-than", f.olderThan, &out.OlderThan}, {"newer-than", f.newerThan, &out.NewerThan}} {
		if d.text == "" {
			continue
		}
		parsed, err := caddy.ParseDuration(d.text)
		if err != nil {
			return nil, fmt.Errorf("invalid %s: %q is not a duration: write, for example, 2h", d.name, d.text)
		}
		*d.to = caddy.Duration(parsed)
	}
	return out, nil
}

func queueListCommand() *cobra.Command {
	var (
		a      adminClient
		f      queueFilter
		limit  int
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "list [<queue>]",
		Short: "List the queues, or the deliveries of one",
		Long: `Lists the queues with the number of waiting, in-flight and dead deliveries. With
the name of a queue it lists its deliveries, the oldest first. Delivered and
discarded ones are not listed, because only their keys are remembered.`,
		Example: `  caddy verify-webhook queue list orders --state dead --older-than 1h`,
		Args:    cobra.MaximumNArgs(1),
	}
	a.add(cmd)
	f.add(cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "list at most this many deliveries")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		if len(args) == 1 {
			return listEntries(cmd.OutOrStdout(), &a, args[0], &f, limit, asJSON)
		}
		if !f.empty() {
			return errors.New("missing queue: write its name, for example queue list orders --state dead")
		}
		return listQueues(cmd.OutOrStdout(), &a, asJSON)
	}
	return onTerminal(cmd)
}

func listQueues(w io.Writer, a *adminClient, asJSON bool) error {
	var infos []queue.Info
	if err := a.ask(http.MethodGet, queue.AdminQueuesPath, nil, &infos); err != nil {
		return err
	}
	if asJSON {
		return printJSON(w, infos)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "QUEUE\tWAITING\tIN FLIGHT\tDEAD\tOLDEST\tBYTES\tSTATE")
	for _, i := range infos {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\t%d\t%s\n", i.Name, i.Waiting, i.InFlight, i.Dead, seconds(i.OldestAge), i.Bytes, queueState(i))
	}
	return table.Flush()
}

// queueState describes the state of a queue.
func queueState(i queue.Info) string {
	var words []string
	if i.Paused {
		words = append(words, "paused")
	}
	if i.AppDown {
		words = append(words, "app down")
	}
	if !i.Configured {
		words = append(words, "not in the config")
	}
	if words == nil {
		return "delivering"
	}
	return strings.Join(words, ", ")
}

func listEntries(w io.Writer, a *adminClient, name string, f *queueFilter, limit int, asJSON bool) error {
	query, err := f.query()
	if err != nil {
		return err
	}
	query.Set("queue", name)
	all := []queue.EntryInfo{}
	var more bool
	for {
		query.Set("limit", strconv.Itoa(min(1000, max(1, limit-len(all)))))
		var page queue.EntriesPage
		if err := a.ask(http.MethodGet, queue.AdminEntriesPath+"?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		all = append(all, page.Entries...)
		if more = page.Next != ""; !more || len(all) >= limit {
			break
		}
		query.Set("after", page.Next)
	}
	if asJSON {
		return printJSON(w, all)
	}
	if err := printEntries(w, all); err != nil {
		return err
	}
	if more {
		fmt.Fprintf(w, "There may be more: write --limit %d\n", 10*limit)
	}
	return nil
}

func printEntries(w io.Writer, entries []queue.EntryInfo) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tSTATE\tAGE\tNEXT\tATTEMPTS\tSTATUS\tLAST ERROR")
	for _, e := range entries {
		status, failure := "-", ""
		if e.Last != nil {
			failure = e.Last.Error
			if e.Last.Status != 0 {
				status = strconv.Itoa(e.Last.Status)
			}
		}
		next := "-"
		if e.State == "waiting" {
			next = "now"
			if e.DueIn > 0 {
				next = "in " + seconds(e.DueIn)
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", e.Key, e.State, seconds(e.Age), next, e.Attempts, status, strings.ReplaceAll(failure, "\n", " "))
	}
	return table.Flush()
}

// seconds formats a duration for people.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d == 0:
		return "-"
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Second).String(), "0s")
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func queueShowCommand() *cobra.Command {
	var (
		a            adminClient
		asJSON, body bool
	)
	cmd := &cobra.Command{
		Use:   "show <queue> <key>",
		Short: "Print a stored delivery with its request",
		Long: `Prints a stored delivery: its state, how the last attempt ended, its request and
the beginning of its body. Headers that can hold secrets are masked. With --body
it prints only the body, byte for byte unless the output is a terminal.`,
		Example: `  caddy verify-webhook queue show orders 4f1c…
  caddy verify-webhook queue show orders 4f1c… --body > body.json`,
		Args: cobra.ExactArgs(2),
	}
	a.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&body, "body", false, "print only the body")
	raw := cmd
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		query := url.Values{"queue": {args[0]}, "key": {args[1]}}.Encode()
		if body {
			return printBody(cmd.OutOrStdout(), &a, query)
		}
		var e queue.EntryInfo
		if err := a.ask(http.MethodGet, queue.AdminEntryPath+"?"+query, nil, &e); err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), e)
		}
		return printEntry(cmd.OutOrStdout(), e)
	}
	return onTerminal(raw)
}

// printBody prints the body of a delivery. A terminal gets escaped text, any other
// output the exact bytes.
func printBody(w io.Writer, a *adminClient, query string) error {
	resp, err := a.send(http.MethodGet, queue.AdminBodyPath+"?"+query, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if t, ok := w.(terminal); ok && !isTerminal(t.out) {
		w = t.out
	}
	_, err = io.Copy(w, resp.Body)
	return err
}

func printEntry(w io.Writer, e queue.EntryInfo) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { fmt.Fprintf(table, "%s\t%v\n", name, value) }
	row("queue", e.Queue)
	row("key", e.Key)
	row("state", e.State)
	row("accepted", e.Accepted.Format(time.RFC3339))
	row("age", seconds(e.Age))
	row("attempts", e.Attempts)
	if e.State == "waiting" {
		row("next attempt in", seconds(e.DueIn))
	}
	if e.Last != nil {
		row("last attempt", e.Last.At.Format(time.RFC3339))
		row("last status", e.Last.Status)
		row("last error", e.Last.Error)
	}
	if err := table.Flush(); err != nil || e.Request == nil {
		return err
	}
	r := e.Request
	fmt.Fprintf(w, "\n%s %s\nHost: %s\n", r.Method, r.URI, r.Host)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			fmt.Fprintf(w, "%s: %s\n", name, value)
		}
	}
	switch {
	case r.BodyBase64 != "":
		fmt.Fprintf(w, "\n(%d bytes that are not text; --body prints them)\n", e.BodySize)
	default:
		fmt.Fprintf(w, "\n%s\n", r.Body)
	}
	if r.Truncated {
		fmt.Fprintf(w, "(the body has %d bytes; --body prints all)\n", e.BodySize)
	}
	return nil
}

// queueChangeCommand is `retry` and `discard`.
func queueChangeCommand(action, short, long string) *cobra.Command {
	var (
		a           adminClient
		f           queueFilter
		all, dryRun bool
		asJSON      bool
	)
	cmd := &cobra.Command{
		Use:   action + " <queue> [<key>...]",
		Short: short,
		Long: long + `

Name the deliveries by their keys, select them with flags, or write --all. Write
--dry-run first: it prints how many deliveries would be changed, and some of them.`,
		Example: fmt.Sprintf(`  caddy verify-webhook queue %[1]s orders 4f1c…
  caddy verify-webhook queue %[1]s orders --state dead --status 500 --dry-run`, action),
		Args: cobra.MinimumNArgs(1),
	}
	a.add(cmd)
	f.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all dead and waiting deliveries of the queue")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "change nothing, print what would be changed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		change := queue.Change{Action: action, Queue: args[0], Keys: args[1:], DryRun: dryRun}
		switch {
		case len(change.Keys) > 0 && (all || !f.empty()):
			return errors.New("keys and flags that select deliveries cannot be combined")
		case len(change.Keys) == 0 && !all && f.empty():
			return fmt.Errorf("missing keys: write keys, flags that select deliveries, or --all; for example: queue %s %s --state dead --dry-run", action, args[0])
		case len(change.Keys) == 0:
			var err error
			if change.Filter, err = f.filter(); err != nil {
				return err
			}
		}
		var changed queue.Changed
		if err := a.ask(http.MethodPost, queue.AdminChangePath, change, &changed); err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), changed)
		}
		return printChanged(cmd.OutOrStdout(), action, changed, dryRun)
	}
	return onTerminal(cmd)
}

func printChanged(w io.Writer, action string, changed queue.Changed, dryRun bool) error {
	done := map[string]string{"retry": "made due now", "discard": "discarded"}[action]
	if !dryRun {
		fmt.Fprintf(w, "%s: %s\n", done, deliveries(changed.Count))
		return nil
	}
	fmt.Fprintf(w, "would be %s: %s\n", done, deliveries(changed.Count))
	if len(changed.Sample) == 0 {
		return nil
	}
	if err := printEntries(w, changed.Sample); err != nil {
		return err
	}
	if more := changed.Count - len(changed.Sample); more > 0 {
		fmt.Fprintf(w, "… and %d more\n", more)
	}
	return nil
}

func deliveries(n int) string {
	if n == 1 {
		return "1 delivery"
	}
	return fmt.Sprintf("%d deliveries", n)
}

// queuePauseCommand is `pause` and `resume`.
func queuePauseCommand(action, short string) *cobra.Command {
	var (
		a      adminClient
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   action + " <queue>",
		Short: short,
		Long: short + `. A queue stays paused across restarts, and in
every Caddy instance that shares it. Attempts in flight continue.`,
		Example: fmt.Sprintf(`  caddy verify-webhook queue %s orders`, action),
		Args:    cobra.ExactArgs(1),
	}
	a.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		var changed queue.Changed
		if err := a.ask(http.MethodPost, queue.AdminChangePath, queue.Change{Action: action, Queue: args[0]}, &changed); err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), map[string]any{"queue": args[0], "paused": action == "pause"})
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", args[0], map[string]string{"pause": "paused", "resume": "delivering again"}[action])
		return nil
	}
	return onTerminal(cmd)
}
