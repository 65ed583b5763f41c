package command

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/internal/generator"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func sendCommand() *cobra.Command {
	var f generatorFlags
	var s sender
	cmd := &cobra.Command{
		Use:   "send <provider>",
		Short: "Send genuine deliveries to a local URL, and print their outcomes",
		Long: `Makes deliveries like the provider's and sends them to --url, each
with a fresh ID. --tamper and --stale send bad ones, which must be refused;
--replay sends each one twice, the second time as an attacker would who has
seen the first: it must not reach the app again, unless the provider's content
repeats (see "providers <name>").

If the Caddy instance that serves the URL runs on this machine with its admin
API, outcome and reason of each delivery are printed, and it is an error if no
verify_webhook endpoint has seen it. With --count, a summary follows.

Only this machine and private networks are sent to, unless --allow-remote is
given. Exit codes: 0 all answers are as they should be, 1 they are not, 2 wrong
usage.`,
		Example: `  caddy verify-webhook send github --secret env:GITHUB_WEBHOOK_SECRET \
    --url http://localhost:8080/webhooks/github
  caddy verify-webhook send stripe --secret @secret --count 1000 \
    --parallel 20 --quiet
  caddy verify-webhook send stripe --secret @secret --replay`,
		Args: cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	f.add(flags)
	bad := mutationFlags(flags)
	flags.BoolVar(&s.replay, "replay", false, "send each one twice, the second time under another ID if the ID is unsigned")
	flags.IntVar(&s.count, "count", 1, "how many to send")
	flags.IntVar(&s.parallel, "parallel", 1, "how many to send at once")
	flags.DurationVar(&s.timeout, "timeout", 30*time.Second, "how long to wait for each response")
	flags.BoolVar(&s.allowRemote, "allow-remote", false, "also send to addresses that are not local")
	flags.BoolVar(&s.insecure, "insecure", false, "accept any certificate, such as that of 'tls internal'")
	flags.BoolVar(&s.quiet, "quiet", false, "print only the summary")
	flags.StringVar(&s.address, "address", "", "address of Caddy's admin API, if not the default")
	addJSON(cmd, &s.json)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		var err error
		if s.mutation, err = bad(); err != nil {
			return err
		}
		if s.generator, err = f.generator(args[0], cmd); err != nil {
			return err
		}
		s.progress = newProgress(cmd.ErrOrStderr(), s.count)
		return s.run(cmd.Context(), cmd.OutOrStdout())
	}
	return onTerminal(cmd)
}

// sender sends deliveries.
type sender struct {
	generator             *generator.Generator
	mutation              generator.Mutation
	replay                bool
	count, parallel       int
	timeout               time.Duration
	allowRemote, insecure bool
	quiet, json           bool
	address               string
	progress              *progress
	outcomes              *outcomes // nil: no running instance to query
}

// sent is the result of one delivery.
type sent struct {
	id     string
	status int
	took   time.Duration
	again  int // the status of the second time, 0 if there was none
	err    error
	// outcome and reason are Caddy's, againOutcome is that of the second time.
	// They are empty if unknown.
	outcome, reason, againOutcome string
	// unseen: no verify_webhook endpoint of the running instance has received it.
	unseen bool
}

// run sends all deliveries and prints a line for each.
func (s *sender) run(ctx context.Context, out io.Writer) error {
	if s.count < 1 || s.parallel < 1 {
		return usagef("--count and --parallel must be 1 or more")
	}
	if s.progress == nil {
		s.progress = newProgress(io.Discard, s.count)
	}
	client := s.client()
	defer client.CloseIdleConnections()
	s.outcomes = askOutcomes(s.address, s.generator.Target())
	begun := time.Now()
	tally := newSendTally()
	for r := range s.sendAll(ctx, client) {
		expected := s.asExpected(r)
		tally.add(r, expected)
		if !s.quiet {
			s.progress.clear()
			s.print(out, r, expected)
		}
		s.progress.step()
	}
	s.progress.clear()
	s.summarize(out, tally, time.Since(begun))
	if tally.unseen > 0 {
		return s.nothingThere()
	}
	if tally.wrong > 0 {
		return fmt.Errorf("%d of %d did not get the expected response: %s", tally.wrong, s.count, s.expectation())
	}
	return nil
}

