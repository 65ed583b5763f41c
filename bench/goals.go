//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/bench/result"
	"github.com/verify-webhook/caddy-verify-webhook/bench/target"
)

// goal is a bound on the ratio of a metric between two targets or works.
type goal struct {
	name         string
	work, target string
	baseWork     string // empty means the same work
	base         string
	metric       metric
	limit        float64
	atLeast      bool
	divisor      float64 // divides the ratio; 0 means 1
}

// metric is a figure with its variation.
type metric struct {
	of        result.Metric
	variation func(result.Variation) float64
}

var (
	cpu       = metric{result.CPU, func(v result.Variation) float64 { return v.CPU }}
	perSecond = metric{result.PerSecond, func(v result.Variation) float64 { return v.PerSecond }}
	p50       = metric{result.P50, func(v result.Variation) float64 { return v.P50 }}
)

// Goals for accepted deliveries are ratios to the floor with identity headers: the
// difference is the cost of verify_webhook beyond minimal verification.
var acceptedGoals = []goal{
	{name: "CPU, accepted, memory to floor, 1 KiB", work: "1 KiB", target: target.Memory, base: target.Told, metric: cpu, limit: 1.04},
	{name: "CPU, accepted, memory to floor, 8 KiB", work: "8 KiB", target: target.Memory, base: target.Told, metric: cpu, limit: 1.04},
	{name: "CPU, accepted, memory to floor, 64 KiB", work: "64 KiB", target: target.Memory, base: target.Told, metric: cpu, limit: 1.03},
	{name: "CPU, accepted, memory to floor, 1 MiB", work: "1 MiB", target: target.Memory, base: target.Told, metric: cpu, limit: 1.02},
	{name: "CPU, accepted, file to floor, 1 KiB, 256 connections", work: many, target: target.File, base: target.Told, metric: cpu, limit: 1.10},
	{name: "throughput, file to memory, 256 connections", work: many, target: target.File, base: target.Memory, metric: perSecond, limit: 0.95, atLeast: true},
	{name: "throughput, redis to memory, 256 connections", work: many, target: target.Redis, base: target.Memory, metric: perSecond, limit: 0.85, atLeast: true},
	{name: "throughput, file, 256 connections to 32", work: many, target: target.File, baseWork: "1 KiB", base: target.File, metric: perSecond, limit: 1, atLeast: true},
}

// refusalGoals returns goals as ratios to a Caddy that forwards the same request.
func refusalGoals() []goal {
	var all []goal
	for _, kind := range early {
		for _, size := range earlySizes {
			name := earlyName(kind, size.name)
			all = append(all, goal{name: "CPU, refused before the body, to bare Caddy, " + name, work: name, target: target.Memory, base: target.Caddy, metric: cpu, limit: 0.40})
		}
	}
	return all
}

// peer is a gateway that stores deliveries durably before it responds. Its figures
// are ratios to verify_webhook with the synchronous store file, by number of
// connections, on one machine with deliveries of 1 KiB. They were measured in
// November 2026 with version 0 of this module. A faster verify_webhook makes the
// goals stricter for CPU and more lenient for throughput.
type peer struct {
	name             string
	accepts, cpuEach map[string]float64
}

var peers = []peer{
	{
		"WebhookX 1.2.0, synchronous, with PostgreSQL",
		map[string]float64{lone: 0.33, "1 KiB": 0.16, many: 0.20},
		map[string]float64{lone: 4.5, "1 KiB": 8.6, many: 7.1},
	},
	{
		"Outpost 1.2.0, with RabbitMQ, Redis and PostgreSQL",
		map[string]float64{lone: 0.33, "1 KiB": 0.20, many: 0.31},
		map[string]float64{lone: 4.7, "1 KiB": 7.1, many: 6.0},
	},
}

