package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
)

// queueStores are the engines, each with a separate server.
var queueStores = []struct {
	name string
	on   func(*testing.T) (queueStore, *redisServer)
}{
	{"file", func(*testing.T) (queueStore, *redisServer) { return queueFile, nil }},
	{"redis", func(t *testing.T) (queueStore, *redisServer) {
		r := startRedis(t)
		return r.queueStore(), r
	}},
}

// Acknowledged deliveries are delivered after any crash of Caddy and any failure of the
// app. The app handles a delivery twice only if Caddy died between the app's work and the
// record of it.
func TestQueueCrashesLoseNoAcknowledgedDelivery(t *testing.T) {
	t.Parallel()
	for _, test := range queueStores {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := startQueueApp(t)
			a.unreliable = true
			on, _ := test.on(t)
			s := startQueueSite(t, a, on, "")
			p := newProvider(t, s)
			crashes := times(5, 60)
			p.underLoad(8, func() {
				for range crashes {
					a.awaitRequests(t, 1+p.pick(100))
					s.crash()
				}
				a.awaitRequests(t, 20)
			})
			p.replayAll()
			p.settle(t, a, true)
			t.Logf("caddy was killed %d times", crashes)
		})
	}
}

// While Redis is down, the provider gets 503. Deliveries acknowledged before are delivered
// afterwards.
func TestQueueAnOutageOfRedisOnlyDelays(t *testing.T) {
	t.Parallel()
	outages := times(2, 12)
	redis := startRedis(t)
	a := startQueueApp(t)
	s := startQueueSite(t, a, redis.queueStore(), "")
	p := newProvider(t, s)
	p.underLoad(8, func() {
		for range outages {
			a.awaitRequests(t, 1+p.pick(200))
			redis.kill()
			p.awaitRefusals(8)
			redis.start()
		}
		a.awaitRequests(t, 50)
	})
	p.replayAll()
	if f := p.settle(t, a, true); f.unavailable < 8*outages {
		t.Errorf("only %d attempts were refused", f.unavailable)
	}
	t.Logf("redis was killed %d times", outages)
}

// The app is down for the whole run, then up.
func TestQueueStoresDeliveriesWhileTheAppIsDown(t *testing.T) {
	t.Parallel()
	for _, test := range queueStores {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			on, _ := test.on(t)
			a := startQueueApp(t)
			a.Close()
			address := a.Listener.Addr().String()
			s := startQueueSiteFor(t, address, on, "")
			p := newProvider(t, s)
			n := times(200, 60_000)
			sendNew(t, p, n)
			if state := s.state(); state.Waiting+state.InFlight != int64(n) {
				t.Errorf("of %d deliveries, %d are waiting and %d in flight", n, state.Waiting, state.InFlight)
			}
			a.restart(t, address)
			if f := p.settle(t, a, false); f.accepted != n {
				t.Errorf("%d of %d were accepted", f.accepted, n)
			}
		})
	}
}

