package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/e2e/prepared"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

const (
	fullToken = "0123456789abcdef0123456789abcdef"

	fullHead = `
{
	grace_period 10s
	log {
		level ERROR
	}
	metrics
	verify_webhook {
		store STORE
		queue QUEUE
	}
}

http://SITE {
	bind 127.0.0.1
	handle /metrics {
		metrics
	}
	handle /relay* {
		webhook_listeners soak {env.RELAY_TOKEN} {
			heartbeat 1s
		}
	}
`
	fullEndpoint = `
	handle /WAY/NAME {
		verify_webhook NAME {
			secret {env.SECRET}
			PUBLIC
			app_timeout 30s
			replay {
				lease 3s
				wait 200ms
			}
		}
		THEN
	}
`
)

// fullThen is what is behind the gate, by way.
var fullThen = map[string]string{
	"direct": "reverse_proxy APP",
	"relay":  "webhook_relay soak {\nmax_in_flight 256\ntimeout 30s\n}",
	"queue":  "webhook_queue NAME {\nretry 50ms 200ms 1s\ntimeout 30s\nconcurrency CONCURRENCY\ndeliver {\nreverse_proxy APP\n}\n}",
}

// signsURL are the providers that sign the URL.
var signsURL = map[string]bool{"twilio": true, "square": true}

// fullSite is a Caddy with twelve providers, each with three ways to the app,
// and a laptop that listens to its relay.
type fullSite struct {
	*site
	app       string
	store     queueStore
	providers map[string][]delivery.Provider
	redis     *redisServer // nil: it stores in files

	mu       sync.Mutex
	peak     int // KiB of memory that any of its processes had at most
	killed   int
	reloaded int
}

// startFullSite starts a Caddy on what an earlier part has left in the folder.
func startFullSite(t *testing.T, folder string, app *fullApp, providers map[string][]delivery.Provider, redis *redisServer) *fullSite {
	t.Helper()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	address := process.Address(t)
	s := &fullSite{
		site: &site{t: t, url: "http://" + address}, app: app.Listener.Addr().String(),
		store: queueFile, providers: providers, redis: redis,
	}
	if redis != nil {
		s.store = redis.queueStore()
	}
	s.fill = strings.NewReplacer("SITE", address, "STATE", folder)
	s.config = sidecar.Config{
		Binary: prepared.Caddy(t), Caddyfile: filepath.Join(folder, "Caddyfile"), State: folder,
		Env: []string{"RELAY_TOKEN=" + fullToken},
	}
	for way, all := range providers {
		for _, p := range all {
			s.config.Env = append(s.config.Env, secretName(way, p)+"="+p.Secret)
		}
	}
	s.configureFull(16)
	s.start()
	s.listen(app.URL)
	return s
}

func secretName(way string, p delivery.Provider) string {
	return strings.ToUpper(way + "_" + strings.ReplaceAll(p.Name, "-", "_"))
}

func (s *fullSite) configureFull(concurrency int) {
	var text strings.Builder
	text.WriteString(strings.NewReplacer("STORE", s.store.replay, "QUEUE", s.store.queue).Replace(fullHead))
	for _, way := range fullWays {
		for _, p := range s.providers[way] {
			public := ""
			if signsURL[p.Name] {
				public = "public_url " + fullPublic
			}
			endpoint := strings.NewReplacer("WAY", way, "THEN", fullThen[way], "SECRET", secretName(way, p), "PUBLIC", public).Replace(fullEndpoint)
			text.WriteString(strings.NewReplacer("NAME", p.Name, "CONCURRENCY", strconv.Itoa(concurrency), "APP", s.app).Replace(endpoint))
		}
	}
	text.WriteString("\thandle {\n\t\trespond 404\n\t}\n}\n")
	s.write(text.String())
}

// listen starts the laptop, which outlives all crashes of Caddy.
func (s *fullSite) listen(app string) {
	s.t.Helper()
	connected := make(chan struct{})
	var once sync.Once
	process.Run(s.t, process.Command{
		Path: s.config.Binary,
		Args: []string{"verify-webhook", "listen", s.url + "/relay", "--token", "env:RELAY_TOKEN", "--to", app, "--json"},
		Env:  []string{"RELAY_TOKEN=" + fullToken},
		Line: func(line []byte) {
			var event struct {
				Kind string `json:"kind"`
			}
			if json.Unmarshal(line, &event) == nil && event.Kind == "connected" {
				once.Do(func() { close(connected) })
			}
		},
	}, func(ctx context.Context) error {
		select {
		case <-connected:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// kill ends Caddy as kill -9 does, and starts it again.
func (s *fullSite) kill(number int) fault {
	s.noteMemory()
	f := fault{site: number, began: time.Now()}
	s.crash()
	f.end = time.Now()
	s.killed++
	return f
}

// reloadFull loads another config.
func (s *fullSite) reloadFull() {
	s.reloaded++
	s.configureFull(12 + s.reloaded%8)
	s.reload()
}

// outage kills Redis, and starts it again once so many more deliveries were
// answered 503.
func (s *fullSite) outage(r *fullRun, number int) fault {
	f := fault{site: number, store: true, began: time.Now()}
	before := r.status(http.StatusServiceUnavailable)
	s.redis.kill()
	for deadline := time.Now().Add(patience); r.status(http.StatusServiceUnavailable) < before+20 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	s.redis.start()
	f.end = time.Now()
	return f
}

// noteMemory keeps the most memory that Caddy has used.
func (s *fullSite) noteMemory() {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.caddy.PID()))
	if err != nil {
		return // not on Linux
	}
	for line := range strings.Lines(string(raw)) {
		if value, found := strings.CutPrefix(line, "VmHWM:"); found {
			kib, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
			s.mu.Lock()
			s.peak = max(s.peak, kib)
			s.mu.Unlock()
		}
	}
}

// fullUse is what a Caddy uses.
type fullUse struct {
	Goroutines, Files int
}

// use reads Caddy's own metrics.
func (s *fullSite) use() (u fullUse) {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(s.url + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		n, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "go_goroutines":
			u.Goroutines = int(n)
		case "process_open_fds":
			u.Files = int(n)
		}
	}
	return u
}

// queued returns how many deliveries wait in all queues, in flight or dead.
func (s *fullSite) queued() (n int64) {
	s.t.Helper()
	var all []queueState
	out := s.queue("--json")
	if err := json.Unmarshal(out, &all); err != nil {
		s.t.Fatalf("the state of the queues: %v\n%s", err, out)
	}
	for _, q := range all {
		n += q.Waiting + q.InFlight + q.Dead
	}
	return n
}
