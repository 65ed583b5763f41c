//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/bench/load"
	"github.com/verify-webhook/caddy-verify-webhook/bench/result"
	"github.com/verify-webhook/caddy-verify-webhook/bench/target"
)

const secret = "It's a Secret to Everybody" // used only for generated deliveries

// bench is one run.
type bench struct {
	options
	env     target.Env
	signer  *load.Signer
	app     *target.Target
	targets []*target.Target
	works   []work
	run     result.Run
	started time.Time
}

// newBench starts all targets and records those that cannot be started.
func newBench(ctx context.Context, o options, dir string) (*bench, error) {
	b := &bench{options: o, signer: load.NewSigner(secret), started: time.Now()}
	var err error
	if b.env, err = environment(o, dir); err != nil {
		return nil, err
	}
	if b.app, err = target.StartApp(ctx, b.env, 0); err != nil {
		return nil, err
	}
	b.env.Upstream = b.app.Address
	b.run = result.Run{About: about(b.env), Skipped: make(map[string]string), PeakMemory: make(map[string]int64)}
	names := target.All
	if o.short {
		names = target.Short
	}
	for _, name := range names {
		if !o.includes(name) {
			continue
		}
		b.run.Targets = append(b.run.Targets, name)
		t, err := target.Start(ctx, b.env, name)
		if err != nil {
			b.run.Skipped[name] = err.Error()
			fmt.Fprintf(os.Stderr, "skipped %s: %v\n", name, err)
			continue
		}
		b.targets = append(b.targets, t)
	}
	for _, w := range works {
		if (w.short || !o.short) && strings.HasPrefix(w.Name, o.works) {
			w.Deliveries = max(int(float64(w.Deliveries)*o.scale), 1)
			b.works = append(b.works, w)
			b.run.Works = append(b.run.Works, w.Name)
		}
	}
	if len(b.targets) == 0 {
		b.stop()
		return nil, errors.New("no target could be started")
	}
	return b, nil
}

func environment(o options, dir string) (target.Env, error) {
	env := target.Env{Dir: dir, Secret: secret}
	var err, errFloor, errPython error
	env.Caddy, err = filepath.Abs(o.caddy)
	env.Floor, errFloor = filepath.Abs(o.floor)
	env.Python, errPython = filepath.Abs(o.python)
	return env, errors.Join(err, errFloor, errPython)
}

func (b *bench) stop() {
	for _, t := range b.targets {
		t.Stop()
	}
	b.targets = nil
	if b.app != nil {
		b.app.Stop()
		b.app = nil
	}
}

// warmUp sends deliveries to fill pools and compile scripts before a measurement.
func (b *bench) warmUp(ctx context.Context, t *target.Target) {
	for _, w := range []work{
		{Kind: load.Accepted, Size: kiB, Connections: 32, Deliveries: 1000},
		{Kind: load.Accepted, Size: miB, Connections: 32, Deliveries: 64},
	} {
		b.send(ctx, t, w, b.signer.Sign(w.Kind, w.Size, w.Deliveries))
	}
}

const (
	// twinRounds is the number of rounds with two equal servers.
	twinRounds = 4
	// Peers take part in one of peerEvery rounds, because no goal depends on them.
	peerEvery = 3
)

// vary measures one server that is started twice. The difference between the two is
// the variation of the machine.
func (b *bench) vary(ctx context.Context) error {
	var twins [2]*target.Target
	for i := range twins {
		t, err := target.Start(ctx, b.env, target.Memory)
		if err != nil {
			return fmt.Errorf("starting a server to see how much the machine varies: %w", err)
		}
		defer t.Stop()
		b.warmUp(ctx, t)
		twins[i] = t
	}
	began := time.Now()
	for round := 1; round <= twinRounds && ctx.Err() == nil; round++ {
		for _, w := range b.works {
			if w.Kind != load.Accepted {
				continue
			}
			batch := b.signer.Sign(w.Kind, w.Size, w.distinct())
			for i := range twins { // alternate the order in every other round
				i = (i + round) % len(twins)
				m := b.measurement(ctx, round, w, twins[i], batch)
				m.Target = [...]string{result.Twin, result.Other}[i]
				b.run.Twins = append(b.run.Twins, m)
			}
		}
	}
	b.run.Variation = variationOf(b.run.Twins, b.options.rounds)
	fmt.Fprintf(os.Stderr, "one server measured twice took %v: %s\n", time.Since(began).Round(time.Second), variationText(&b.run))
	return ctx.Err()
}

// variationOf returns the variation over all works, because a single work has few
// rounds. Latency is compared only for lone deliveries, so its variation is based on
// these alone.
func variationOf(twins []result.Measurement, rounds int) result.Variation {
	v := result.VariationOf(twins, rounds)
	alone := slices.DeleteFunc(slices.Clone(twins), func(m result.Measurement) bool { return m.Work != lone })
	v.P50 = result.VariationOf(alone, rounds).P50
	return v
}

