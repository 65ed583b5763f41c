package faults

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// figures are the counts of a test.
type figures struct {
	deliveries   int
	sent         int // attempts, replays included
	acknowledged int // deliveries whose sender got a 2xx
	reached      int // requests that reached the app
	twice        int // deliveries that reached the app more than once
	again        int // of them, those that were acknowledged before
	denied       int // attempts that reached the app but got 503
	lost         int // deliveries that never reached the app, or were never acknowledged
	unavailable  int // 503s
	unanswered   int // attempts without a response
	blocked      time.Duration
}

func (f figures) String() string {
	return fmt.Sprintf("%d deliveries, %d sent (%d answered 503, %d not answered), %d acknowledged, %d reached the app, %d twice (%d of them after being acknowledged), %d lost; a lost attempt blocked its retry for up to %v",
		f.deliveries, f.sent, f.unavailable, f.unanswered, f.acknowledged, f.reached, f.twice, f.again, f.lost, f.blocked.Round(time.Millisecond))
}

// count compares the records of the provider with those of the app.
func count(p *provider, a *app) figures {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := figures{
		deliveries: len(p.parcels), acknowledged: len(p.acknowledged), blocked: p.blocked,
		unavailable: p.answers[http.StatusServiceUnavailable], unanswered: p.answers[0],
	}
	for _, d := range p.parcels {
		arrivals := a.reachedBy(d.id)
		f.sent += len(d.statuses)
		f.reached += len(arrivals)
		if len(arrivals) == 0 || d.known == 0 {
			f.lost++
		}
		if len(arrivals) > 1 {
			f.twice++
		}
		late := false
		for _, attempt := range arrivals {
			late = late || (d.known > 0 && attempt > d.known)
			if d.statuses[attempt-1] == http.StatusServiceUnavailable {
				f.denied++
			}
		}
		if late {
			f.again++
		}
	}
	return f
}

// kept prints the figures and fails the test if a guarantee was violated.
func (p *provider) kept(t *testing.T, a *app) figures {
	t.Helper()
	f := count(p, a)
	t.Log(f)
	if f.again > 0 {
		t.Errorf("%d acknowledged deliveries reached the app again", f.again)
	}
	if f.lost > 0 {
		t.Errorf("%d deliveries were lost", f.lost)
	}
	if p.hasty > 0 {
		t.Errorf("%d responses with 503 had no Retry-After", p.hasty)
	}
	return f
}

// keptWithoutGap is kept for tests in which Caddy never dies: then no delivery reaches
// the app twice, acknowledged or not.
func (p *provider) keptWithoutGap(t *testing.T, a *app) figures {
	t.Helper()
	f := p.kept(t, a)
	if f.twice > 0 {
		t.Errorf("%d deliveries reached the app twice", f.twice)
	}
	if f.denied > 0 {
		t.Errorf("%d attempts reached the app but got 503", f.denied)
	}
	return f
}