// sendNew sends n new deliveries until they are acknowledged.
func sendNew(t *testing.T, p *provider, n int) {
	t.Helper()
	var group errgroup.Group
	group.SetLimit(16)
	for range n {
		group.Go(func() error { return p.deliver(t.Context(), p.next()) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// restart restarts the app at the same address.
func (a *queueApp) restart(t *testing.T, address string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		server := httptest.NewUnstartedServer(a)
		listener, err := listenAt(address)
		if err == nil {
			_ = server.Listener.Close()
			server.Listener = listener
			server.Start()
			t.Cleanup(server.Close)
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Reloads, including those that change options of the queue, lose and repeat no delivery.
func TestQueueReloadsUnderLoadLoseNothingAndRepeatNothing(t *testing.T) {
	t.Parallel()
	for _, test := range queueStores {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := startQueueApp(t)
			on, _ := test.on(t)
			s := startQueueSite(t, a, on, "")
			p := newProvider(t, s)
			p.client.Transport = &http.Transport{DisableKeepAlives: true}
			reloads := times(8, 50)
			p.underLoad(4, func() {
				for i := range reloads {
					a.awaitRequests(t, 5)
					s.configureQueue(on, fmt.Sprintf("concurrency %d", 4+i%5))
					s.reload()
				}
			})
			p.replayAll()
			p.settle(t, a, false)
			t.Logf("the config was loaded %d times", reloads)
		})
	}
}

// Two Caddy instances share a queue in Redis. One of them is killed repeatedly, and the
// other delivers what was in flight there.
func TestQueueTwoCaddyInstancesShareRedis(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	a := startQueueApp(t)
	a.unreliable = true
	one, two := startQueueSite(t, a, redis.queueStore(), ""), startQueueSite(t, a, redis.queueStore(), "")
	p := newProvider(t, one, two)
	p.underLoad(8, func() {
		for range times(3, 20) {
			a.awaitRequests(t, 1+p.pick(100))
			two.crash()
		}
		a.awaitRequests(t, 20)
		two.caddy.Kill()
		p.mu.Lock()
		p.urls = p.urls[:1]
		p.mu.Unlock()
	})
	p.settle(t, a, true)
}

// While the disk or the queue is full, deliveries are refused with 503. Acknowledged ones
// are delivered.
func TestQueueAFullDiskOnlyDelays(t *testing.T) {
	t.Parallel()
	a := startQueueApp(t)
	s := startQueueSite(t, a, queueFile, "")
	p := newProvider(t, s)
	p.underLoad(8, func() {
		for i := range times(2, 8) {
			a.awaitRequests(t, 20)
			s.limitFiles(fmt.Sprint(4096 * (i + 1)))
			p.awaitRefusals(30)
			s.limitFiles("unlimited")
		}
		a.awaitRequests(t, 50)
	})
	p.replayAll()
	s.crash()
	if f := p.settle(t, a, true); f.unavailable == 0 {
		t.Error("no delivery was refused: the disk was never full")
	}
}

func TestQueueAFullQueueOnlyDelays(t *testing.T) {
	t.Parallel()
	for _, test := range queueStores {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			on, _ := test.on(t)
			a := startQueueApp(t)
			s := startQueueSite(t, a, on, "max_entries 20")
			s.queue("pause", "orders")
			p := newProvider(t, s)
			p.underLoad(4, func() {
				p.awaitRefusals(20)
				s.queue("resume", "orders")
				a.awaitRequests(t, 50)
			})
			if f := p.settle(t, a, false); f.unavailable < 20 {
				t.Errorf("only %d attempts were refused", f.unavailable)
			}
		})
	}
}

// If the app takes longer than an attempt may, or than the lease in Redis, the delivery
// stays in flight at one Caddy instance.
func TestQueueALeaseIsRenewedWhileTheAppWorks(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	a := startQueueApp(t)
	counting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.ServeHTTP(httptest.NewRecorder(), r)
		time.Sleep(3 * time.Second)
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(counting.Close)
	address := counting.Listener.Addr().String()
	one := startQueueSiteFor(t, address, redis.queueStore(), "timeout 30s")
	two := startQueueSiteFor(t, address, redis.queueStore(), "timeout 30s")
	p := newProvider(t, one, two)
	sendNew(t, p, 10)
	one.awaitState("empty", func(s queueState) bool { return s.Waiting == 0 && s.InFlight == 0 })
	p.settle(t, a, false)
}

// Bodies that do not fit into an entry are delivered completely, also after a crash.
func TestQueueLargeBodiesAreDeliveredCompletely(t *testing.T) {
	t.Parallel()
	for _, test := range queueStores {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			on, _ := test.on(t)
			a := startQueueApp(t)
			s := startQueueSite(t, a, on, "timeout 30s\nmax_bytes 1GiB")
			s.queue("pause", "orders")
			p := newProvider(t, s)
			var ids []string
			for i, size := range []int{0, 1, 64 << 10, 1<<20 + 1, 20 << 20} {
				id := fmt.Sprintf("large-%d", i)
				d := &parcel{id: id, delivery: delivery.GitHub(githubSecret, id, "push", bytes.Repeat([]byte{byte(i)}, size))}
				p.mu.Lock()
				p.parcels = append(p.parcels, d)
				p.mu.Unlock()
				if err := p.deliver(t.Context(), d); err != nil {
					t.Fatal(err)
				}
				ids = append(ids, id)
			}
			s.crash()
			s.queue("resume", "orders")
			p.settle(t, a, false)
			for i, id := range ids {
				if a.sums[id] != sumOf(p.parcels[i].delivery.Body) {
					t.Errorf("%s: the app got a different body", id)
				}
			}
		})
	}
}

