package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
)

// TestReloadsUnderLoadLoseNothingAndRepeatNothing sends deliveries, each of them
// twice, while the config is loaded anew again and again.
func TestReloadsUnderLoadLoseNothingAndRepeatNothing(t *testing.T) {
	const (
		reloads = 50
		senders = 2
	)
	s := startSite(t)
	s.client.Transport = &http.Transport{DisableKeepAlives: true} // as providers do

	group, ctx := errgroup.WithContext(t.Context())
	loading, done := context.WithCancel(ctx)
	var sent atomic.Int64
	for range senders {
		group.Go(func() error {
			for loading.Err() == nil {
				if err := s.sendTwice(ctx, github(fmt.Sprintf("d-%d", sent.Add(1)))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer done()
		for range reloads {
			if err := s.caddy.Reload(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}

	times := make(map[string]int)
	for _, r := range s.seen() {
		times[r.Header.Get("Webhook-Verified-Id")]++
	}
	for i := range sent.Load() {
		if id := fmt.Sprintf("d-%d", i+1); times[id] != 1 {
			t.Errorf("delivery %s was handed over %d times", id, times[id])
		}
	}
	t.Logf("%d deliveries, each sent twice, during %d reloads", sent.Load(), reloads)
}

func (s *site) sendTwice(ctx context.Context, d delivery.Delivery) error {
	for _, attempt := range []string{"first", "second"} {
		status, err := s.sendUntilAnswered(ctx, d)
		if err != nil {
			return fmt.Errorf("%s attempt: %w", attempt, err)
		}
		if status != http.StatusOK {
			return fmt.Errorf("%s attempt: answered %d", attempt, status)
		}
	}
	return nil
}

// sendUntilAnswered sends again when the connection is lost without an answer, as
// every provider does. Caddy itself loses a few on a reload: connections that the
// old server's socket had not accepted yet are reset by the kernel.
func (s *site) sendUntilAnswered(ctx context.Context, d delivery.Delivery) (int, error) {
	const attempts = 5
	ctx, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	var lost error
	for range attempts {
		answer, err := d.Send(ctx, s.client, s.url)
		if err == nil {
			return answer.Status, nil
		}
		lost = err
	}
	return 0, lost
}
