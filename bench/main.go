//go:build linux

// Command bench compares verify_webhook with a Caddy that verifies nothing, with
// nginx, and with apps that verify deliveries themselves. In each round the targets
// do the same work one after the other. It prints Markdown and writes JSON.
// README.md describes how to use it, and docs/performance.md has the results.
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
	flag.StringVar(&o.caddy, "caddy", "build/caddy", "path of a Caddy with verify_webhook")
	flag.StringVar(&o.floor, "floor", "build/caddy-floor", "path of the minimal verifying Caddy, built from bench/floor")
	flag.StringVar(&o.python, "python", ".venv/bin/python", "path of a Python with Flask, gunicorn, FastAPI and uvicorn")
	flag.StringVar(&o.json, "json", "build/bench.json", "file to write the measurements to")
	flag.IntVar(&o.rounds, "rounds", 9, "maximum number of rounds")
	flag.BoolVar(&o.short, "short", false, "skip some kinds of work, some targets, and peak memory")
	flag.DurationVar(&o.most, "most", 15*time.Minute, "start no round that would end after this")
	flag.Float64Var(&o.scale, "scale", 1, "factor for the number of deliveries in a round")
	flag.StringVar(&o.works, "works", "", "do only works whose names begin with this")
	flag.IntVar(&o.backlogs, "backlogs", 0, "number of measurements of a queue with 1,000 and with 1,000,000 waiting")
	flag.IntVar(&o.drains, "drains", 0, "number of measurements of how fast a queue drains")
	flag.StringVar(&o.only, "targets", "", "measure only targets whose names contain one of these, separated by commas")
	profiled := flag.String("profile", "", "only take a CPU profile of verify_webhook doing this work")
	profilePath := flag.String("profile-to", "build/bench.pprof", "file to write the profile to")
	against := flag.String("against", "", "compare with an earlier run, saved with -json")
	rendered := flag.String("render", "", "only write the tables and charts of a saved run into -docs")
	docs := flag.String("docs", ".", "root folder of the repository, for -render, -grow and -curves")
	growing := flag.String("grow", "", "only measure how costs grow with connections or endpoints, into bench/results")
	curves := flag.Bool("curves", false, "only draw the charts of bench/results")
	takes := flag.Duration("takes", 0, "time that the app of -upstream takes for each delivery")
	upstream := flag.String("upstream", "", "only run the app behind the proxies, at this address")
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
		debug.SetGCPercent(400) // garbage collections here take CPU time from the measured servers
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

// includes reports whether the target is selected.
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

// serve runs the app. For each delivery it reads the body, waits for the given time
// and responds with success. At countPath it returns the number of deliveries.
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

// inFolder calls f with a temporary folder and removes it afterwards.
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
	if against != "" { // first, so that a missing file is reported at once
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