// queueGoals returns goals that compare webhook_queue with the best peer.
func queueGoals() []goal {
	var all []goal
	for _, w := range []string{lone, "1 KiB", many} {
		accepts, each := 0.0, 0.0
		for _, p := range peers {
			accepts = max(accepts, p.accepts[w])
			if each == 0 || p.cpuEach[w] < each {
				each = p.cpuEach[w]
			}
		}
		connections := map[string]string{lone: "1 connection", "1 KiB": "32 connections", many: "256 connections"}[w]
		all = append(all,
			goal{name: "accepts a second, webhook_queue to the best durable peer, " + connections, work: w, target: target.QueueFile, base: target.File, metric: perSecond, limit: 3, atLeast: true, divisor: accepts},
			goal{name: "CPU an accept, delivery included, webhook_queue to the best durable peer, " + connections, work: w, target: target.QueueFile, base: target.File, metric: cpu, limit: 0.33, divisor: each})
	}
	return all
}

// goals returns all performance goals of this module.
func goals() []goal { return slices.Concat(acceptedGoals, refusalGoals(), queueGoals()) }

// outcome is the result of a run for one goal.
type outcome struct {
	name    string
	sign    string
	limit   float64
	figure  result.Spread
	verdict string
}

// of returns the outcome for a run. figure.N is 0 if the run did not measure it.
func (g goal) of(r *result.Run) outcome {
	baseWork := g.baseWork
	if baseWork == "" {
		baseWork = g.work
	}
	figure := r.Ratios(g.work, g.target, baseWork, g.base, g.metric.of)
	if g.divisor != 0 {
		figure = figure.Scaled(1 / g.divisor)
	}
	o := outcome{name: g.name, sign: "≤", limit: g.limit, figure: figure, verdict: verdict(figure, g.limit, g.atLeast, g.metric.variation(r.Variation))}
	if g.atLeast {
		o.sign = "≥"
	}
	return o
}

// verdict describes whether a limit was reached, or that the figure is too close to
// the limit to decide.
func verdict(figure result.Spread, limit float64, atLeast bool, machine float64) string {
	judgment, margin := figure.Judge(limit, machine)
	reached := result.Below
	if atLeast {
		reached = result.Above
	}
	switch judgment {
	case result.Unclear:
		return "within the machine's variation of ±" + percent(margin)
	case reached:
		return "reached"
	default:
		return "**not reached**"
	}
}

func percent(fraction float64) string { return fmt.Sprintf("%.1f %%", 100*fraction) }

// outcomes returns the outcomes of all goals that were measured.
func outcomes(r *result.Run) []outcome {
	var all []outcome
	for _, g := range goals() {
		if o := g.of(r); o.figure.N > 0 {
			all = append(all, o)
		}
	}
	if o := loneOutcome(r); o.figure.N > 0 {
		all = append(all, o)
	}
	return all
}

// loneLimit is the maximum additional latency of a lone delivery with file over one
// with memory, in multiples of the disk's fdatasync time.
const loneLimit = 1.15

func loneOutcome(r *result.Run) outcome {
	disk := result.SpreadOf(slices.Clone(r.Sync)).Median
	o := outcome{name: fmt.Sprintf("latency of a lone delivery, file above memory, in fdatasyncs of %.0f µs", disk), sign: "≤", limit: loneLimit}
	if disk == 0 {
		return o
	}
	more := r.Differences(lone, target.File, lone, target.Memory, result.P50)
	if more.Median <= 0 {
		return o
	}
	// This is the variation of a whole latency; a difference varies more.
	machine := r.Variation.P50 * r.Values(lone, target.File, result.P50).Median / more.Median
	o.figure = more.Scaled(1 / disk)
	o.verdict = verdict(o.figure, loneLimit, false, machine)
	return o
}

// goalTable returns a table of the measured goals and their verdicts.
func goalTable(r *result.Run) string {
	var b strings.Builder
	b.WriteString("| | goal | median (range) | |\n| --- | --- | --- | --- |\n")
	for _, o := range outcomes(r) {
		fmt.Fprintf(&b, "| %s | %s %.2f | %.2f (%.2f–%.2f) | %s |\n", o.name, o.sign, o.limit, o.figure.Median, o.figure.Least, o.figure.Most, o.verdict)
	}
	return b.String()
}
