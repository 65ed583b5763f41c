//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
	queuefile "github.com/verify-webhook/caddy-verify-webhook/queue/file"
	"github.com/verify-webhook/caddy-verify-webhook/replay/file"
	"github.com/verify-webhook/caddy-verify-webhook/replay/memory"
)

// curve is the growth of one figure. Each point is a size and the figure at it.
type curve struct {
	Name   string       `json:"curve"`
	Unit   string       `json:"unit"`
	Points [][2]float64 `json:"points"`
}

// curves are in the order in which their first points were added.
type curves []*curve

func (c *curves) add(name, unit string, size int, figure float64) {
	for _, known := range *c {
		if known.Name == name {
			known.Points = append(known.Points, [2]float64{float64(size), figure})
			return
		}
	}
	*c = append(*c, &curve{name, unit, [][2]float64{{float64(size), figure}}})
}

// write writes one curve per line.
func (c curves) write(path string) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	for _, one := range c {
		check(encoder.Encode(one))
	}
	check(os.WriteFile(path, out.Bytes(), 0o600))
}

// measureGrowth writes two files in dir: growth-stores.json has the costs by number
// of remembered keys, and growth-queue.json those by number of waiting deliveries.
func measureGrowth(dir string, most int) {
	var stores, queues curves
	sizes := sizesFrom(10_000, most)
	growMemory(&stores, sizes)
	growFile(&stores, sizes)
	stores.write(filepath.Join(dir, "growth-stores.json"))
	growQueue(&queues, sizesFrom(1_000, min(most, 1_000_000)))
	queues.write(filepath.Join(dir, "growth-queue.json"))
}

// sizesFrom returns two sizes for each power of ten.
func sizesFrom(least, most int) (sizes []int) {
	for size := least; size <= most; size *= 10 {
		sizes = append(sizes, size)
		if 3*size <= most {
			sizes = append(sizes, 3*size)
		}
	}
	return sizes
}

const megabyte = 1e6

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// growMemory measures one store that grows from size to size, with one key per
// delivery. For small sizes it measures several stores of that size. A measurement
// adds at most a tenth of the size.
func growMemory(c *curves, sizes []int) {
	before := heap()
	store := memory.New(memory.Options{MaxEntries: limit})
	var keys source
	measured := source{next: firstMeasured}
	handled := 0
	for _, size := range sizes {
		handled = keys.handle(store, size-int(store.Stats().Remembered), 1)
		c.add("memory, memory", "MB", size, float64(heap()-before)/megabyte)
		c.add("one garbage collection, memory", "ms", size, millis(collection()))
		again := min(size/2, 100_000)
		duplicate := measure(again*(1_000_000/again), func() {
			for range 1_000_000 / again {
				claimAgain(store, handled, again)
			}
		})
		c.add("claim of a duplicate, memory", "µs", size, micros(duplicate.cpu))
		ops := min(size/10, 500_000)
		commit := measureCommits(store, &measured, size, ops, min(50, max(1, 300_000/ops)))
		c.add("claim and commit, memory", "µs", size, micros(commit.cpu))
		runtime.KeepAlive(store)
	}
}

// growFile measures one file that grows from size to size, with two keys per
// delivery.
func growFile(c *curves, sizes []int) {
	folder, err := os.MkdirTemp("", "stores-*")
	check(err)
	defer func() { check(os.RemoveAll(folder)) }()
	options := file.Options{Path: filepath.Join(folder, "replay.db"), MaxEntries: limit}
	before := heap()
	store, err := file.Open(options)
	check(err)
	var keys source
	for _, size := range sizes {
		keys.handle(store, (size-int(store.Stats().Remembered))/2, 1024)
		c.add("memory, file", "MB", size, float64(heap()-before)/megabyte)
		info, err := os.Stat(options.Path)
		check(err)
		c.add("on disk, file", "MB", size, float64(info.Size())/megabyte)

		check(store.Close())
		start := time.Now()
		store, err = file.Open(options)
		check(err)
		c.add("start, file", "ms", size, millis(time.Since(start)))

		alone := measure(1000, func() { keys.handle(store, 1000, 1) })
		c.add("claim and commit, file, alone", "µs", size, micros(alone.cpu))
		n := min(size/2, 50_000)
		many := measure(n, func() { keys.handle(store, n, 256) })
		c.add("claim and commit, file, one of 256 at once", "µs", size, micros(many.cpu))
	}
	check(store.Close())
}

// growQueue measures one queue that grows from size to size with entries of 1 KiB
// that are not due, while other entries are delivered.
func growQueue(c *curves, sizes []int) {
	folder, err := os.MkdirTemp("", "stores-*")
	check(err)
	defer func() { check(os.RemoveAll(folder)) }()
	options := queuefile.Options{Path: filepath.Join(folder, "queue.db"), MinFree: -1}
	before := heap()
	store, err := queuefile.Open(options)
	check(err)
	waiting := 0
	for _, size := range sizes {
		together(size-waiting, 1024, func() { putOne(store, 24*time.Hour) })
		waiting = size
		c.add("memory", "MB", size, float64(heap()-before)/megabyte)
		info, err := os.Stat(options.Path)
		check(err)
		c.add("on disk", "MB", size, float64(info.Size())/megabyte)

		check(store.Close())
		start := time.Now()
		store, err = queuefile.Open(options)
		check(err)
		c.add("start", "ms", size, millis(time.Since(start)))

		alone := measure(500, func() { together(500, 1, func() { passOne(store) }) })
		c.add("accept, lease and record, alone", "µs", size, micros(alone.cpu))
		many := measure(4000, func() { together(4000, 64, func() { passOne(store) }) })
		c.add("accept, lease and record, one of 64 at once", "µs", size, micros(many.cpu))
	}
	check(store.Close())
}

// together calls do n times, with the given number of concurrent workers.
func together(n, workers int, do func()) {
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	for range min(n, workers) {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				do()
			}
		})
	}
	all.Wait()
}

var queued = struct {
	request queue.Request
	body    []byte
}{
	queue.Request{
		Method: http.MethodPost, OriginalURI: "/github", URI: "/github", Proto: "HTTP/1.1", Host: "hooks.example.com", RemoteAddr: "192.0.2.1:4711",
		Header: http.Header{
			"Accept": {"*/*"}, "Content-Length": {"1024"}, "Content-Type": {"application/json"}, "User-Agent": {"GitHub-Hookshot/bench"},
			"X-Github-Event": {"push"}, "X-Github-Delivery": {"72d3162e-cc78-11e3-81ab-4b9367dc0958"}, "X-Hub-Signature-256": {"sha256=" + fmt.Sprintf("%064x", 0)},
		},
	},
	bytes.Repeat([]byte("x"), 1024),
}

func putOne(store *queuefile.Store, delay time.Duration) {
	_, err := store.Put(context.Background(), queue.Put{
		Queue: "bench", Request: queued.request, Body: bytes.NewReader(queued.body), BodySize: int64(len(queued.body)),
		Delay: delay, Remember: 7 * 24 * time.Hour,
	})
	check(err)
}

// passOne accepts an entry that is due, and records the delivery of one entry.
func passOne(store *queuefile.Store) {
	putOne(store, 0)
	leases, _, err := store.Lease(context.Background(), "bench", 1, time.Hour)
	check(err)
	if len(leases) != 1 {
		log.Fatalf("%d entries were leased", len(leases))
	}
	check(store.Finish(context.Background(), leases[0], queue.Outcome{Action: queue.Deliver}))
}
