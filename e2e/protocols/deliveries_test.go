package protocols

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
	"golang.org/x/sync/errgroup"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

// client returns a client for one protocol.
func (s *site) client(t *testing.T, protocol string) *http.Client {
	t.Helper()
	if protocol == "HTTP/3.0" {
		transport := &http3.Transport{TLSClientConfig: s.tls.Clone()}
		t.Cleanup(func() { _ = transport.Close() })
		return &http.Client{Transport: onLoopback{transport}, Timeout: patience}
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(protocol == "HTTP/1.1")
	protocols.SetHTTP2(protocol == "HTTP/2.0")
	transport := &http.Transport{TLSClientConfig: s.tls.Clone(), Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: onLoopback{transport}, Timeout: patience}
}

// onLoopback connects to 127.0.0.1 instead of localhost, which can resolve to ::1.
type onLoopback struct{ http.RoundTripper }

func (o onLoopback) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host, r.URL.Host = r.URL.Host, strings.Replace(r.URL.Host, "localhost", "127.0.0.1", 1)
	return o.RoundTripper.RoundTrip(r)
}

// send sends a delivery to an endpoint, with or without a known length. It returns the
// status and the outcome in Caddy's log.
func (s *site) send(t *testing.T, client *http.Client, protocol, endpoint string, d delivery.Delivery, length bool, more ...string) (int, string) {
	t.Helper()
	var body io.Reader = bytes.NewReader(d.Body)
	if !length {
		body = struct{ io.Reader }{body}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.authority+endpoint, body)
	if err != nil {
		t.Fatal(err)
	}
	mark := s.newMark()
	r.Header = d.Header.Clone()
	r.Header.Set(sidecar.Mark, mark)
	for i := 0; i < len(more); i += 2 {
		r.Header.Set(more[i], more[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.Proto != protocol {
		t.Errorf("the response uses %s", resp.Proto)
	}
	return resp.StatusCode, s.outcome(t, mark)
}

// Real clients get the same results over each protocol as over HTTP/1.1.
func TestEveryProtocolHasTheSameOutcomes(t *testing.T) {
	s := startSite(t)
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"} {
		t.Run(protocol, func(t *testing.T) {
			client := s.client(t, protocol)
			github := func(id string, body string) delivery.Delivery {
				return delivery.GitHub(githubSecret, protocol+id, "push", []byte(body+protocol+id))
			}
			stripe := func(id string, at time.Time) delivery.Delivery {
				return delivery.Stripe(stripeSecret, at, []byte(`{"id":"`+protocol+id+`","object":"event","type":"invoice.paid"}`))
			}
			now, large := time.Now(), strings.Repeat("x", 2<<20)
			const refused = http.StatusTeapot // from the app, through the error route
			for _, test := range []struct {
				name, endpoint string
				delivery       delivery.Delivery
				header         string // to set
				status         int
				outcome        string
			}{
				{"first", "github", github("1", ""), "", 202, "verified"},
				{"again", "github", github("1", ""), "", 200, "duplicate"},
				{"another ID", "github", github("1", "").With("X-Github-Delivery", "other"), "", 200, "replayed"},
				{"in a temporary file", "github", github("2", large), "", 202, "verified"},
				{"with Expect", "github", github("3", ""), "Expect: 100-continue", 202, "verified"},
				{"with a forged identity header", "github", github("4", ""), "Webhook-Verified-Id: " + forged, 202, "verified"},
				{"one bit changed", "github", github("5", forged).Altered(), "", refused, "invalid_signature"},
				{"another secret", "github", delivery.GitHub("other", "6", "push", []byte(forged)), "", refused, "invalid_signature"},
				{"no signature", "github", github("7", forged).Without("X-Hub-Signature-256"), "", refused, "missing_signature"},
				{"an unreadable signature", "github", github("8", forged).With("X-Hub-Signature-256", "sha256=xyz"), "", refused, "malformed"},
				{"fresh", "stripe", stripe("1", now), "", 202, "verified"},
				{"fresh, again", "stripe", stripe("1", now), "", 200, "duplicate"},
				{"stale", "stripe", stripe("2", now.Add(-time.Hour)), "", refused, "stale"},
				{"from the future", "stripe", stripe("3", now.Add(time.Hour)), "", refused, "stale"},
				{"too large", "github", github("9", strings.Repeat(forged, 1<<20)), "", refused, "too_large"},
			} {
				header, value, found := strings.Cut(test.header, ": ")
				var more []string
				if found {
					more = []string{header, value}
				}
				if test.outcome == "too_large" && protocol != "HTTP/1.1" {
					continue // the server may reset the stream: the attacks test this
				}
				status, outcome := s.send(t, client, protocol, "/plain/"+test.endpoint, test.delivery, test.name != "in a temporary file", more...)
				if status != test.status || outcome != test.outcome {
					t.Errorf("%s: %d (%s), want %d (%s)", test.name, status, outcome, test.status, test.outcome)
				}
			}
			for _, length := range []bool{true, false} { // 0, and -1
				empty := delivery.GitHub(githubSecret, protocol, "push", nil)
				status, outcome := s.send(t, client, protocol, "/plain/github", empty, length)
				if outcome != "verified" && outcome != "duplicate" && outcome != "replayed" {
					t.Errorf("empty, known length %t: %d (%s)", length, status, outcome)
				}
			}
		})
	}
}

// Only one of many concurrent copies reaches the app.
func TestInvariant07OnlyOneOfManyCopiesOverOneConnectionReachesTheApp(t *testing.T) {
	const copies = 40
	s := startSite(t)
	for _, protocol := range []string{"HTTP/2.0", "HTTP/3.0"} {
		t.Run(protocol, func(t *testing.T) {
			client, before := s.client(t, protocol), len(s.seen())
			release := s.hold(t)
			mark := s.newMark()
			d := delivery.GitHub(githubSecret, "copies", "push", []byte("copies over "+protocol)).With(sidecar.Mark, mark)
			d.Path = "/plain/github"
			group, ctx := errgroup.WithContext(t.Context())
			for range copies {
				group.Go(func() error { return oneOf(ctx, client, s, d) })
			}
			select {
			case <-s.arrived:
			case <-ctx.Done(): // a copy failed
			}
			release()
			if err := group.Wait(); err != nil {
				t.Fatal(err)
			}
			verified := 0
			for _, outcome := range s.outcomes(t, mark, copies) {
				if outcome == "verified" {
					verified++
				}
			}
			if n := len(s.seen()) - before; n != 1 || verified != 1 {
				t.Errorf("%d copies reached the app, %d were verified", n, verified)
			}
		})
	}
}

func oneOf(ctx context.Context, client *http.Client, s *site, d delivery.Delivery) error {
	answer, err := d.Send(ctx, client, "https://"+s.authority)
	if err == nil && answer.Status != http.StatusAccepted && answer.Status != http.StatusOK {
		err = fmt.Errorf("a copy got %d", answer.Status)
	}
	return err
}
