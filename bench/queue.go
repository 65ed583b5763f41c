//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/bench/load"
	"github.com/verify-webhook/caddy-verify-webhook/bench/result"
	"github.com/verify-webhook/caddy-verify-webhook/bench/target"
	"github.com/verify-webhook/caddy-verify-webhook/queue"
	"github.com/verify-webhook/caddy-verify-webhook/queue/file"
)

var (
	// backlogs are the numbers of waiting entries, in ascending order.
	backlogs = []int{1_000, 1_000_000}
	// drainTakes are the processing times of the apps that queues drain to. An app
	// that responds at once shows the limit of Caddy itself.
	drainTakes = []time.Duration{0, 5 * time.Millisecond}
)

const (
	// drainConnections is the default concurrency of webhook_queue.
	drainConnections = 8
	// drained is the number of deliveries queued for an app that responds at once.
	drained = 20_000
	// settleTimeout limits the wait for a queue's deliveries.
	settleTimeout = time.Minute
)

// got returns the number of deliveries that the app has received.
func (b *bench) got(ctx context.Context) int { return count(ctx, b.app.Address) }

func count(ctx context.Context, address string) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+countPath, http.NoBody)
	if err != nil {
		return 0
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 32))
	n, _ := strconv.Atoi(string(text))
	return n
}

// waitFor waits until the app has received n deliveries.
func (b *bench) waitFor(ctx context.Context, n int) {
	if reached(ctx, b.app.Address, n) == 0 {
		fmt.Fprintf(os.Stderr, "the app has got %d deliveries of %d\n", b.got(ctx), n)
	}
}

