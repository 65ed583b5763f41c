package faults

import (
	"net/http"
	"testing"
)

// While Redis is down, deliveries are refused with 503 and Retry-After. None of them is
// lost, and none reaches the app twice.
func TestAnOutageOfRedisOnlyDelays(t *testing.T) {
	t.Parallel()
	outages := times(2, 12)
	redis := startRedis(t)
	a := startApp(t)
	s := startSite(t, a, redis.store(), "6s")
	p := newProvider(t, s)
	p.underLoad(8, func() {
		for range outages {
			a.awaitMore(t, 1+p.pick(200))
			redis.kill()
			p.awaitRefusals(8)
			redis.start()
		}
		a.awaitMore(t, 50)
	})
	p.replayAll()
	f := p.keptWithoutGap(t, a)
	if f.unavailable < 8*outages {
		t.Errorf("only %d deliveries were refused", f.unavailable)
	}
	if n := p.answers[http.StatusOK] + f.unavailable; n != f.sent {
		t.Errorf("%d of %d attempts got a status other than 200 or 503: %v", f.sent-n, f.sent, p.answers)
	}
	t.Logf("redis was killed %d times", outages)
}
