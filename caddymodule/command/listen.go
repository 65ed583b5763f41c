package command

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/listen"
)

func listenCommand() *cobra.Command {
	var f listenFlags
	cmd := &cobra.Command{
		Use:   "listen <url>",
		Short: "Forward deliveries from a public Caddy server to this machine",
		Long: `Connects to a Caddy server with webhook_listeners at <url>, and forwards each
delivery of its webhook_relay to an app on this machine. The app's status is
what the provider gets.

A --to without a path keeps the path that the provider has sent to. Only this
machine is forwarded to, unless --allow-remote is given. While the connection
is lost, the provider gets 503 and tries again later; this command says so and
connects again. It ends with exit code 1 if the token is refused or another
machine starts to listen to the same relay.`,
		Example: `  caddy verify-webhook listen https://hooks.example.com/relay \
    --token env:RELAY_TOKEN --to http://localhost:5000/webhooks/stripe
  caddy verify-webhook listen https://hooks.example.com/relay \
    --token @token --to http://localhost:5000 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			if err := f.run(cmd, args[0]); err != nil {
				return printableError{err}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.token, "token", "", "the token of webhook_listeners: plain, @file, @- or env:NAME")
	flags.StringVar(&f.to, "to", "", "the URL of the app, for example http://localhost:5000/webhooks/stripe")
	flags.BoolVar(&f.json, "json", false, "print a JSON object for each event")
	flags.BoolVar(&f.allowRemote, "allow-remote", false, "also forward to other machines")
	flags.BoolVar(&f.insecure, "insecure", false, "accept any certificate of <url>, such as one of Caddy's internal CA")
	flags.DurationVar(&f.timeout, "timeout", 5*time.Minute, "time limit for the app")
	return cmd
}

type listenFlags struct {
	token, to         string
	json, allowRemote bool
	insecure          bool
	timeout           time.Duration
}

func (f *listenFlags) run(cmd *cobra.Command, from string) error {
	if err := checkRelayURL(from); err != nil {
		return err
	}
	to, err := f.target()
	if err != nil {
		return err
	}
	if f.token == "" {
		return errors.New("missing --token: write the token of webhook_listeners, for example --token env:RELAY_TOKEN")
	}
	token, err := readSecret(f.token, cmd.InOrStdin())
	if err != nil {
		return fmt.Errorf("--token: %w", err)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second interrupt ends the program at once, without waiting for the app.
	context.AfterFunc(ctx, stop)
	return (&listen.Listener{
		From: from, Token: token, To: to,
		Remote: f.remote(strings.HasPrefix(from, "http://")), Local: f.local(),
		Report: reporter(cmd.OutOrStdout(), f.json),
	}).Run(ctx)
}

// checkRelayURL refuses URLs that would send the token unencrypted.
func checkRelayURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		return fmt.Errorf("%s is not a URL: write, for example, https://hooks.example.com/relay", withoutSecrets(text))
	case u.User != nil:
		return errors.New("the URL contains a user or a password, which are not sent and appear in the list of processes: remove them, and write the token with --token env:NAME")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%s would send the token unencrypted: use https://", withoutSecrets(text))
}

// withoutSecrets returns a URL without what can be a secret: user, password and query.
func withoutSecrets(text string) string {
	text, _, _ = strings.Cut(text, "?")
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "", text
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = "…@" + rest[i+1:]
	}
	if !found {
		return rest
	}
	return scheme + "://" + rest
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || (ip != nil && ip.IsLoopback())
}

func (f *listenFlags) target() (*url.URL, error) {
	if f.to == "" {
		return nil, errors.New("missing --to: write the URL of the app, for example --to http://localhost:5000/webhooks/stripe")
	}
	u, err := url.Parse(f.to)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("--to %s is not a URL: write, for example, http://localhost:5000/webhooks/stripe", withoutSecrets(f.to))
	}
	if !f.allowRemote && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("--to %s is not on this machine: add --allow-remote if it is yours", withoutSecrets(f.to))
	}
	return u, nil
}

// remote is the client for Caddy. Streams last for hours, so only their silence is
// limited. Unencrypted connections go to this machine only, whatever a name
// resolves to and whatever proxy is set.
func (f *listenFlags) remote(plaintext bool) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	proxy := http.ProxyFromEnvironment
	if plaintext {
		dialer.Control, proxy = onlyLoopback, nil
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                 proxy,
			DialContext:           dialer.DialContext,
			DisableCompression:    true,                                        // compression would delay events
			TLSClientConfig:       &tls.Config{InsecureSkipVerify: f.insecure}, // asked for on the command line
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			IdleConnTimeout:       30 * time.Second,
			// On one HTTP/2 connection heartbeats would end with the stream.
			ForceAttemptHTTP2: false,
		},
	}
}

// local is the client for the app. It connects to no other host.
func (f *listenFlags) local() *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if !f.allowRemote {
		dialer.Control = onlyLoopback
	}
	return &http.Client{
		Timeout:       f.timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DialContext: dialer.DialContext, DisableCompression: true, MaxIdleConnsPerHost: 64, TLSClientConfig: &tls.Config{InsecureSkipVerify: f.insecure}},
	}
}

// onlyLoopback refuses connections to other machines. It gets the resolved
// address, whatever the host name.
func onlyLoopback(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s is not this machine: add --allow-remote if it is yours", host)
}

// reporter prints what happens: lines for people, or JSON for programs.
func reporter(out io.Writer, asJSON bool) func(listen.Report) {
	if asJSON {
		return func(r listen.Report) { _ = printJSON(out, r) } // a closed pipe ends the program
	}
	paint := painter(out)
	return func(r listen.Report) {
		at := r.Time.Format(time.TimeOnly)
		if d := r.Delivery; d != nil {
			fmt.Fprintf(out, "%s  %s\n", at, paint(colorOf(d), printable(describe(d))))
			return
		}
		color := red
		if r.Kind == listen.Connected {
			color = green
		}
		fmt.Fprintf(out, "%s  %s\n", at, paint(color, printable(r.Text)))
	}
}

func describe(d *listen.Delivery) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s", d.Outcome, d.Provider)
	for _, part := range []string{d.Event, d.ID} {
		if part != "" {
			b.WriteString("  " + part)
		}
	}
	if d.Status != 0 {
		fmt.Fprintf(&b, "  -> %d in %.0f ms", d.Status, d.Milliseconds)
	}
	if d.Error != "" {
		b.WriteString("  " + d.Error)
	}
	return b.String()
}

func colorOf(d *listen.Delivery) string {
	if d.Error == "" && d.Status >= 200 && d.Status < 300 {
		return green
	}
	return red
}

// Colors of a terminal.
const (
	red   = "\x1b[31m"
	green = "\x1b[32m"
	plain = "\x1b[0m"
)

// painter colors text on a terminal, unless NO_COLOR is set: https://no-color.org.
func painter(out io.Writer) func(color, text string) string {
	if !isTerminal(out) || os.Getenv("NO_COLOR") != "" {
		return func(_, text string) string { return text }
	}
	return func(color, text string) string { return color + text + plain }
}
