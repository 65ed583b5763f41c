//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/bench/load"
	"github.com/verify-webhook/caddy-verify-webhook/bench/result"
	"github.com/verify-webhook/caddy-verify-webhook/bench/target"
)

// markdown returns the whole report.
func markdown(r *result.Run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rounds; %s.\n\nThe machine's own variation, from one server measured twice: %s. No conclusion is drawn below it.\n",
		r.Rounds, strings.Join(r.About, "; "), variationText(r))
	section := func(title, text string) { fmt.Fprintf(&b, "\n## %s\n\n%s", title, text) }
	accepted, others := byKind(r.Works)
	tables := []string{r.Table(result.CPU, target.Caddy, accepted)}
	for part := range slices.Chunk(others, mostColumns) {
		tables = append(tables, r.Table(result.CPU, target.Caddy, part))
	}
	section("CPU time of the server, µs a delivery", "**ratio to bare Caddy** · median (range)\n\n"+strings.Join(tables, "\n"))
	section("Deliveries a second", "**ratio to bare Caddy** · median (range)\n\n"+r.Table(result.PerSecond, target.Caddy, accepted))
	section("Latency, median, µs", r.Table(result.P50, "", append(slices.Clone(accepted), lone)))
	section("Latency, 99th percentile, µs", r.Table(result.P99, "", append(slices.Clone(accepted), lone)))
	if len(r.PeakMemory) > 0 {
		section("Most memory, 256 connections with bodies of 1 MiB", memoryTable(r))
	}
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

// mostColumns is the maximum number of columns in a table of refusals.
const mostColumns = 6

// byKind splits work names into works with many concurrent accepted deliveries, and
// works with refusals and duplicates.
func byKind(names []string) (accepted, others []string) {
	for _, w := range works {
		switch {
		case !slices.Contains(names, w.Name) || w.Name == lone:
		case w.Kind == load.Accepted:
			accepted = append(accepted, w.Name)
		default:
			others = append(others, w.Name)
		}
	}
	return accepted, others
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

// backlogTable returns a table of how costs grow with the backlog.
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

// drainTable returns a table that compares the queue with the app alone.
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

// changeTable returns a table that compares a run with an earlier one.
func changeTable(now, before *result.Run) string {
	var b strings.Builder
	b.WriteString("\n## Compared with the earlier run\n\nRatio now to before, each to bare Caddy in its own run\n\n| | | figure | now to before | |\n| --- | --- | --- | --- | --- |\n")
	for _, figure := range []struct {
		name string
		metric
	}{{"CPU", cpu}, {"throughput", perSecond}, {"median latency", p50}} {
		for _, c := range result.Changes(now, before, target.Caddy, figure.of, figure.variation) {
			if (c.Work == lone) != (figure.name == "median latency") && figure.name != "CPU" {
				continue // the latency of busy connections is the inverse of the throughput
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %.2f | %s |\n", c.Target, c.Work, figure.name, c.Ratio, changeText(c))
		}
	}
	return b.String()
}

// changeText returns the change of a figure, or "unchanged" if it is within the
// variation.
func changeText(c result.Change) string {
	if !c.Changed() {
		return "unchanged within ±" + percent(c.Margin)
	}
	return fmt.Sprintf("**%+.1f %%** ± %s", 100*(c.Ratio-1), percent(c.Margin))
}
