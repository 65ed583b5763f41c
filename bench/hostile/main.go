//go:build unix

// Command hostile measures the cost of unsigned requests: for every preset, it
// sends requests of many shapes and sizes, up to the default max_body, through the
// real handler. It prints CPU time and allocated memory, worst first.
// Run it in the folder bench of the repository.
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

	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue"
)

func main() {
	vectors := flag.String("vectors", "../catalogue/testdata/vectors", "folder with the vectors of genuine requests")
	only := flag.String("provider", "", "measure only providers whose names contain this")
	sizes := flag.String("sizes", "16,256,1024,4096,max", "sizes of requests in KiB, separated by commas; max is the preset's max_body")
	shapes := flag.String("shape", "", "send only shapes whose names contain this")
	lines := flag.Int("lines", 20, "number of lines to print of each table")
	most := flag.Int("vectors-each", 3, "number of genuine requests of each provider to derive shapes from")
	flag.Parse()
	keepShapes(*shapes)
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
	kib, err := parseSizes(sizes)
	if err != nil {
		return err
	}
	worst := make(map[string]*worstOf)
	for _, e := range all {
		if strings.Contains(e.provider, only) {
			worst[e.provider] = new(worstOf)
		}
	}
	for _, size := range sizesOf(all, kib) {
		generic := genericBodies(size)
		n := 0
		for _, e := range all {
			if w := worst[e.provider]; w != nil && e.takes(size, kib) {
				e.attack(size, generic, w.add)
				n++
			}
		}
		if n > 0 {
			progress(size, n, worst)
		}
	}
	print(worst, lines)
	return nil
}

// sizesOf returns the sizes of requests to any of the endpoints, in bytes, ascending.
func sizesOf(all []*endpoint, kib []int) []int {
	var sizes []int
	for _, e := range all {
		for _, n := range kib {
			sizes = append(sizes, cmp.Or(n<<10, e.maxBody))
		}
	}
	slices.Sort(sizes)
	return slices.Compact(sizes)
}

// takes reports whether a size is measured for this endpoint.
func (e *endpoint) takes(size int, kib []int) bool {
	return size <= e.maxBody && slices.ContainsFunc(kib, func(n int) bool { return cmp.Or(n<<10, e.maxBody) == size })
}

// progress prints to stderr what is the worst after all requests of one size.
func progress(size, n int, worst map[string]*worstOf) {
	var most cost
	for _, w := range worst {
		if w.cpu.size > 0 && (most.size == 0 || w.cpu.over() > most.over()) {
			most = w.cpu
		}
	}
	fmt.Fprintf(os.Stderr, "%s: %d KiB to %d endpoints; worst until now: %s, %s for %d KiB: %s\n",
		time.Now().Format(time.TimeOnly), size>>10, n, most.provider, most.cpu.Round(10*time.Microsecond), most.size>>10, most.shape)
}

// parseSizes returns sizes in KiB; 0 stands for max.
func parseSizes(sizes string) ([]int, error) {
	var kib []int
	for text := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(text)
		if text != "max" && (err != nil || n <= 0) {
			return nil, fmt.Errorf("size %q is neither a number of KiB nor max", text)
		}
		kib = append(kib, n)
	}
	return kib, nil
}

// worstOf has the most expensive requests of one provider.
type worstOf struct{ memory, cpu cost }

// repeats is the number of additional measurements of a request that could be the
// worst. The minimum counts, because other processes and garbage only add to it. Far
// below the goal one measurement is enough.
const (
	repeats  = 5
	farBelow = -2 * time.Millisecond
)

func (w *worstOf) add(c cost) {
	if w.memory.size == 0 || c.multiple() > w.memory.multiple() {
		w.memory = c
	}
	for range repeats {
		if w.cpu.size > 0 && c.over() <= w.cpu.over() {
			return
		}
		if c.over() < farBelow {
			break
		}
		runtime.GC()
		if again, ok := c.endpoint.send(c.shape, c.request); ok {
			c.cpu = min(c.cpu, again.cpu)
		}
	}
	if w.cpu.size == 0 || c.over() > w.cpu.over() {
		w.cpu = c
	}
}

// over returns the CPU time above the goal of 5 ms plus 1 ms per MiB.
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
	printFloors()
	printMisses(memory, cpu)
}

// printMisses prints the presets that miss a goal.
func printMisses(memory, cpu []cost) {
	var names []string
	for _, c := range memory {
		if c.multiple() > 4 {
			names = append(names, c.provider)
		}
	}
	fmt.Printf("\nmore than 4 times its size in memory: %s\n", listed(names))
	names = nil
	for _, c := range cpu {
		if c.over() > 0 {
			names = append(names, fmt.Sprintf("%s (%.1f ms for %.1f MiB)", c.provider, c.cpu.Seconds()*1000, float64(c.size)/(1<<20)))
		}
	}
	fmt.Printf("more than 5 ms and 1 ms a MiB of CPU time: %s\n", listed(names))
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
