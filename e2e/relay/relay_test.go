//go:build unix

// Package relay tests the relay with real processes: a Caddy on the internet,
// `caddy verify-webhook listen` on a laptop, and failures of the network between them.
package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/verify-webhook/caddy-verify-webhook/e2e/prepared"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

const (
	githubSecret = "the secret of the GitHub endpoint"
	token        = "0123456789abcdef0123456789abcdef"
	within       = 60 * time.Second
)

const caddyfile = `
{
	grace_period 10s
}

http://SITE {
	bind 127.0.0.1
	handle /webhooks/github {
		verify_webhook github {env.GITHUB_SECRET}
		webhook_relay dev
	}
	handle /relay* {
		webhook_listeners dev {env.RELAY_TOKEN} {
			heartbeat 500ms
		}
	}
}
`

// world consists of the provider, Caddy, the network and the laptop.
type world struct {
	t       *testing.T
	site    string
	config  sidecar.Config
	caddy   *sidecar.Sidecar
	network *network
	app     *httptest.Server
	listen  *process.Process

	mu      sync.Mutex
	arrived map[string]int // by delivery ID
	events  []event        // events that the laptop printed
	changed chan struct{}
}

// event is a line that the laptop printed.
type event struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

func start(t *testing.T) *world {
	t.Helper()
	folder := t.TempDir()
	w := &world{t: t, site: process.Address(t), arrived: make(map[string]int), changed: make(chan struct{})}
	w.config = sidecar.Config{
		Binary: prepared.Caddy(t), Caddyfile: filepath.Join(folder, "Caddyfile"), State: folder,
		Env: []string{"GITHUB_SECRET=" + githubSecret, "RELAY_TOKEN=" + token},
	}
	if err := os.WriteFile(w.config.Caddyfile, []byte(strings.ReplaceAll(caddyfile, "SITE", w.site)), 0o600); err != nil {
		t.Fatal(err)
	}
	w.startCaddy()
	t.Cleanup(func() {
		if err := w.caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	w.network = newNetwork(t, w.site)
	w.app = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.arrived[r.Header.Get("X-Github-Delivery")]++
		rw.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(w.app.Close)
	w.listen = process.Run(t, w.listenCommand(), func(ctx context.Context) error { return w.shows(ctx, "connected", 1) })
	return w
}

func (w *world) startCaddy() {
	w.t.Helper()
	var err error
	if w.caddy, err = sidecar.Start(w.t.Context(), w.config); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) listenCommand() process.Command {
	return process.Command{
		Path: prepared.Caddy(w.t),
		Args: []string{"verify-webhook", "listen", "http://" + w.network.address + "/relay", "--token", "env:RELAY_TOKEN", "--to", w.app.URL, "--json"},
		Env:  []string{"RELAY_TOKEN=" + token},
		Line: func(line []byte) {
			var e event
			if json.Unmarshal(line, &e) != nil {
				return
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
			close(w.changed)
			w.changed = make(chan struct{})
		},
	}
}

// count returns how often the laptop printed an event, and a channel that is closed when
// it prints the next one.
func (w *world) count(kind string) (int, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, e := range w.events {
		if e.Kind == kind {
			n++
		}
	}
	return n, w.changed
}

// shows waits until the laptop has printed an event this many times.
func (w *world) shows(ctx context.Context, kind string, times int) error {
	for {
		n, changed := w.count(kind)
		if n >= times {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("the laptop printed %q %d times, want %d: %w", kind, n, times, ctx.Err())
		}
	}
}

// awaits waits until the laptop prints another event of a kind.
func (w *world) awaits(kind string, before int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	defer cancel()
	if err := w.shows(ctx, kind, before+1); err != nil {
		w.t.Fatal(err)
	}
}

// figures are the counts of a test.
type figures struct {
	sent, unavailable, unanswered, reached, twice, lost, missed, falselyConnected int
}

func (f figures) String() string {
	return fmt.Sprintf("%d sent (%d answered 503, %d not answered), %d reached the laptop, %d twice, %d lost, %d missed and reported, %d falsely shown as connected",
		f.sent, f.unavailable, f.unanswered, f.reached, f.twice, f.lost, f.missed, f.falselyConnected)
}

// deliver sends n deliveries, and retries each until it gets a success. It calls fault
// after a third of them.
func (w *world) deliver(n int, fault func()) figures {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: within}
	var f figures
	var mu sync.Mutex
	work, _ := errgroup.WithContext(ctx)
	work.SetLimit(4)
	happened := make(chan struct{})
	for i := range n {
		if i == n/3 {
			go func() { fault(); close(happened) }()
		}
		work.Go(func() error {
			id := fmt.Sprintf("delivery-%d", i)
			d := delivery.GitHub(githubSecret, id, "push", []byte(id))
			for ctx.Err() == nil {
				answer, err := d.Send(ctx, client, "http://"+w.site)
				mu.Lock()
				switch {
				case err != nil:
					f.unanswered++
				case answer.Status == http.StatusServiceUnavailable:
					f.unavailable++
				}
				mu.Unlock()
				if err == nil && answer.Status < 300 {
					return nil
				}
				select {
				case <-ctx.Done():
				case <-time.After(20 * time.Millisecond): // like a provider, but sooner
				}
			}
			return fmt.Errorf("%s was never accepted", id)
		})
	}
	if err := work.Wait(); err != nil {
		w.t.Error(err)
	}
	<-happened
	w.mu.Lock()
	defer w.mu.Unlock()
	f.sent = n
	for i := range n {
		switch times := w.arrived[fmt.Sprintf("delivery-%d", i)]; {
		case times == 0:
			f.lost++
		case times > 1:
			f.twice++
			fallthrough
		default:
			f.reached += times
		}
	}
	f.missed = w.missed()
	// The gate also responds with 503 while a copy of the delivery is in progress, but
	// this test sends no copies. So the laptop must report every 503.
	f.falselyConnected = max(0, f.unavailable-f.missed)
	return f
}

var missedText = regexp.MustCompile(`^(\d+) deliveries arrived while no machine was connected`)

// missed returns the number of missed deliveries that the laptop reported.
func (w *world) missed() (sum int) {
	for _, e := range w.events {
		if match := missedText.FindStringSubmatch(e.Text); match != nil {
			n, _ := strconv.Atoi(match[1]) // digits
			sum += n
		}
	}
	return sum
}

// TestRelayFaults tests each failure between the provider and the app.
func TestRelayFaults(t *testing.T) {
	signal := func(w *world, pid int, s syscall.Signal) {
		if err := syscall.Kill(-pid, s); err != nil { // the whole process group
			w.t.Error(err)
		}
	}
	for _, test := range []struct {
		name  string
		fault func(w *world)
		// mayRepeat: the app's response may be lost, so that the provider retries the
		// delivery.
		mayRepeat bool
	}{
		{"nothing", func(*world) {}, false},
		{"the connections are cut", func(w *world) {
			n, _ := w.count("connected")
			w.network.cut()
			w.awaits("connected", n)
		}, true},
		{"the network changes", func(w *world) {
			n, _ := w.count("connected")
			w.network.change()
			w.awaits("connected", n)
		}, true},
		{"the laptop sleeps", func(w *world) {
			n, _ := w.count("connected")
			signal(w, w.listen.PID(), syscall.SIGSTOP)
			time.Sleep(3 * time.Second) // the duration of the laptop's sleep
			signal(w, w.listen.PID(), syscall.SIGCONT)
			w.awaits("connected", n)
		}, true},
		{"the server is suspended", func(w *world) {
			n, _ := w.count("connected")
			signal(w, w.caddy.PID(), syscall.SIGSTOP)
			w.awaits("disconnected", n-1)
			signal(w, w.caddy.PID(), syscall.SIGCONT)
			w.awaits("connected", n)
		}, true},
		{"five reloads", func(w *world) {
			for range 5 {
				n, _ := w.count("connected")
				if err := w.caddy.Reload(w.t.Context()); err != nil {
					w.t.Error(err)
				}
				w.awaits("connected", n)
			}
		}, false},
		{"the server is killed", func(w *world) {
			n, _ := w.count("connected")
			w.caddy.Kill()
			w.awaits("disconnected", n-1)
			w.startCaddy()
			w.awaits("connected", n)
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := start(t)
			f := w.deliver(60, func() { test.fault(w) })
			t.Log(f)
			if f.lost > 0 || f.falselyConnected > 0 {
				t.Errorf("lost %d, falsely shown as connected %d", f.lost, f.falselyConnected)
			}
			if f.twice > 0 && !test.mayRepeat {
				t.Errorf("%d deliveries reached the laptop twice", f.twice)
			}
		})
	}
}

// TestARelayDoesNotWaitForAStoppedListener stops the laptop permanently.
func TestARelayDoesNotWaitForAStoppedListener(t *testing.T) {
	w := start(t)
	if err := w.listen.Stop(); err != nil {
		t.Fatal(err)
	}
	answer, err := delivery.GitHub(githubSecret, "1", "push", []byte("1")).Send(t.Context(), http.DefaultClient, "http://"+w.site)
	if err != nil || answer.Status != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("the provider got %d, %v", answer.Status, err)
	}
}

func TestListenRefusesInvalidArguments(t *testing.T) {
	w := start(t)
	relay := "http://" + w.site + "/relay"
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"another token":                {[]string{relay, "--token", "another", "--to", w.app.URL}, "the token was refused"},
		"no token":                     {[]string{relay, "--to", w.app.URL}, "missing --token"},
		"no target":                    {[]string{relay, "--token", token}, "missing --to"},
		"a remote target":              {[]string{relay, "--token", token, "--to", "http://192.0.2.1/"}, "--allow-remote"},
		"no TLS to a remote machine":   {[]string{"http://hooks.example.com/relay", "--token", token, "--to", w.app.URL}, "would send the token unencrypted"},
		"a path where nothing listens": {[]string{"http://" + w.site + "/elsewhere", "--token", token, "--to", w.app.URL}, "no webhook_listeners at "},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			out, err := w.caddy.Command(ctx, append([]string{"verify-webhook", "listen"}, test.args...)...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), test.want) {
				t.Errorf("got %v and the message %s, want %q", err, out, test.want)
			}
		})
	}
}
