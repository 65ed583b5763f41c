package faults

import (
	"testing"

	"golang.org/x/sync/errgroup"
)

// Two Caddy instances that share Redis forward only one of all copies.
func TestCopiesAtTwoCaddyInstancesReachTheAppOnce(t *testing.T) {
	t.Parallel()
	copies, deliveries := times(40, 200), times(50, 500)
	redis := startRedis(t)
	a := startApp(t)
	p := newProvider(t, startSite(t, a, redis.store(), "10s"), startSite(t, a, redis.store(), "10s"))
	var group errgroup.Group
	group.SetLimit(64)
	for range deliveries {
		d := p.next()
		for range copies {
			group.Go(func() error { return p.deliver(t.Context(), d) })
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	f := p.keptWithoutGap(t, a)
	if f.reached != deliveries {
		t.Errorf("%d deliveries reached the app %d times", deliveries, f.reached)
	}
	t.Logf("%d copies of each of %d deliveries over two Caddy instances", copies, deliveries)
}
