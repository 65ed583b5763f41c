package command

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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
		Short: "Makes genuine deliveries and sends them to a local URL",
		Long: `Makes deliveries as the provider would send them and sends them to --url, each
with a fresh ID. --tamper and --stale send bad ones, which must be refused;
--replay sends each one twice, the second time as somebody would who has seen
the first: it must not reach the app again, unless the provider's content
repeats (see "providers NAME").

Only this machine and private networks are sent to, unless --allow-remote is
given. The exit code is 0 if all answers are as they should be.`,
		Example: `  caddy verify-webhook send github --secret env:GITHUB_WEBHOOK_SECRET --url http://localhost:8080/webhooks/github
  caddy verify-webhook send stripe --secret @secret --count 1000 --parallel 20
  caddy verify-webhook send stripe --secret @secret --replay`,
		Args: cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	f.add(flags)
	bad := mutationFlags(flags)
	flags.BoolVar(&s.replay, "replay", false, "send each one twice, the second time under another ID if that is unsigned")
	flags.IntVar(&s.count, "count", 1, "how many to send")
	flags.IntVar(&s.parallel, "parallel", 1, "how many to send at a time")
	flags.DurationVar(&s.timeout, "timeout", 30*time.Second, "how long to wait for each answer")
	flags.BoolVar(&s.allowRemote, "allow-remote", false, "send to other than local addresses, too")
	flags.BoolVar(&s.insecure, "insecure", false, "accept any certificate, as of `tls internal`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		var err error
		if s.mutation, err = bad(); err != nil {
			return err
		}
		if s.generator, err = f.generator(args[0], cmd); err != nil {
			return err
		}
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
}

// sent is what became of one delivery.
type sent struct {
	id     string
	status int
	took   time.Duration
	again  int // the status of the second time, 0 if there was none
	err    error
}

// run sends all deliveries and prints a line for each.
func (s *sender) run(ctx context.Context, out io.Writer) error {
	if s.count < 1 || s.parallel < 1 {
		return errors.New("--count and --parallel must be 1 or more")
	}
	client := s.client()
	defer client.CloseIdleConnections()
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
	wrong := 0
	for r := range results {
		if !s.asExpected(r) {
			wrong++
		}
		printSent(out, r)
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d were not answered as they should be: %s", wrong, s.count, s.expectation())
	}
	return nil
}

func printSent(out io.Writer, r sent) {
	switch {
	case r.err != nil:
		fmt.Fprintf(out, "%s  %v\n", r.id, r.err)
	case r.again != 0:
		fmt.Fprintf(out, "%s  %d in %s, then %d\n", r.id, r.status, r.took.Round(time.Millisecond), r.again)
	default:
		fmt.Fprintf(out, "%s  %d in %s\n", r.id, r.status, r.took.Round(time.Millisecond))
	}
}

// asExpected tells whether an answer is what the delivery deserves. What
// became of a replay cannot be seen from its status alone: 200 is right for a
// duplicate.
func (s *sender) asExpected(r sent) bool {
	if r.err != nil {
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
	status, err := s.post(ctx, client, r)
	result := sent{id: id, status: status, took: time.Since(start), err: err}
	if s.replay && err == nil {
		result.again, result.err = s.post(ctx, client, s.generator.Again(r))
	}
	return result
}

func (s *sender) post(ctx context.Context, client *http.Client, r *signature.Request) (int, error) {
	req, err := httpRequest(ctx, r)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, err
}

// httpRequest returns what is sent. The URL is the target's, whatever was
// signed.
func httpRequest(ctx context.Context, r *signature.Request) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.Scheme+"://"+r.Host+r.RequestURI, bytes.NewReader(r.Body.Bytes()))
	if err != nil {
		return nil, err
	}
	req.Header = r.Header.Clone()
	return req, nil
}

// client talks to nobody but the host that was named: no proxy, no redirect.
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

// onlyLocal refuses connections to other than local addresses. It sees the
// address that is connected to, whatever name it was found by.
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
