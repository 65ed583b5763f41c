//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/bench/load"
	"github.com/verify-webhook/caddy-verify-webhook/bench/result"
	"github.com/verify-webhook/caddy-verify-webhook/bench/target"
)

const (
	// Number of measurements for each point of a curve. The point is their median.
	connectionRounds = 5
	endpointRounds   = 3
	// reloads is the number of configuration reloads in a round.
	reloads = 3

	inConnections = "growth-connections.json"
	inEndpoints   = "growth-endpoints.json"
)

var (
	// growConnections are the numbers of connections; growTargets are measured with each.
	growConnections = []int{1, 2, 4, 8, 16, 32, 64}
	growTargets     = []string{target.Caddy, target.Told, target.Memory, target.File, target.Redis}
	// growEndpoints are the numbers of endpoints in a Caddyfile.
	growEndpoints = []int{1, 10, 100, 1000}
)

// grow measures how costs grow with the number of connections or endpoints.
func grow(ctx context.Context, o options, dir, docs, with string) error {
	if with != "connections" && with != "endpoints" {
		return fmt.Errorf("unrecognized value of -grow: %s; use connections or endpoints", with)
	}
	env, err := environment(o, dir)
	if err != nil {
		return err
	}
	b := &bench{options: o, env: env, signer: load.NewSigner(secret)}
	if b.app, err = target.StartApp(ctx, b.env, 0); err != nil {
		return err
	}
	defer b.stop()
	b.env.Upstream = b.app.Address

	results := filepath.Join(docs, "bench", "results")
	if with == "connections" {
		return b.growWithConnections(ctx, filepath.Join(results, inConnections))
	}
	return b.growWithEndpoints(ctx, filepath.Join(results, inEndpoints))
}