// An app that dies during its response does not stop Caddy, neither now nor after a
// restart.
func TestQueueAnAppThatDiesDuringItsResponseDoesNotStopCaddy(t *testing.T) {
	t.Parallel()
	a := startQueueApp(t)
	s := startQueueSite(t, a, queueFile, "retry 200ms")
	p := newProvider(t, s)
	before := s.caddy.PID()
	for _, failure := range []string{"cut short", "reset", "timeout", "status 500"} {
		d := p.next()
		d.delivery = d.delivery.With(faultHeader, failure)
		if err := p.deliver(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	p.settle(t, a, false)
	if err := s.caddy.Command(t.Context(), "version").Run(); err != nil || s.caddy.PID() != before {
		t.Errorf("caddy was restarted: %v", err)
	}
	poisoned := p.next()
	poisoned.delivery = poisoned.delivery.With(faultHeader, "always cut short")
	if err := p.deliver(t.Context(), poisoned); err != nil {
		t.Fatal(err)
	}
	a.awaitRequests(t, 2)
	s.crash()
	a.awaitRequests(t, 3) // the delivery is retried, so Caddy is running
	sendNew(t, p, 20)
	p.settle(t, a, false, poisoned.id)
}

// A delivery that always times out does not delay a thousand others.
func TestQueueAPoisonedDeliveryDoesNotDelayOthers(t *testing.T) {
	t.Parallel()
	for _, test := range queueStores {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			on, _ := test.on(t)
			a := startQueueApp(t)
			s := startQueueSite(t, a, on, "concurrency 2\ntimeout 300ms\ngive_up 5s")
			p := newProvider(t, s)
			poisoned := p.next()
			poisoned.delivery = poisoned.delivery.With(faultHeader, "always timeout")
			if err := p.deliver(t.Context(), poisoned); err != nil {
				t.Fatal(err)
			}
			sendNew(t, p, times(300, 1000))
			p.settle(t, a, false, poisoned.id)
			s.awaitState("without waiting entries", func(s queueState) bool { return s.Dead == 1 && s.Waiting == 0 && s.InFlight == 0 })

			// An operator inspects the delivery, and retries it after the app is repaired.
			var dead []struct {
				State string `json:"state"`
			}
			if err := json.Unmarshal(s.queue("list", "orders", "--state", "dead", "--json"), &dead); err != nil || len(dead) != 1 {
				t.Fatalf("the dead entries are %+v, %v", dead, err)
			}
			if out := string(s.queue("retry", "orders", "--state", "dead", "--dry-run")); !strings.Contains(out, "1") {
				t.Errorf("the dry run prints %s", out)
			}
			a.set(func(a *queueApp) { a.mended = true })
			s.queue("retry", "orders", "--state", "dead")
			if lost := a.awaitHandled([]string{poisoned.id}); len(lost) > 0 {
				t.Error("the dead delivery was not delivered by a manual retry")
			}
		})
	}
}

// Each deliver block gets the deliveries of its queue, also if a reload swaps two blocks
// while entries are waiting.
func TestQueueAReloadThatSwapsTwoQueuesSendsEachToItsOwnApp(t *testing.T) {
	t.Parallel()
	one, two := startQueueApp(t), startQueueApp(t)
	block := func(path, name string, app *queueApp) string {
		return strings.NewReplacer("PATH", path, "NAME", name, "TO", app.Listener.Addr().String()).Replace(`
	route PATH {
		verify_webhook github {
			secret {env.GITHUB_SECRET}
			namespace NAME
		}
		webhook_queue NAME {
			retry 50ms
			deliver {
				reverse_proxy TO
			}
		}
	}`)
	}
	config := func(blocks ...string) string {
		return "{\ngrace_period 5s\nverify_webhook {\nstore file STATE/replays.db\nqueue file STATE/queue.db\n}\n}\nhttp://SITE {\nbind 127.0.0.1\n" + strings.Join(blocks, "") + "\n}\n"
	}
	s := startQueueSite(t, one, queueFile, "")
	s.write(config(block("/webhooks/github", "first", one), block("/second/webhooks/github", "second", two)))
	s.reload()
	s.queue("pause", "first")
	s.queue("pause", "second")
	p := newProvider(t, s)
	sendNew(t, p, 20)
	p.mu.Lock()
	p.urls = []string{s.url + "/second"}
	first := len(p.parcels)
	p.mu.Unlock()
	sendNew(t, p, 20)
	// In another order, with other paths.
	s.write(config(block("/b/webhooks/github", "second", two), block("/a/webhooks/github", "first", one)))
	s.reload()
	s.queue("resume", "first")
	s.queue("resume", "second")
	var ids [2][]string
	for i, d := range p.parcels {
		which := min(1, i/first)
		ids[which] = append(ids[which], d.id)
	}
	if lost := one.awaitHandled(ids[0]); len(lost) > 0 {
		t.Errorf("the first app did not get %v", lost)
	}
	if lost := two.awaitHandled(ids[1]); len(lost) > 0 {
		t.Errorf("the second app did not get %v", lost)
	}
	if len(one.handled) != 20 || len(two.handled) != 20 {
		t.Errorf("the apps got %d and %d deliveries, want 20 each", len(one.handled), len(two.handled))
	}
}