// variationText describes how much the medians of the run vary.
func variationText(r *result.Run) string {
	return fmt.Sprintf("CPU ±%s, throughput ±%s, latency of a lone delivery ±%s", percent(r.Variation.CPU), percent(r.Variation.PerSecond), percent(r.Variation.P50))
}

// rounds measures until all rounds are done or there is no time for another one. It
// saves the measurements after each round.
func (b *bench) rounds(ctx context.Context) error {
	for _, t := range b.targets {
		b.warmUp(ctx, t)
	}
	var longest time.Duration
	for round := 1; round <= b.options.rounds && time.Since(b.started)+longest < b.most; round++ {
		began := time.Now()
		for _, w := range b.works {
			b.measure(ctx, round, w)
		}
		b.run.Sync = append(b.run.Sync, syncTime(b.env.Dir))
		b.run.Rounds = round
		if round > 1 { // peers take part in the first round and every third after it
			longest = max(longest, time.Since(began))
		}
		fmt.Fprintf(os.Stderr, "round %d took %v\n", round, time.Since(began).Round(time.Second))
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.save(); err != nil {
			return err
		}
	}
	// There can be fewer rounds than planned.
	b.run.Variation = variationOf(b.run.Twins, b.run.Rounds)
	return nil
}

// save writes all measurements made so far.
func (b *bench) save() error { return writeRun(b.options.json, &b.run) }

// measure makes all targets do the same work. Every other round has the opposite
// order, so that no target always follows the same one.
func (b *bench) measure(ctx context.Context, round int, w work) {
	order := slices.Clone(b.targets)
	if round%2 == 0 {
		slices.Reverse(order)
	}
	batch := b.signer.Sign(w.Kind, w.Size, w.distinct())
	for _, t := range order {
		if w.does(t.Name) && (!target.Peer(t.Name) || round%peerEvery == 1) {
			b.run.Measurements = append(b.run.Measurements, b.measurement(ctx, round, w, t, batch))
		}
	}
}

func (b *bench) measurement(ctx context.Context, round int, w work, t *target.Target, batch *load.Batch) result.Measurement {
	r, cpu := b.send(ctx, t, w, batch)
	return result.Measurement{
		Round: round, Work: w.Name, Target: t.Name,
		Done: r.Done, Failed: r.Failed, Statuses: r.Statuses, PerSecond: r.PerSecond(),
		P50: microseconds(r.P50), P99: microseconds(r.P99), CPU: microseconds(cpu) / float64(max(r.Done, 1)),
	}
}

// send returns the result of the work and the CPU time of the server.
func (b *bench) send(ctx context.Context, t *target.Target, w work, batch *load.Batch) (load.Result, time.Duration) {
	plan := load.Plan{Address: t.Address, Batch: batch, Connections: w.Connections, Most: mostOfOne}
	if w.Kind == load.Duplicate {
		load.Run(ctx, plan)
		plan.Times = w.Deliveries / batch.Len()
	}
	before, got := t.CPU(), b.got(ctx)
	r := load.Run(ctx, plan)
	if t.Name == target.QueueFile || t.Name == target.QueueRedis {
		b.waitFor(ctx, got+r.Statuses[http.StatusAccepted]) // delivering them is part of the work
	}
	return r, t.CPU() - before
}

// peaks measures the peak memory of newly started servers with large bodies on many
// connections.
func (b *bench) peaks(ctx context.Context) error {
	b.stop() // the measurement can need all memory
	if b.short {
		return nil
	}
	var err error
	if b.app, err = target.StartApp(ctx, b.env, 0); err != nil {
		return err
	}
	b.env.Upstream = b.app.Address
	for _, name := range b.run.Targets {
		if _, skipped := b.run.Skipped[name]; skipped || name == target.QueueDown || name == target.QueueRedis {
			continue
		}
		t, err := target.Start(ctx, b.env, name)
		if err != nil {
			return fmt.Errorf("starting %s again: %w", name, err)
		}
		w := work{Kind: load.Accepted, Size: miB, Connections: 256}
		b.send(ctx, t, w, b.signer.Sign(w.Kind, w.Size, 768))
		b.run.PeakMemory[name] = t.PeakMemory()
		t.Stop()
	}
	return nil
}

// syncTime returns the median time in microseconds of a hundred durable appends of
// 4 KiB to a file. It pauses before each, as between lone deliveries, because a busy
// disk and busy cores are faster.
func syncTime(dir string) float64 {
	f, err := os.CreateTemp(dir, "sync-*")
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, 4*kiB)
	times := make([]float64, 0, 100)
	for range cap(times) {
		time.Sleep(time.Millisecond)
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0
		}
		times = append(times, microseconds(time.Since(began)))
	}
	return result.SpreadOf(times).Median
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
