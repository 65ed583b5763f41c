package command

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/inspector"
	"github.com/verify-webhook/caddy-verify-webhook/internal/sse"
)

func watchCommand() *cobra.Command {
	var f watchFlags
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Print deliveries of the running Caddy instance as they arrive",
		Long: `Prints a line for each delivery that arrives at a verify_webhook endpoint of the
running Caddy instance: those that are captured already, then new ones. Refused
deliveries have their reason; "explain" with the number of one says what to
change. While this command runs, the last 500 deliveries are kept in memory.

Colours are used on a terminal unless NO_COLOR is set. With --json, each line
is an object.`,
		Example: `  caddy verify-webhook watch
  caddy verify-webhook watch --outcome refused
  caddy verify-webhook watch --endpoint github --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			if err := f.run(cmd); err != nil {
				return printableError{err}
			}
			return nil
		},
	}
	f.admin.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.endpoint, "endpoint", "", "only this endpoint: its namespace, path or provider")
	flags.StringArrayVar(&f.outcomes, "outcome", nil, "only this outcome; \"refused\" is all that is not accepted; may be repeated")
	flags.StringVar(&f.text, "text", "", "only those with this text in their ID or event type")
	flags.IntVar(&f.count, "count", 0, "end after so many deliveries")
	flags.StringVar(&f.color, "color", "auto", "auto, always or never")
	addJSON(cmd, &f.json)
	return cmd
}

type watchFlags struct {
	admin           adminClient
	endpoint, text  string
	outcomes        []string
	count           int
	color           string
	json            bool
	colored, hinted bool
	printed         int
	last            uint64 // number of the last delivery
	instance        string // of Caddy, whose counters start at 0 when it starts
	out, errors     io.Writer
}

// outcomeRefused represents every outcome that is not accepted.
const outcomeRefused = "refused"

func (f *watchFlags) check() error {
	known := []string{outcomeRefused}
	for _, o := range caddymodule.Outcomes {
		known = append(known, string(o))
	}
	for _, o := range f.outcomes {
		if !slices.Contains(known, o) {
			return usagef("unrecognized outcome: %s%s", o, didYouMean(o, known))
		}
	}
	if !slices.Contains([]string{"auto", "always", "never"}, f.color) {
		return usagef("unrecognized --color: %s; write auto, always or never", f.color)
	}
	return nil
}

// run prints deliveries until it is interrupted. It connects again where Caddy
// reloads or restarts.
func (f *watchFlags) run(cmd *cobra.Command) error {
	if err := f.check(); err != nil {
		return err
	}
	f.out, f.errors = cmd.OutOrStdout(), cmd.ErrOrStderr()
	f.colored = f.color == "always" || f.color == "auto" && os.Getenv("NO_COLOR") == "" && onColorTerminal(f.out)
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for {
		connected, err := f.follow(ctx)
		switch {
		case ctx.Err() != nil || f.finished():
			return nil
		case !connected && f.instance == "":
			return err // it was never connected
		case connected:
			fmt.Fprintln(f.errors, "the connection to Caddy has ended; connecting again")
		}
		if !waitAMoment(ctx) {
			return nil
		}
	}
}

// waitAMoment returns false if the command is interrupted.
func waitAMoment(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Second):
		return true
	}
}

func onColorTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && isTerminal(file)
}

func (f *watchFlags) finished() bool { return f.count > 0 && f.printed >= f.count }

// maxEvent bounds an event of the stream, in bytes.
const maxEvent = 16 << 20

// follow prints what one connection brings. It returns the error that ended it,
// and whether there was one at all.
func (f *watchFlags) follow(ctx context.Context) (connected bool, err error) {
	resp, err := f.admin.send(http.MethodGet, inspector.AdminStreamPath, nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	defer context.AfterFunc(ctx, func() { resp.Body.Close() })()
	events := sse.NewReader(resp.Body, maxEvent)
	for {
		e, err := events.Next()
		if err != nil {
			return true, err
		}
		if err := f.take(e); err != nil || f.finished() {
			return true, err
		}
	}
}

// take prints one event.
func (f *watchFlags) take(e sse.Event) error {
	switch e.Type {
	case "settings":
		var s struct {
			Instance string `json:"instance"`
		}
		if err := json.Unmarshal(e.Data, &s); err != nil {
			return err
		}
		if f.instance != s.Instance {
			f.instance, f.last = s.Instance, 0
		}
	case "missed":
		fmt.Fprintf(f.errors, "%s deliveries came too fast and are not printed\n", printable(string(e.Data)))
	case "deliveries":
		var come []inspector.Summary
		if err := json.Unmarshal(e.Data, &come); err != nil {
			return err
		}
		for i := range come {
			if err := f.print(&come[i]); err != nil || f.finished() {
				return err
			}
		}
	}
	return nil
}

// print prints one delivery, if it is wanted and was not printed before.
func (f *watchFlags) print(d *inspector.Summary) error {
	if d.Number <= f.last {
		return nil
	}
	f.last = d.Number
	if !f.wants(d) {
		return nil
	}
	f.printed++
	if f.json {
		return printJSON(f.out, d)
	}
	_, err := io.WriteString(f.out, f.line(d))
	if err == nil && isRefused(d.Outcome) && !f.hinted {
		f.hinted = true
		fmt.Fprintf(f.errors, "    what to change: caddy verify-webhook explain %d\n", d.Number)
	}
	return err
}

// wants reports whether the filters let a delivery through.
func (f *watchFlags) wants(d *inspector.Summary) bool {
	if f.endpoint != "" && f.endpoint != d.Endpoint && f.endpoint != d.Provider && !pathMatches(f.endpoint, d.Path) {
		return false
	}
	wanted := slices.Contains(f.outcomes, string(d.Outcome)) || isRefused(d.Outcome) && slices.Contains(f.outcomes, outcomeRefused)
	if len(f.outcomes) > 0 && !wanted {
		return false
	}
	text := strings.ToLower(f.text)
	return strings.Contains(strings.ToLower(d.ID), text) || strings.Contains(strings.ToLower(d.Event), text)
}

// isRefused reports whether a delivery was not accepted.
func isRefused(o caddymodule.Outcome) bool {
	switch o {
	case caddymodule.Verified, caddymodule.Duplicate, caddymodule.Replayed, caddymodule.InProgress, caddymodule.Ignored, caddymodule.Handshake:
		return false
	}
	return true
}

// Colours by outcome.
const (
	colorGood = "\x1b[32m"
	colorBad  = "\x1b[31m"
	colorOurs = "\x1b[33m"
	colorDim  = "\x1b[2m"
	colorEnd  = "\x1b[0m"
)

// line is a delivery for people. What a sender wrote has no control characters.
func (f *watchFlags) line(d *inspector.Summary) string {
	color := func(code, text string) string {
		if !f.colored {
			return text
		}
		return code + text + colorEnd
	}
	code := colorDim
	switch {
	case d.Outcome == caddymodule.Verified:
		code = colorGood
	case explainableStatus(d.Response):
		code = colorBad
	case isRefused(d.Outcome):
		code = colorOurs
	}
	parts := []string{
		fmt.Sprintf("%4d", d.Number), color(colorDim, d.Time.Local().Format(time.TimeOnly)), color(code, fmt.Sprintf("%-17s", d.Outcome)),
		printable(d.Endpoint), printable(d.Method + " " + d.Path),
	}
	if d.Event != "" {
		parts = append(parts, printable(d.Event))
	}
	if d.ID != "" {
		parts = append(parts, printable(d.ID))
	}
	if d.Size >= 0 {
		parts = append(parts, fmt.Sprintf("%d B", d.Size))
	}
	if d.AppStatus != 0 {
		parts = append(parts, fmt.Sprintf("app %d in %.1f ms", d.AppStatus, d.AppTime))
	} else if d.Response != 0 {
		parts = append(parts, fmt.Sprintf("answered %d", d.Response))
	}
	parts = append(parts, color(colorDim, printable(d.RemoteAddr)))
	text := strings.Join(parts, "  ") + "\n"
	if isRefused(d.Outcome) && d.Reason != "" {
		text += "      " + printable(d.Reason) + "\n"
	}
	return text
}

// explainableStatus reports whether the sender got an error that is its own.
func explainableStatus(status int) bool { return status >= 400 && status < 500 }
