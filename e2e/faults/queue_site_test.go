package faults

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/e2e/prepared"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

const queueCaddyfile = `
{
	grace_period 5s
	log {
		level WARN
	}
	verify_webhook {
		store STORE
		queue QUEUE
	}
}

http://SITE {
	bind 127.0.0.1
	route /webhooks/github {
		verify_webhook github {
			secret {env.GITHUB_SECRET}
			max_body 64MiB
			replay {
				lease 1s
				wait 200ms
			}
		}
		webhook_queue orders {
			OPTIONS
			deliver {
				reverse_proxy APP
			}
		}
	}
}
`

// queueStore is the stores of a site, for handled deliveries and for its queue.
type queueStore struct{ replay, queue string }

var queueFile = queueStore{"file STATE/replays.db", "file STATE/queue.db"}

// on returns the stores of a Redis server.
func (r *redisServer) queueStore() queueStore {
	return queueStore{r.store(), "redis redis://" + r.address + "/0"}
}

// startQueueSite starts a Caddy with a queue in front of the app. options are options of
// the webhook_queue block, one per line.
func startQueueSite(t *testing.T, a *queueApp, on queueStore, options string) *site {
	t.Helper()
	return startQueueSiteFor(t, a.Listener.Addr().String(), on, options)
}

func startQueueSiteFor(t *testing.T, app string, on queueStore, options string) *site {
	t.Helper()
	address, folder := process.Address(t), t.TempDir()
	s := &site{t: t, url: "http://" + address}
	s.fill = strings.NewReplacer("SITE", address, "APP", app, "STATE", folder)
	s.config = sidecar.Config{
		Binary: prepared.Caddy(t), Caddyfile: filepath.Join(folder, "Caddyfile"), State: folder,
		Env: []string{"GITHUB_SECRET=" + githubSecret},
	}
	s.configureQueue(on, options)
	s.start()
	return s
}

func (s *site) configureQueue(on queueStore, options string) {
	for _, usual := range []string{"retry 20ms 50ms 100ms", "timeout 1s"} {
		if name, _, _ := strings.Cut(usual, " "); !strings.Contains(options, name+" ") {
			options += "\n" + usual
		}
	}
	s.write(strings.NewReplacer("STORE", on.replay, "QUEUE", on.queue, "OPTIONS", options).Replace(queueCaddyfile))
}

// queueFigures are the counts of a queue test.
type queueFigures struct {
	accepted, handled, twice, lost, dead, unavailable, unanswered int
}

func (f queueFigures) String() string {
	return fmt.Sprintf("%d accepted (%d attempts answered 503, %d not answered), %d handled by the app, %d twice, %d lost, %d dead",
		f.accepted, f.unavailable, f.unanswered, f.handled, f.twice, f.lost, f.dead)
}

// settle waits until the app has handled all accepted deliveries, prints the figures, and
// fails the test if an acknowledged delivery is lost. twice is whether the app may have
// handled a delivery twice, which is allowed only if Caddy or the store died between the
// app's work and its record.
func (p *provider) settle(t *testing.T, a *queueApp, mayRepeat bool, dead ...string) queueFigures {
	t.Helper()
	p.mu.Lock()
	var ids []string
	for _, d := range p.acknowledged {
		if !slices.Contains(dead, d.id) {
			ids = append(ids, d.id)
		}
	}
	f := queueFigures{accepted: len(p.acknowledged), unavailable: p.answers[503], unanswered: p.answers[0], dead: len(dead)}
	hasty := p.hasty
	p.mu.Unlock()
	lost := a.awaitHandled(ids)
	f.lost = len(lost)
	a.mu.Lock()
	for _, n := range a.handled {
		f.handled++
		if n > 1 {
			f.twice++
		}
	}
	wrong := a.wrong
	a.mu.Unlock()
	t.Log(f)
	if f.lost > 0 {
		t.Errorf("%d acknowledged deliveries were lost, the first of them %v", f.lost, lost[:min(5, len(lost))])
	}
	if f.twice > 0 && !mayRepeat {
		t.Errorf("the app handled %d deliveries twice", f.twice)
	}
	if hasty > 0 {
		t.Errorf("%d responses with 503 had no Retry-After", hasty)
	}
	if len(wrong) > 0 {
		t.Errorf("%d requests were invalid: %v", len(wrong), wrong[0])
	}
	return f
}

// queueState is the state of a queue in `caddy verify-webhook queue --json`.
type queueState struct {
	Waiting  int64 `json:"waiting"`
	InFlight int64 `json:"in_flight"`
	Dead     int64 `json:"dead"`
}

// queue runs a command on the running Caddy.
func (s *site) queue(args ...string) []byte {
	s.t.Helper()
	out, err := s.caddy.Command(s.t.Context(), append([]string{"verify-webhook", "queue"}, args...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("queue %v: %v\n%s", args, err, out)
	}
	return out
}

// state returns the state of the queue in the running Caddy.
func (s *site) state() queueState {
	s.t.Helper()
	var all []queueState
	out := s.queue("--json")
	if err := json.Unmarshal(out, &all); err != nil || len(all) == 0 {
		s.t.Fatalf("the state of the queue: %v\n%s", err, out)
	}
	return all[0]
}

// awaitState waits until the queue has the expected state.
func (s *site) awaitState(what string, is func(queueState) bool) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		state := s.state()
		if is(state) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the queue is not %s: %+v", what, state)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
