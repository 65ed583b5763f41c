//go:build unix

// Command stores measures the replay stores: the cost of an operation and of a
// remembered key by number of keys, the time of a restart, and the throughput of
// Redis. It prints Markdown. README.md has the output of a run.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/file"
	"github.com/verify-webhook/caddy-verify-webhook/replay/memory"
	"github.com/verify-webhook/caddy-verify-webhook/replay/redis"
)

func main() {
	most := flag.Int("most", 10_000_000, "the largest number of remembered keys")
	dir := flag.String("dir", "", "folder for replay files (default: a temporary folder)")
	redisURL := flag.String("redis", "", "URL of a Redis to measure; some keys remain in it (default: none)")
	growth := flag.String("growth", "", "write growth-stores.json and growth-queue.json to this folder instead of tables")
	flag.Parse()

	if *growth != "" {
		measureGrowth(*growth, *most)
		return
	}
	var sizes []int
	for _, size := range []int{10_000, 1_000_000, 10_000_000} {
		if size <= *most {
			sizes = append(sizes, size)
		}
	}
	measureMemory(sizes)
	measureFile(sizes, *dir)
	if *redisURL != "" {
		measureRedis(*redisURL)
	}
}

// limit exceeds the number of keys of any run.
const limit = 20_000_000

func measureMemory(sizes []int) {
	fmt.Print("\n### memory\n\nOne goroutine, one key a delivery; CPU time of the whole process per operation.\n\n" +
		"| keys remembered | claim + commit | claim + release | claim of a duplicate | look-up of a new key | bytes a key | CPU of one garbage collection |\n" +
		"| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, size := range sizes {
		before := heap()
		store := memory.New(memory.Options{MaxEntries: limit})
		var keys source
		handled := keys.handle(store, size, 1)
		grown, gc := heap()-before, collection()
		ops := min(size/10, 500_000)
		rounds := max(1, 500_000/ops)
		release := measure(ops*rounds, func() { keys.release(store, ops*rounds) })
		duplicate := measure(ops*rounds, func() {
			for range rounds {
				claimAgain(store, handled, ops)
			}
		})
		lookup := measure(ops*rounds, func() { keys.lookup(store, ops*rounds) })
		commit := measureCommits(store, &source{next: firstMeasured}, size, ops, rounds)
		fmt.Printf("| %d | %v | %v | %v | %v | %.1f | %v |\n", size, commit, release, duplicate, lookup, float64(grown)/float64(size), gc)
		runtime.KeepAlive(store)
	}
}

// firstMeasured is far from the deliveries that fill a store.
const firstMeasured = 1 << 40

// measureCommits adds at most a tenth of its size to a store, and continues with
// other stores of the same size until it has measured enough operations.
func measureCommits(store *memory.Store, keys *source, size, ops, rounds int) (total cost) {
	for round := range rounds {
		if round > 0 {
			store = memory.New(memory.Options{MaxEntries: limit})
			keys.handle(store, size, 1)
		}
		c := measure(ops, func() { keys.handle(store, ops, 1) })
		total.wall += c.wall / time.Duration(rounds)
		total.cpu += c.cpu / time.Duration(rounds)
	}
	return total
}

func measureFile(sizes []int, dir string) {
	fmt.Print("\n### file\n\nTwo keys a delivery, every commit durable. Wall time, and CPU time of the whole process, per delivery (claim + commit); a restart is Open until it returns, ready to serve, with the file in the page cache.\n\n" +
		"| keys remembered | alone | 256 at once | bytes a key in memory | on disk | restart |\n" +
		"| --- | --- | --- | --- | --- | --- |\n")
	for _, size := range sizes {
		func() {
			folder, err := os.MkdirTemp(dir, "stores-*")
			check(err)
			defer func() { check(os.RemoveAll(folder)) }()
			options := file.Options{Path: filepath.Join(folder, "replay.db"), MaxEntries: limit}
			before := heap()
			store, err := file.Open(options)
			check(err)
			var keys source
			keys.handle(store, size/2, 1024)
			grown := heap() - before
			info, err := os.Stat(options.Path)
			check(err)

			alone := measure(2000, func() { keys.handle(store, 2000, 1) })
			many := measure(100_000, func() { keys.handle(store, 100_000, 256) })
			check(store.Close())
			start := time.Now()
			store, err = file.Open(options)
			check(err)
			restart := time.Since(start)
			check(store.Close())
			fmt.Printf("| %d | %v | %v | %.1f | %.1f | %v |\n", size, alone.both(), many.both(),
				float64(grown)/float64(size), float64(info.Size())/float64(size), restart.Round(time.Millisecond))
		}()
	}
}

