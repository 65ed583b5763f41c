package faults

import "testing"

// After kill -9, acknowledged deliveries never reach the app again, and others are
// forwarded after their lease has expired.
func TestInvariant08CrashesForgetNoAcknowledgedDeliveryAndBlockNoOther(t *testing.T) {
	t.Parallel()
	stores := []struct {
		name    string
		store   func(*testing.T) string
		crashes int
	}{
		{"file", func(*testing.T) string { return "file STATE/replays.db" }, times(5, 60)},
		{"redis", func(t *testing.T) string { return startRedis(t).store() }, times(4, 40)},
	}
	for _, test := range stores {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := startApp(t)
			s := startSite(t, a, test.store(t), "1s")
			p := newProvider(t, s)
			p.underLoad(8, func() {
				for range test.crashes {
					a.awaitMore(t, 1+p.pick(100))
					s.crash()
				}
			})
			p.replayAll()
			f := p.kept(t, a)
			if f.denied > 0 {
				t.Errorf("%d attempts reached the app but got 503", f.denied)
			}
			t.Logf("caddy was killed %d times", test.crashes)
		})
	}
}