// sendAll sends the deliveries, some of them at once.
func (s *sender) sendAll(ctx context.Context, client *http.Client) <-chan sent {
	results := make(chan sent)
	places := make(chan struct{}, s.parallel)
	go func() {
		var running sync.WaitGroup
		for range s.count {
			places <- struct{}{}
			running.Go(func() {
				results <- s.send(ctx, client)
				<-places
			})
		}
		running.Wait()
		close(results)
	}()
	return results
}

// nothingThere is the error for a URL at which nothing verifies webhooks.
func (s *sender) nothingThere() error {
	known := "the running config has no endpoint"
	if len(s.outcomes.names) > 0 {
		known = "the running config has: " + strings.Join(s.outcomes.names, ", ")
	}
	return fmt.Errorf("no endpoint at %s has received the delivery, whatever the status: write the path of an endpoint in --url; %s", s.generator.Target().Path, known)
}

// sendTally counts outcomes or, if unknown, statuses.
type sendTally struct {
	sent, wrong, unseen int
	by                  map[string]int
}

func newSendTally() *sendTally { return &sendTally{by: make(map[string]int)} }

func (t *sendTally) add(r sent, expected bool) {
	t.sent++
	if !expected {
		t.wrong++
	}
	if r.unseen {
		t.unseen++
	}
	t.by[r.kind()]++
}

// kind is the outcome or status by which a result is counted.
func (r sent) kind() string {
	switch {
	case r.err != nil:
		return "failed"
	case r.unseen:
		return "not verified"
	case r.outcome != "":
		return r.outcome
	default:
		return strconv.Itoa(r.status)
	}
}

// String returns one line.
func (t *sendTally) String() string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(t.by)) {
		parts = append(parts, fmt.Sprintf("%d %s", t.by[kind], kind))
	}
	return strings.Join(parts, ", ")
}

// summarize prints one line for all deliveries, if there were several.
func (s *sender) summarize(out io.Writer, t *sendTally, took time.Duration) {
	if s.json {
		_ = printJSON(out, map[string]any{"summary": map[string]any{"sent": t.sent, "as_expected": t.sent - t.wrong, "outcomes": t.by, "seconds": took.Seconds()}})
		return
	}
	if s.count == 1 && !s.quiet {
		return
	}
	fmt.Fprintf(out, "%d sent in %s: %s\n", t.sent, took.Round(time.Millisecond), t)
}

func (s *sender) print(out io.Writer, r sent, expected bool) {
	if !s.json {
		printSent(out, r)
		return
	}
	line := map[string]any{"id": r.id, "as_expected": expected}
	add := func(name string, value any, there bool) {
		if there {
			line[name] = value
		}
	}
	add("status", r.status, r.status != 0)
	add("milliseconds", r.took.Milliseconds(), r.err == nil)
	add("outcome", r.outcome, r.outcome != "")
	add("reason", r.reason, r.reason != "")
	add("again_status", r.again, r.again != 0)
	add("again_outcome", r.againOutcome, r.againOutcome != "")
	add("verified_by_none", true, r.unseen)
	if r.err != nil {
		line["error"] = r.err.Error()
	}
	_ = printJSON(out, line)
}

func printSent(out io.Writer, r sent) {
	if r.err != nil {
		fmt.Fprintf(out, "%s  %v\n", r.id, r.err)
		return
	}
	line := fmt.Sprintf("%s  %d in %s", r.id, r.status, r.took.Round(time.Millisecond))
	switch {
	case r.unseen:
		line += "  not verified by any endpoint"
	case r.outcome != "":
		line += "  " + r.outcome
	}
	if r.reason != "" {
		line += ": " + r.reason
	}
	if r.again != 0 {
		line += fmt.Sprintf(", then %d", r.again)
	}
	if r.againOutcome != "" {
		line += " " + r.againOutcome
	}
	fmt.Fprintln(out, line)
}

