//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/bench/result"
	"github.com/verify-webhook/caddy-verify-webhook/bench/target"
)

// goal is a bound on how one target's work compares with another one's.
type goal struct {
	name         string
	work, target string
	base         string // the target compared with, at the same work
	metric       result.Metric
	limit        float64
	atLeast      bool
}

// goals are what verify_webhook sets out to reach.
var goals = []goal{
	{"CPU a delivery, 1 KiB", "1 KiB", target.Memory, target.Caddy, result.CPU, 0.95, false},
	{"CPU a delivery, 8 KiB", "8 KiB", target.Memory, target.Caddy, result.CPU, 0.90, false},
	{"CPU a delivery, 64 KiB", "64 KiB", target.Memory, target.Caddy, result.CPU, 1.10, false},
	{"CPU a delivery, 1 MiB", "1 MiB", target.Memory, target.Caddy, result.CPU, 2.15, false},
	{"throughput, file to memory", many, target.File, target.Memory, result.PerSecond, 0.8, true},
	{"throughput, redis to memory", many, target.Redis, target.Memory, result.PerSecond, 0.7, true},
	{"CPU a wrong signature, 1 KiB", "wrong signature, 1 KiB", target.Memory, target.Caddy, result.CPU, 0.45, false},
	{"CPU a wrong signature, 64 KiB", "wrong signature, 64 KiB", target.Memory, target.Caddy, result.CPU, 0.55, false},
	{"CPU a wrong signature, 1 MiB", "wrong signature, 1 MiB", target.Memory, target.Caddy, result.CPU, 1.5, false},
	{"CPU without a signature, 1 KiB", "no signature, 1 KiB", target.Memory, target.Caddy, result.CPU, 0.40, false},
	{"CPU without a signature, 64 KiB", "no signature, 64 KiB", target.Memory, target.Caddy, result.CPU, 0.40, false},
	{"CPU without a signature, 256 KiB", "no signature, 256 KiB", target.Memory, target.Caddy, result.CPU, 0.40, false},
	{"CPU without a signature, 1 MiB", "no signature, 1 MiB", target.Memory, target.Caddy, result.CPU, 0.40, false},
	{"CPU a stale header, 1 KiB", "stale, 1 KiB", target.Memory, target.Caddy, result.CPU, 0.40, false},
	{"CPU a duplicate, memory", "duplicate, 1 KiB", target.Memory, target.Caddy, result.CPU, 0.50, false},
	{"CPU a duplicate, file", "duplicate, 1 KiB", target.File, target.Caddy, result.CPU, 0.50, false},
}

// queueGoals are what webhook_queue sets out to reach.
var queueGoals = []goal{
	{"accepts a second, file, to the synchronous gate", many, target.QueueFile, target.File, result.PerSecond, 0.6, true},
	{"the same, app down", many, target.QueueDown, target.File, result.PerSecond, 0.6, true},
	{"accepts a second, redis, to the synchronous gate", many, target.QueueRedis, target.Redis, result.PerSecond, 0.6, true},
	{"latency alone, file, to the synchronous gate", lone, target.QueueFile, target.File, result.P50, 1.3, false},
	{"the same, app down", lone, target.QueueDown, target.File, result.P50, 1.3, false},
	{"CPU an accept with its delivery, file, to the synchronous gate", many, target.QueueFile, target.File, result.CPU, 2.0, false},
	{"CPU an accept, app down, to the synchronous gate", many, target.QueueDown, target.File, result.CPU, 1.0, false},
}

// goalTable says which goals were reached, of those that were measured.
func goalTable(r *result.Run) string {
	var b strings.Builder
	b.WriteString("| | goal | median (range) | | floor | floor that tells the app |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, g := range slices.Concat(goals, queueGoals) {
		s := r.Ratios(g.work, g.target, g.work, g.base, g.metric)
		if s.N == 0 {
			continue
		}
		sign, reached := "≤", s.Median <= g.limit
		if g.atLeast {
			sign, reached = "≥", s.Median >= g.limit
		}
		fmt.Fprintf(&b, "| %s | %s %.2f | %.2f (%.2f–%.2f) | %s | %s | %s |\n", g.name, sign, g.limit, s.Median, s.Least, s.Most, verdict(reached),
			floor(r, g, target.Floor), floor(r, g, target.Told))
	}
	b.WriteString(loneRow(r))
	return b.String()
}

// floor is what the least that could be called verifying comes to.
func floor(r *result.Run, g goal, name string) string {
	if g.base != target.Caddy || g.target != target.Memory {
		return ""
	}
	s := r.Ratios(g.work, name, g.work, g.base, g.metric)
	if s.N == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", s.Median, s.Least, s.Most)
}

// loneRow compares what durability adds to a lone delivery with what the disk takes.
func loneRow(r *result.Run) string {
	more := r.Differences(lone, target.File, lone, target.Memory, result.P50)
	disk := result.SpreadOf(slices.Clone(r.Sync)).Median
	if more.N == 0 || disk == 0 {
		return ""
	}
	return fmt.Sprintf("| latency alone, file above memory, in fdatasyncs of %.0f µs | ≤ 1.50 | %.2f (%.2f–%.2f) | %s | | |\n",
		disk, more.Median/disk, more.Least/disk, more.Most/disk, verdict(more.Median <= 1.5*disk))
}

func verdict(reached bool) string {
	if reached {
		return "reached"
	}
	return "**not reached**"
}