// reached returns the time until an app has received n deliveries, or 0 if it does
// not receive them.
func reached(ctx context.Context, address string, n int) time.Duration {
	began := time.Now()
	for time.Since(began) < settleTimeout && ctx.Err() == nil {
		if count(ctx, address) >= n {
			return max(time.Since(began), 1)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0
}

// queue measures how costs grow with the backlog, and how fast a queue drains.
func (b *bench) queue(ctx context.Context) error {
	b.stop()
	if b.backlogs > 0 {
		if err := b.measureBacklogs(ctx); err != nil {
			return err
		}
	}
	for range b.drains {
		for _, takes := range drainTakes {
			m, err := b.drain(ctx, takes)
			if err != nil {
				return err
			}
			b.run.Drains = append(b.run.Drains, m)
		}
	}
	return nil
}

// measureBacklogs measures queue files with many entries that are not due. These
// stay while other deliveries are accepted and delivered.
func (b *bench) measureBacklogs(ctx context.Context) error {
	paths := make(map[int]string)
	for _, n := range backlogs {
		paths[n] = filepath.Join(b.env.Dir, fmt.Sprintf("backlog-%d", n))
		began := time.Now()
		if err := fill(ctx, paths[n], n, 24*time.Hour); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%d entries were put in %v\n", n, time.Since(began).Round(time.Second))
	}
	var err error
	if b.app, err = target.StartApp(ctx, b.env, 0); err != nil {
		return err
	}
	b.env.Upstream = b.app.Address
	for range b.backlogs {
		for _, n := range backlogs {
			m, err := b.backlog(ctx, paths[n])
			if err != nil {
				return err
			}
			m.Waiting = n
			b.run.Backlogs = append(b.run.Backlogs, m)
			if err := b.save(); err != nil {
				return err
			}
		}
	}
	return nil
}

// backlog measures one file.
func (b *bench) backlog(ctx context.Context, path string) (m result.Backlog, err error) {
	env := b.env
	env.Queue = path
	began := time.Now()
	t, err := target.Start(ctx, env, target.QueueFile)
	if err != nil {
		return m, err
	}
	defer t.Stop()
	b.send(ctx, t, work{Connections: 1}, b.signer.Sign(load.Accepted, kiB, 1))
	m.Start = float64(time.Since(began).Milliseconds())
	b.send(ctx, t, work{Connections: 32}, b.signer.Sign(load.Accepted, kiB, 1000)) // fill pools

	alone, _ := b.send(ctx, t, work{Connections: 1}, b.signer.Sign(load.Accepted, kiB, 600))
	m.P50 = microseconds(alone.P50)
	const deliveries = 8000
	began = time.Now()
	r, cpu := b.send(ctx, t, work{Connections: 32}, b.signer.Sign(load.Accepted, kiB, deliveries))
	m.PerSecond = float64(r.Done) / time.Since(began).Seconds()
	m.CPU = microseconds(cpu) / float64(max(r.Done, 1))
	all, own := t.Memory()
	m.Memory, m.Own = float64(all), float64(own)
	return m, nil
}

// drain measures how fast a queue delivers to an app that was down, and how fast the
// app alone accepts deliveries on the same number of connections.
func (b *bench) drain(ctx context.Context, takes time.Duration) (m result.Drain, err error) {
	m.Takes = takes.String()
	n := drained
	if takes > 0 {
		n = int(3 * time.Second / takes * drainConnections)
	}
	env := b.env
	env.Queue = filepath.Join(b.env.Dir, "drained")
	_ = os.Remove(env.Queue) // left by the previous measurement
	if err := fill(ctx, env.Queue, n, 0); err != nil {
		return m, err
	}
	app, err := target.StartApp(ctx, env, takes)
	if err != nil {
		return m, err
	}
	defer app.Stop()
	env.Upstream = app.Address
	alone := load.Run(ctx, load.Plan{Address: app.Address, Batch: b.signer.Sign(load.Accepted, kiB, n/2), Connections: drainConnections, Most: mostOfOne})
	m.Alone = alone.PerSecond()

	got := count(ctx, app.Address)
	t, err := target.Start(ctx, env, target.QueueFile)
	if err != nil {
		return m, err
	}
	defer t.Stop()
	// Exclude the beginning and the end, which differ from the rest.
	first := max(count(ctx, app.Address), got+n/10)
	reached(ctx, app.Address, first)
	first, cpu := count(ctx, app.Address), t.CPU()
	last := got + n*95/100
	took := reached(ctx, app.Address, last)
	m.Queue = float64(last-first) / took.Seconds()
	m.CPU = microseconds(t.CPU()-cpu) / float64(last-first)
	return m, nil
}

// fill adds n entries to a queue file in the same way as webhook_queue.
func fill(ctx context.Context, path string, n int, delay time.Duration) error {
	s, err := file.Open(file.Options{Path: path, MinFree: -1})
	if err != nil {
		return err
	}
	body := bytes.Repeat([]byte("x"), kiB)
	request := queue.Request{
		Method: http.MethodPost, OriginalURI: load.GitHubPath, URI: load.GitHubPath, Proto: "HTTP/1.1", Host: "hooks.example.com", RemoteAddr: "192.0.2.1:4711",
		Header: http.Header{
			"Accept": {"*/*"}, "Content-Length": {strconv.Itoa(kiB)}, "Content-Type": {"application/json"}, "User-Agent": {"GitHub-Hookshot/bench"},
			"X-Github-Event": {"push"}, "X-Github-Delivery": {"72d3162e-cc78-11e3-81ab-4b9367dc0958"}, "X-Hub-Signature-256": {"sha256=" + fmt.Sprintf("%064x", 0)},
			"Webhook-Verified-Provider": {"github"}, "Webhook-Verified-Event": {"push"}, "Webhook-Verified-Unsigned": {"id, event"},
		},
	}
	var left atomic.Int64
	left.Store(int64(n))
	var group sync.WaitGroup
	var failed atomic.Pointer[error]
	for range min(n, 1024) { // concurrent puts share a transaction
		group.Go(func() {
			for left.Add(-1) >= 0 && failed.Load() == nil {
				_, err := s.Put(ctx, queue.Put{
					Queue: "bench", Request: request, Body: bytes.NewReader(body), BodySize: kiB, Delay: delay, Remember: 7 * 24 * time.Hour,
				})
				if err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		_ = s.Close()
		return fmt.Errorf("filling a queue: %w", *err)
	}
	return s.Close()
}