// asExpected reports whether the response is the expected one. The status of a
// replay does not show its outcome: 200 is right for a duplicate.
func (s *sender) asExpected(r sent) bool {
	if r.err != nil || r.unseen {
		return false
	}
	if s.mutation != generator.Genuine {
		return r.status >= 400 && r.status < 500
	}
	return r.status < 300 && (!s.replay || r.again == http.StatusConflict || r.again < 300)
}

func (s *sender) expectation() string {
	switch {
	case s.mutation != generator.Genuine:
		return "a bad delivery must be refused (4xx)"
	case s.replay:
		return "2xx, and for the second time 2xx (as a duplicate) or 409"
	}
	return "2xx"
}

func (s *sender) send(ctx context.Context, client *http.Client) sent {
	id := s.generator.FreshID()
	r, err := s.generator.Make(s.mutation, id)
	if err != nil {
		return sent{id: id, err: err}
	}
	start := time.Now()
	first, err := s.post(ctx, client, r)
	result := sent{id: id, status: first.status, took: time.Since(start), err: err}
	if err != nil {
		return result
	}
	result.outcome, result.reason, result.unseen = s.outcomeOf(ctx, first)
	if s.replay {
		second, err := s.post(ctx, client, s.generator.Again(r))
		if err != nil {
			result.err = err
			return result
		}
		result.again = second.status
		result.againOutcome, _, _ = s.outcomeOf(ctx, second)
	}
	return result
}

// maxAsked is the number of deliveries up to which each outcome is queried. With
// more, the queries would affect the measured time.
const maxAsked = 200

// outcomeOf returns outcome and reason of a delivery, and whether no endpoint of
// the running instance has received it.
func (s *sender) outcomeOf(ctx context.Context, p posted) (outcome, reason string, unseen bool) {
	if s.outcomes == nil || s.count > maxAsked {
		return p.outcome, "", false
	}
	found := s.outcomes.next(ctx, p.from)
	if found == nil {
		return "", "", true
	}
	return string(found.Outcome), found.Reason, false
}

// posted is one response.
type posted struct {
	status  int
	outcome string // from the response header
	from    string // the address that the request was sent from
}

func (s *sender) post(ctx context.Context, client *http.Client, r *signature.Request) (posted, error) {
	var p posted
	req, err := httpRequest(localAddress(ctx, &p.from), r)
	if err != nil {
		return p, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return p, err
	}
	defer resp.Body.Close()
	p.status, p.outcome = resp.StatusCode, resp.Header.Get("Webhook-Verified-Outcome")
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return p, err
}

// httpRequest returns the request to send. The URL is the target's, whatever URL
// was signed.
func httpRequest(ctx context.Context, r *signature.Request) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.Scheme+"://"+r.Host+r.RequestURI, bytes.NewReader(r.Body.Bytes()))
	if err != nil {
		return nil, err
	}
	req.Header = r.Header.Clone()
	return req, nil
}

// client connects only to the given host: no proxy, no redirect.
func (s *sender) client() *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if !s.allowRemote {
		dialer.Control = onlyLocal
	}
	return &http.Client{
		Timeout:       s.timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:         dialer.DialContext,
			TLSClientConfig:     &tls.Config{InsecureSkipVerify: s.insecure}, // asked for on the command line
			MaxIdleConnsPerHost: s.parallel,
		},
	}
}

// onlyLocal refuses connections to addresses that are not local. It gets the
// resolved address, whatever the host name.
func onlyLocal(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	ip := net.ParseIP(host)
	if ip != nil && (ip.IsLoopback() || ip.IsPrivate()) {
		return nil
	}
	return fmt.Errorf("%s is not a local address: add --allow-remote if the endpoint there is yours", host)
}
