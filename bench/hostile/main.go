//go:build unix

// Command hostile measures what requests cost that nobody has signed: for every
// preset, requests of many shapes and sizes go through the real handler. It
// prints CPU time and allocated memory, worst first. Run it from the root of
// the repository.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	vectors := flag.String("vectors", "provider/testdata/vectors", "folder with the vectors of genuine requests")
	only := flag.String("provider", "", "measure providers whose names contain this")
	sizes := flag.String("sizes", "16,256,1024,4096,25600", "sizes of requests in KiB, separated by commas")
	lines := flag.Int("lines", 20, "how many lines to print of each table")
	most := flag.Int("vectors-each", 3, "how many kinds of genuine requests of each provider to start from")
	flag.Parse()
	if err := run(*vectors, *only, *sizes, *most, *lines); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(vectors, only, sizes string, most, lines int) error {
	all, err := endpoints(vectors, most)
	if err != nil {
		return err
	}
	worst := make(map[string]*worstOf)
	for text := range strings.SplitSeq(sizes, ",") {
		kib, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("size %q is not a number of KiB", text)
		}
		generic := genericBodies(kib << 10)
		for _, e := range all {
			if !strings.Contains(e.provider, only) {
				continue
			}
			e.attack(kib<<10, generic, func(c cost) {
				if worst[e.provider] == nil {
					worst[e.provider] = new(worstOf)
				}
				worst[e.provider].add(c)
			})
		}
	}
	print(worst, lines)
	return nil
}

// worstOf are the costliest requests of one provider.
type worstOf struct{ memory, cpu cost }

func (w *worstOf) add(c cost) {
	if w.memory.size == 0 || c.multiple() > w.memory.multiple() {
		w.memory = c
	}
	if w.cpu.size == 0 {
		w.cpu = c
	}
	if c.over() < w.cpu.over() {
		return
	}
	// The garbage of other requests is collected at some request's expense.
	if c.over() < 0 {
		return
	}
	for range 2 {
		runtime.GC()
		again, ok := c.endpoint.send(c.shape, c.request)
		if ok && again.cpu < c.cpu {
			c.cpu = again.cpu
		}
	}
	if c.over() > w.cpu.over() || c.request.URL == w.cpu.request.URL && c.size == w.cpu.size && c.shape == w.cpu.shape {
		w.cpu = c
	}
}

// over is the CPU time beyond 5 ms and 1 ms a MiB.
func (c *cost) over() time.Duration {
	return c.cpu - 5*time.Millisecond - time.Duration(float64(c.size)/(1<<20)*float64(time.Millisecond))
}

func print(worst map[string]*worstOf, lines int) {
	var memory, cpu []cost
	for _, w := range worst {
		memory, cpu = append(memory, w.memory), append(cpu, w.cpu)
	}
	slices.SortFunc(memory, func(a, b cost) int { return cmp.Compare(b.multiple(), a.multiple()) })
	slices.SortFunc(cpu, func(a, b cost) int { return cmp.Compare(b.over(), a.over()) })
	fmt.Printf("%d providers\n\nMemory: bytes allocated, less %d KiB that every request may cost, as a multiple of the request's size\n\n", len(worst), constant>>10)
	fmt.Printf("%-26s %8s %10s %10s  %-16s %s\n", "provider", "multiple", "allocated", "size", "outcome", "shape")
	for _, c := range memory[:min(lines, len(memory))] {
		fmt.Printf("%-26s %8.2f %10d %10d  %-16s %s\n", c.provider, c.multiple(), c.allocated, c.size, c.outcome, c.shape)
	}
	fmt.Printf("\nCPU: beyond 5 ms and 1 ms a MiB\n\n%-26s %10s %10s %10s  %-16s %s\n", "provider", "over", "cpu", "size", "outcome", "shape")
	for _, c := range cpu[:min(lines, len(cpu))] {
		fmt.Printf("%-26s %10s %10s %10d  %-16s %s\n", c.provider, c.over().Round(10*time.Microsecond), c.cpu.Round(10*time.Microsecond), c.size, c.outcome, c.shape)
	}
}