func measureRedis(url string) {
	fmt.Print("\n### redis\n\nTwo keys a delivery, claim + commit.\n\n" +
		"| at once | deliveries a second | wall and CPU time of the client each |\n| --- | --- | --- |\n")
	store, err := redis.New(redis.Options{URL: url, Prefix: "bench", Timeout: 10 * time.Second})
	check(err)
	defer store.Close()
	var keys source
	keys.next = int(time.Now().UnixNano()) // avoid the keys of earlier runs
	for _, workers := range []int{1, 32, 256} {
		n := min(100_000, 4000*workers)
		cost := measure(n, func() { keys.handle(store, n, workers) })
		fmt.Printf("| %d | %.0f | %v |\n", workers, 1/cost.wall.Seconds(), cost.both())
	}
}

// source generates new keys.
type source struct {
	next int
}

func (s *source) take(n int) (first int) {
	first = s.next
	s.next += n
	return first
}

// key spreads n over the key space like a digest.
func key(kind replay.Kind, n int) (k replay.Key) {
	x := uint64(n)*0x9e3779b97f4a7c15 + uint64(kind)
	for i := 0; i < replay.KeySize; i += 8 {
		x ^= x >> 30
		x *= 0xbf58476d1ce4e5b9
		x ^= x >> 27
		x *= 0x94d049bb133111eb
		x ^= x >> 31
		binary.LittleEndian.PutUint64(k[i:], x)
		x += 0x9e3779b97f4a7c15
	}
	return k
}

// handle claims and commits n deliveries with concurrent workers and windows of one
// to seven days. Deliveries have one key in memory and two in other stores. It
// returns the number of the first delivery.
func (s *source) handle(store replay.Store, n, workers int) (first int) {
	first = s.take(n)
	_, single := store.(*memory.Store)
	var done atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			contents, ids := make([]replay.Key, 1), make([]replay.Key, 1)
			keys := replay.Keys{Blocking: contents, Notes: ids}
			if single {
				keys.Notes = nil
			}
			owner := replay.NewOwner()
			for {
				i := int(done.Add(1)) - 1
				if i >= n {
					return
				}
				contents[0], ids[0] = key(replay.KindContent, first+i), key(replay.KindID, first+i)
				owner[0], owner[1] = byte(i), byte(i>>8)
				verdict, err := store.Claim(context.Background(), keys, owner, time.Minute)
				check(err)
				if verdict != replay.Ours {
					log.Fatalf("a new delivery got the verdict %d", verdict)
				}
				window := 24*time.Hour + time.Duration(float64(i)/float64(n)*float64(6*24*time.Hour))
				check(store.Commit(context.Background(), keys, owner, window, 200))
			}
		})
	}
	all.Wait()
	return first
}

func (s *source) release(store replay.Store, n int) {
	first := s.take(n)
	owner := replay.NewOwner()
	contents := make([]replay.Key, 1)
	for i := range n {
		contents[0] = key(replay.KindContent, first+i)
		_, err := store.Claim(context.Background(), replay.Keys{Blocking: contents}, owner, time.Minute)
		check(err)
		check(store.Release(context.Background(), replay.Keys{Blocking: contents}, owner, 500))
	}
}

func (s *source) lookup(store replay.Lookuper, n int) {
	first := s.take(n)
	contents := make([]replay.Key, 1)
	for i := range n {
		contents[0] = key(replay.KindContent, first+i)
		_, err := store.Lookup(context.Background(), contents)
		check(err)
	}
}

// claimAgain claims deliveries that have already been handled.
func claimAgain(store replay.Store, first, n int) {
	owner := replay.NewOwner()
	contents := make([]replay.Key, 1)
	for i := range n {
		contents[0] = key(replay.KindContent, first+i*7%n)
		verdict, err := store.Claim(context.Background(), replay.Keys{Blocking: contents}, owner, time.Minute)
		check(err)
		if verdict != replay.Duplicate {
			log.Fatalf("a handled delivery got the verdict %d", verdict)
		}
	}
}

// cost is the cost of one operation.
type cost struct {
	wall, cpu time.Duration
}

func (c cost) String() string { return c.cpu.String() }

func (c cost) both() string {
	return fmt.Sprintf("%v (CPU %v)", c.wall.Round(100*time.Nanosecond), c.cpu.Round(100*time.Nanosecond))
}

func measure(n int, do func()) cost {
	runtime.GC()
	cpu, start := processCPU(), time.Now()
	do()
	return cost{time.Since(start) / time.Duration(n), (processCPU() - cpu) / time.Duration(n)}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// collection returns the CPU time of one garbage collection.
func collection() time.Duration {
	sample := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	spent := func() float64 {
		runtime.GC()
		metrics.Read(sample)
		return sample[0].Value.Float64()
	}
	const times = 5
	before := spent()
	for range times {
		spent()
	}
	return time.Duration((spent() - before) / (times + 1) * float64(time.Second)).Round(10 * time.Microsecond)
}

// processCPU returns the CPU time of this process.
func processCPU() time.Duration {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
