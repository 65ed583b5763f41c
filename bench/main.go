//go:build linux

// Command bench measures verify_webhook side by side with a Caddy that verifies
// nothing, with nginx and with apps that verify themselves: rounds, in which each
// target does the same work one after the other. It prints Markdown and writes
// JSON. README.md says how to use it, docs/performance.md what came out.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/bench/result"
)

func main() {
	var o options
	flag.StringVar(&o.caddy, "caddy", "build/caddy", "a Caddy with verify_webhook")
	flag.StringVar(&o.floor, "floor", "build/caddy-floor", "a Caddy with the least that could be called verifying: bench/floor")
	flag.StringVar(&o.python, "python", ".venv/bin/python", "a Python with Flask, gunicorn, FastAPI and uvicorn")
	flag.StringVar(&o.json, "json", "build/bench.json", "file to write what was measured to")
	flag.IntVar(&o.rounds, "rounds", 9, "how many rounds at most")
	flag.BoolVar(&o.short, "short", false, "leave out some kinds of work, some targets, and the most memory")
	flag.DurationVar(&o.most, "most", 15*time.Minute, "begin no round that would not end within this")
	flag.Float64Var(&o.scale, "scale", 1, "how many deliveries to send in a round, times the usual number")
	flag.StringVar(&o.works, "works", "", "do only kinds of work whose names begin with this")
	flag.IntVar(&o.backlogs, "backlogs", 0, "how many times to measure a queue with 1,000 and with 1,000,000 waiting")
	flag.IntVar(&o.drains, "drains", 0, "how many times to measure how fast a queue drains")
	flag.StringVar(&o.only, "targets", "", "measure only targets whose names contain one of these, separated by commas")
	profiled := flag.String("profile", "", "take a CPU profile of verify_webhook at this work, and nothing else")
	profilePath := flag.String("profile-to", "build/bench.pprof", "file to write the profile to")
	against := flag.String("against", "", "compare with an earlier run, from the file that -json wrote")
	rendered := flag.String("render", "", "write the tables and charts of a saved run into -docs, and measure nothing")
	docs := flag.String("docs", ".", "the folder of the repository, for -render, -grow and -curves")
	growing := flag.String("grow", "", "measure what grows with connections or with endpoints, write it to bench/results, and nothing else")
	curves := flag.Bool("curves", false, "draw the charts of bench/results, and measure nothing")
	takes := flag.Duration("takes", 0, "how long the app of -upstream works on each delivery")
	upstream := flag.String("upstream", "", "be the app behind the proxies at this address, and nothing else")
	flag.Parse()

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	var err error
	switch {
	case *upstream != "":
		err = serve(*upstream, *takes)
	case *profiled != "":
		err = inFolder(func(dir string) error { return profile(ctx, o, dir, *profiled, *profilePath) })
	case *rendered != "":
		err = render(*docs, *rendered)
	case *curves:
		err = drawCurves(*docs)
	case *growing != "":
		debug.SetGCPercent(400)
		err = inFolder(func(dir string) error { return grow(ctx, o, dir, *docs, *growing) })
	default:
		debug.SetGCPercent(400) // our own collections take time from what we measure
		err = inFolder(func(dir string) error { return measure(ctx, o, dir, *against) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type options struct {
	caddy, floor, python, json string
	rounds                     int
	short                      bool
	most                       time.Duration
	scale                      float64
	only, works                string
	backlogs, drains           int
}

// includes reports whether the target is one of those to measure.
func (o options) includes(name string) bool {
	if o.only == "" {
		return true
	}
	for part := range strings.SplitSeq(o.only, ",") {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// serve is the app: it reads the body, works for as long as it takes, and says
// that all is well. At countPath it says how many deliveries it has got.
func serve(address string, takes time.Duration) error {
	var got atomic.Int64
	server := &http.Server{Addr: address, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == countPath {
			_, _ = fmt.Fprint(w, got.Load())
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if takes > 0 {
			time.Sleep(takes)
		}
		got.Add(1)
		_, _ = io.WriteString(w, "ok")
	})}
	return server.ListenAndServe()
}

const countPath = "/count"

// inFolder gives f a folder that is removed afterwards.
func inFolder(f func(dir string) error) error {
	dir, err := os.MkdirTemp("", "bench-*")
	if err != nil {
		return fmt.Errorf("creating a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	return f(dir)
}

func measure(ctx context.Context, o options, dir, against string) error {
	var before *result.Run
	if against != "" { // before anything is measured: the file may be missing
		var err error
		if before, err = readRun(against); err != nil {
			return err
		}
	}
	b, err := newBench(ctx, o, dir)
	if err != nil {
		return err
	}
	defer b.stop()

	for _, step := range []func(context.Context) error{b.vary, b.rounds, b.peaks, b.queue} {
		if err := step(ctx); err != nil {
			return err
		}
		if err := b.save(); err != nil {
			return err
		}
	}
	fmt.Print(markdown(&b.run))
	if before != nil {
		fmt.Print(changeTable(&b.run, before))
	}
	fmt.Fprintf(os.Stderr, "all of it took %v\n", time.Since(b.started).Round(time.Second))
	return nil
}

func readRun(path string) (*result.Run, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a saved run: %w", err)
	}
	run := new(result.Run)
	if err := json.Unmarshal(data, run); err != nil {
		return nil, fmt.Errorf("%s is not a saved run: %w", path, err)
	}
	return run, nil
}

func writeRun(path string, run *result.Run) error {
	data, err := json.MarshalIndent(run, "", "\t")
	if err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}
