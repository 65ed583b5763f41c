//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/bench/result"
	"github.com/verify-webhook/caddy-verify-webhook/bench/target"
)

func TestPageBlocksAreReplaced(t *testing.T) {
	const page = "before\n<!-- bench:cpu -->\nold\n<!-- bench end -->\nbetween\n<!-- bench:goals -->\n<!-- bench end -->\nafter\n"
	got, err := withBlocks(page, map[string]string{"cpu": "a table\n", "goals": "$1 goals\n"})
	want := "before\n<!-- bench:cpu -->\n\na table\n\n<!-- bench end -->\nbetween\n<!-- bench:goals -->\n\n$1 goals\n\n<!-- bench end -->\nafter\n"
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	if again, _ := withBlocks(got, map[string]string{"cpu": "a table\n", "goals": "$1 goals\n"}); again != got {
		t.Errorf("a second time it differs:\n%s", again)
	}
	if _, err := withBlocks(page, map[string]string{"cpu": ""}); err == nil || !strings.Contains(err.Error(), "goals") {
		t.Errorf("an unknown block: %v", err)
	}
}

// TestRenderUpdatesDocumentation uses copies of the real pages.
func TestRenderUpdatesDocumentation(t *testing.T) {
	root := t.TempDir()
	for _, page := range []string{"bench/README.md", "docs/performance.md"} {
		text, err := os.ReadFile(filepath.Join("..", page))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, page)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, page), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := runWith("1 KiB", target.Memory, target.Told, 114, 115, 116)
	run.Works, run.Targets, run.Rounds, run.About = []string{"1 KiB"}, []string{target.Told, target.Memory}, 3, []string{"a machine of the test"}
	saved := filepath.Join(root, "run.json")
	if err := writeRun(saved, run); err != nil {
		t.Fatal(err)
	}
	if err := render(root, saved); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"bench/results/bench-full.md": "verify_webhook memory",
		"bench/README.md":             "| CPU, accepted, memory to floor, 1 KiB | ≤ 1.04 | 1.15 (1.14–1.16) | **not reached** |",
		"docs/performance.md":         "a machine of the test",
		"docs/images/cpu.svg":         "verify_webhook memory",
	} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, no %q", file, err, want)
		}
	}
}

// A run can be missing targets and works.
func TestShortAnswerOmitsUnmeasuredTargets(t *testing.T) {
	run := runWith("1 MiB", target.Memory, target.Caddy, 1000, 1100, 1200)
	if got, want := shortAnswer(run), "- **A delivery of 1 MiB takes 1.10 ms**, Caddy without verification 0.10 ms.\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestChangeTableListsChanges(t *testing.T) {
	before := runWith("1 KiB", target.Memory, target.Caddy, 110, 110, 110)
	now := runWith("1 KiB", target.Memory, target.Caddy, 121, 121, 121)
	for _, run := range []*result.Run{before, now} {
		run.Works, run.Targets = []string{"1 KiB"}, []string{target.Caddy, target.Memory}
	}
	table := changeTable(now, before)
	for _, line := range []string{
		"| verify_webhook memory | 1 KiB | CPU | 1.10 | **+10.0 %** ± 2.8 % |",
		"| verify_webhook memory | 1 KiB | throughput | 1.10 | **+10.0 %** ± 2.8 % |",
	} {
		if !strings.Contains(table, line+"\n") {
			t.Errorf("no line %q in\n%s", line, table)
		}
	}
	if strings.Contains(table, "median latency") {
		t.Errorf("the latency of busy connections is in\n%s", table)
	}
	if table := changeTable(before, before); !strings.Contains(table, "| 1.00 | unchanged within ±2.8 % |") {
		t.Errorf("%s", table)
	}
}