// growWithConnections measures throughput and CPU of targets that do the same work
// one after the other.
func (b *bench) growWithConnections(ctx context.Context, path string) error {
	for _, name := range growTargets {
		t, err := target.Start(ctx, b.env, name)
		if err != nil {
			return fmt.Errorf("starting %s: %w", name, err)
		}
		b.targets = append(b.targets, t)
		b.warmUp(ctx, t)
	}
	var points samples
	for round := range connectionRounds {
		for _, connections := range growConnections {
			w := work{Kind: load.Accepted, Size: kiB, Connections: connections, Deliveries: int(float64(min(600*connections, 4000)) * b.scale)}
			batch := b.signer.Sign(w.Kind, w.Size, w.Deliveries)
			order := slices.Clone(b.targets)
			if round%2 == 1 {
				slices.Reverse(order)
			}
			for _, t := range order {
				m := b.measurement(ctx, round, w, t, batch)
				points.add(t.Name, "deliveries a second", connections, m.PerSecond)
				points.add(t.Name, "µs of CPU a delivery", connections, m.CPU)
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	for _, t := range b.targets {
		t.Stop()
	}
	b.targets = nil
	return writeCurves(path, points.curves())
}

// growWithEndpoints measures start, reload, memory and CPU by number of endpoints.
// Each endpoint has its own provider and secret.
func (b *bench) growWithEndpoints(ctx context.Context, path string) error {
	var points samples
	for range endpointRounds {
		for _, n := range growEndpoints {
			for _, name := range []string{target.Caddy, target.Memory} {
				if err := b.endpoints(ctx, name, n, &points); err != nil {
					return fmt.Errorf("%s with %d endpoints: %w", name, n, err)
				}
			}
		}
	}
	return writeCurves(path, points.curves())
}

func (b *bench) endpoints(ctx context.Context, name string, n int, points *samples) error {
	env := b.env
	endpoints := make([]load.Endpoint, n)
	for i := range endpoints {
		endpoints[i] = load.Endpoint{Path: fmt.Sprintf("/webhooks/%d", i), Secret: fmt.Sprintf("the secret of endpoint %d", i)}
		env.Vars = append(env.Vars, fmt.Sprintf("SECRET_%d=%s", i, endpoints[i].Secret))
	}
	var config string
	began := time.Now()
	t, err := target.StartCaddyfile(ctx, env, name, func(address, admin string) string {
		config = endpointsCaddyfile(address, admin, env.Upstream, n, target.Own(name))
		return config
	})
	if err != nil {
		return err
	}
	defer t.Stop()
	points.add("start, "+name, "ms", n, milliseconds(time.Since(began)))

	signer := load.NewSignerOf(endpoints...)
	w := work{Kind: load.Accepted, Size: kiB, Connections: 32}
	b.send(ctx, t, w, signer.Sign(w.Kind, w.Size, max(n, int(2000*b.scale)))) // fill pools and open connections to the app
	before := b.got(ctx)
	m := b.measurement(ctx, 0, w, t, signer.Sign(w.Kind, w.Size, int(4000*b.scale)))
	if got := b.got(ctx) - before; got != m.Done || m.Failed > 0 {
		return fmt.Errorf("the app got %d deliveries of %d, and %d got no response", got, m.Done, m.Failed)
	}
	points.add(name, "µs of CPU a delivery", n, m.CPU)
	all, _ := t.Memory()
	points.add(name, "MiB", n, float64(all)/miB)
	for range reloads {
		began := time.Now()
		if err := reload(ctx, t.Admin, config); err != nil {
			return err
		}
		points.add("reload, "+name, "ms", n, milliseconds(time.Since(began)))
	}
	return nil
}

// endpointsCaddyfile returns a Caddyfile with one route for each endpoint, with or
// without verify_webhook.
func endpointsCaddyfile(address, admin, upstream string, n int, verifies bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "{\n\tadmin %s\n\tpersist_config off\n\tauto_https off\n", admin)
	if verifies {
		b.WriteString("\tverify_webhook {\n\t\tstore memory\n\t}\n")
	}
	host, port, _ := net.SplitHostPort(address)
	fmt.Fprintf(&b, "}\n\nhttp://:%s {\n\tbind %s\n", port, host)
	for i := range n {
		fmt.Fprintf(&b, "\thandle /webhooks/%d {\n", i)
		if verifies {
			fmt.Fprintf(&b, "\t\tverify_webhook github {env.SECRET_%d}\n", i)
		}
		fmt.Fprintf(&b, "\t\treverse_proxy %s\n\t}\n", upstream)
	}
	b.WriteString("\thandle {\n\t\trespond 404\n\t}\n}\n")
	return b.String()
}

// reload loads a Caddyfile as `caddy reload --force` does. Without force, Caddy
// ignores a configuration that has not changed.
func reload(ctx context.Context, admin, config string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+admin+"/load", strings.NewReader(config))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "text/caddyfile")
	request.Header.Set("Cache-Control", "must-revalidate")
	client := http.Client{Timeout: time.Minute}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("reloading: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
		return fmt.Errorf("reloading: %s: %s", response.Status, text)
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// samples are all measurements of the points of curves.
type samples struct {
	order  []sampled // in which curves were first added
	values map[sampled]map[int][]float64
}

type sampled struct{ curve, unit string }

func (s *samples) add(curve, unit string, x int, y float64) {
	key := sampled{curve, unit}
	if s.values == nil {
		s.values = make(map[sampled]map[int][]float64)
	}
	if s.values[key] == nil {
		s.values[key] = make(map[int][]float64)
		s.order = append(s.order, key)
	}
	s.values[key][x] = append(s.values[key][x], y)
}

// curves returns the curves, with the median of each point's samples.
func (s *samples) curves() []curve {
	var all []curve
	for _, key := range s.order {
		c := curve{Curve: key.curve, Unit: key.unit}
		for x, values := range s.values[key] {
			c.Points = append(c.Points, [2]float64{float64(x), result.SpreadOf(values).Median})
		}
		slices.SortFunc(c.Points, func(a, b [2]float64) int { return int(a[0] - b[0]) })
		all = append(all, c)
	}
	return all
}

func writeCurves(path string, curves []curve) error {
	var b strings.Builder
	for _, c := range curves {
		line, err := c.line()
		if err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
		fmt.Fprintln(&b, line)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("writing curves: %w", err)
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}
