//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/bench/chart"
	"github.com/verify-webhook/caddy-verify-webhook/bench/result"
	"github.com/verify-webhook/caddy-verify-webhook/bench/target"
)

// render writes a saved run into the documentation: all tables to
// bench/results/bench-full.md, some between the markers of other pages, and the
// charts that compare targets.
func render(root, path string) error {
	run, err := readRun(path)
	if err != nil {
		return err
	}
	full := filepath.Join(root, "bench", "results", "bench-full.md")
	if err := os.MkdirAll(filepath.Dir(full), 0o750); err != nil {
		return fmt.Errorf("writing tables: %w", err)
	}
	text := "# A run of `make bench-full`\n\nWritten by `build/bench -render`; [the benchmark](../README.md) says how to read it.\n\n" + markdown(run)
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing tables: %w", err)
	}
	blocks := map[string]string{
		"short":   shortAnswer(run),
		"machine": machineBlock(run),
		"goals":   goalTable(run),
		"cpu":     shortTable(run, result.CPU),
		"rate":    shortTable(run, result.PerSecond),
		"memory":  memoryTable(run),
	}
	for _, page := range []string{filepath.Join("bench", "README.md"), filepath.Join("docs", "performance.md")} {
		if err := replaceBlocks(filepath.Join(root, page), blocks); err != nil {
			return err
		}
	}
	return writeImage(root, "cpu.svg", cpuChart(run))
}

func machineBlock(r *result.Run) string {
	return fmt.Sprintf("%d rounds; %s.\n\nThe machine's own variation: %s.\n", r.Rounds, strings.Join(r.About, "; "), variationText(r))
}

// shortAnswer returns a summary of the run.
func shortAnswer(r *result.Run) string {
	var b strings.Builder
	each := func(work, name string) float64 { return r.Values(work, name, result.CPU).Median }
	ratio := func(work string) float64 { return r.Ratios(work, target.Memory, work, target.Caddy, result.CPU).Median }
	line := func(format string, figures ...float64) {
		args := make([]any, 0, len(figures))
		for _, figure := range figures {
			if figure == 0 {
				return // not measured
			}
			args = append(args, figure)
		}
		fmt.Fprintf(&b, "- "+format+"\n", args...)
	}
	line("**A delivery of 1 KiB takes %.0f µs of CPU time** with the store `memory`, %.0f µs with `file` and %.0f µs with `redis`. Caddy without verification takes %.0f µs.",
		each("1 KiB", target.Memory), each("1 KiB", target.File), each("1 KiB", target.Redis), each("1 KiB", target.Caddy))
	line("**A delivery of 1 MiB takes %.2f ms**, Caddy without verification %.2f ms.", each("1 MiB", target.Memory)/1000, each("1 MiB", target.Caddy)/1000)
	line("A lone delivery takes %.2f ms from request to response with `memory`, %.2f ms with `file` and %.2f ms with `redis`, and %.2f ms without verification.",
		r.Values(lone, target.Memory, result.P50).Median/1000, r.Values(lone, target.File, result.P50).Median/1000,
		r.Values(lone, target.Redis, result.P50).Median/1000, r.Values(lone, target.Caddy, result.P50).Median/1000)
	line("With 256 connections `file` handles %.2f of the deliveries a second that `memory` handles, and `redis` on the same two cores %.2f.",
		r.Ratios(many, target.File, many, target.Memory, result.PerSecond).Median, r.Ratios(many, target.Redis, many, target.Memory, result.PerSecond).Median)
	line("A delivery of 1 KiB without a signature costs %.2f of what forwarding it costs, one with a wrong signature %.2f, and a duplicate %.2f.",
		ratio("no signature, 1 KiB"), ratio("wrong signature, 1 KiB"), ratio("duplicate, 1 KiB"))
	line("A forged delivery of 1 MiB costs %.2f of what forwarding it costs, because it must be hashed. Set `max_body` to what the provider sends.", ratio("wrong signature, 1 MiB"))
	return b.String()
}

// shortTable returns the part of a table that is shown to users.
func shortTable(r *result.Run, metric result.Metric) string {
	accepted, _ := byKind(r.Works)
	return r.Table(metric, target.Caddy, accepted)
}

// block matches the text between <!-- bench:NAME --> and <!-- bench end -->.
var block = regexp.MustCompile(`(?s)(<!-- bench:([a-z]+) -->\n).*?(<!-- bench end -->)`)

func replaceBlocks(path string, blocks map[string]string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("updating a page: %w", err)
	}
	updated, err := withBlocks(string(page), blocks)
	if err != nil {
		return fmt.Errorf("updating %s: %w", path, err)
	}
	return os.WriteFile(path, []byte(updated), 0o644)
}

// withBlocks returns the page with the text between its markers replaced.
func withBlocks(page string, blocks map[string]string) (string, error) {
	var unknown []string
	page = block.ReplaceAllStringFunc(page, func(whole string) string {
		parts := block.FindStringSubmatch(whole)
		text, known := blocks[parts[2]]
		if !known {
			unknown = append(unknown, parts[2])
		}
		return parts[1] + "\n" + text + "\n" + parts[3]
	})
	if len(unknown) > 0 {
		return "", fmt.Errorf("unrecognized blocks: %s", strings.Join(unknown, ", "))
	}
	return page, nil
}

// Colors of bars by kind of target.
const (
	colorOurs  = 0
	colorPeer  = 1
	colorCaddy = 4
)

// cpuChart returns a chart of the CPU time of accepted deliveries.
func cpuChart(r *result.Run) string {
	bars := chart.Bars{Title: "CPU time of the server for one accepted delivery of 1 KiB", X: "µs, median and range; 32 connections, without the app behind a proxy"}
	for _, name := range r.Targets {
		v := r.Values("1 KiB", name, result.CPU)
		if v.N == 0 || target.Queues(name) {
			continue
		}
		color := colorCaddy
		switch {
		case target.Own(name):
			color = colorOurs
		case target.Peer(name):
			color = colorPeer
		}
		bars.Rows = append(bars.Rows, chart.Bar{Name: name, Value: v.Median, Low: v.Least, High: v.Most, Color: color})
	}
	return bars.SVG()
}