// markdown is the whole report.
func markdown(r *result.Run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rounds; %s.\n", r.Rounds, strings.Join(r.About, "; "))
	section := func(title, text string) { fmt.Fprintf(&b, "\n### %s\n\n%s", title, text) }
	accepted, others := r.Works, []string(nil)
	if i := slices.IndexFunc(works, func(w work) bool { return w.Kind != "accepted" }); i >= 0 {
		accepted, others = split(r.Works, works[:i])
		others = slices.DeleteFunc(others, func(name string) bool { return name == lone })
	}
	cpu := r.Table(result.CPU, target.Caddy, accepted)
	if len(others) > 0 {
		cpu += "\n" + r.Table(result.CPU, target.Caddy, others)
	}
	section("CPU time of the server, µs a delivery", "**ratio to bare Caddy** · median (range)\n\n"+cpu)
	section("Deliveries a second", "**ratio to bare Caddy** · median (range)\n\n"+r.Table(result.PerSecond, target.Caddy, accepted))
	section("Latency, median, µs", r.Table(result.P50, "", append(slices.Clone(accepted), lone)))
	section("Latency, 99th percentile, µs", r.Table(result.P99, "", append(slices.Clone(accepted), lone)))
	section("Most memory, 256 connections with bodies of 1 MiB", memoryTable(r))
	section("Goals", goalTable(r))
	if len(r.Backlogs) > 0 {
		section("The queue with much waiting", backlogTable(r))
	}
	if len(r.Drains) > 0 {
		section("Draining the queue", drainTable(r))
	}
	if lines := r.Surprises(expected); len(lines) > 0 {
		section("Answers that were not asked for", "- "+strings.Join(lines, "\n- ")+"\n")
	}
	return b.String()
}

// split separates the names of the given works from the other ones.
func split(names []string, first []work) (in, out []string) {
	for _, name := range names {
		if slices.ContainsFunc(first, func(w work) bool { return w.Name == name }) {
			in = append(in, name)
		} else {
			out = append(out, name)
		}
	}
	return in, out
}

func memoryTable(r *result.Run) string {
	var b strings.Builder
	b.WriteString("| | MiB |\n| --- | --- |\n")
	for _, name := range r.Targets {
		if n, measured := r.PeakMemory[name]; measured {
			fmt.Fprintf(&b, "| %s | %d |\n", name, n/miB)
		}
	}
	return b.String()
}

// backlogTable shows what grows with what is waiting.
func backlogTable(r *result.Run) string {
	var b strings.Builder
	b.WriteString("median (range)\n\n| waiting | latency alone, µs | accepted and delivered a second | CPU each, µs | memory, MiB | of its own, MiB | serves after, ms |\n" +
		"| --- | --- | --- | --- | --- | --- | --- |\n")
	few, much := backlogOf(r, backlogs[0]), backlogOf(r, backlogs[len(backlogs)-1])
	for _, n := range backlogs {
		row := backlogOf(r, n)
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s | %s | %s |\n", n, row.P50, row.PerSecond, row.CPU, row.Memory, row.Own, row.Start)
	}
	if few.P50.N > 0 && much.P50.N > 0 {
		fmt.Fprintf(&b, "| ratio | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f |\n", much.P50.Median/few.P50.Median, much.PerSecond.Median/few.PerSecond.Median,
			much.CPU.Median/few.CPU.Median, much.Memory.Median/few.Memory.Median, much.Own.Median/few.Own.Median, much.Start.Median/few.Start.Median)
	}
	return b.String()
}

// backlogFigures are the spreads of [result.Backlog].
type backlogFigures struct{ P50, PerSecond, CPU, Memory, Own, Start result.Spread }

func backlogOf(r *result.Run, waiting int) backlogFigures {
	figure := func(of func(result.Backlog) float64) result.Spread {
		var values []float64
		for _, m := range r.Backlogs {
			if m.Waiting == waiting {
				values = append(values, of(m))
			}
		}
		return result.SpreadOf(values)
	}
	return backlogFigures{
		P50:       figure(func(m result.Backlog) float64 { return m.P50 }),
		PerSecond: figure(func(m result.Backlog) float64 { return m.PerSecond }),
		CPU:       figure(func(m result.Backlog) float64 { return m.CPU }),
		Memory:    figure(func(m result.Backlog) float64 { return m.Memory / miB }),
		Own:       figure(func(m result.Backlog) float64 { return m.Own / miB }),
		Start:     figure(func(m result.Backlog) float64 { return m.Start }),
	}
}

// drainTable compares the queue with the app alone.
func drainTable(r *result.Run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d connections · median (range)\n\n| app | alone, a second | by the queue, a second | ratio, goal ≥ 0.70 | CPU of Caddy each, µs |\n| --- | --- | --- | --- | --- |\n", drainConnections)
	for _, takes := range drainTakes {
		var alone, queue, ratio, cpu []float64
		for _, m := range r.Drains {
			if m.Takes == takes.String() {
				alone, queue, ratio, cpu = append(alone, m.Alone), append(queue, m.Queue), append(ratio, m.Queue/m.Alone), append(cpu, m.CPU)
			}
		}
		if len(alone) == 0 {
			continue
		}
		name := "answers at once"
		if takes > 0 {
			name = "works " + takes.String()
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", name, result.SpreadOf(alone), result.SpreadOf(queue), result.SpreadOf(ratio), result.SpreadOf(cpu))
	}
	return b.String()
}
