//go:build linux

package target

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
)

const readyTimeout = 20 * time.Second

// running is a started program, measured with all of its workers.
type running struct{ *process.Process }

// start starts a program in dir and waits until the probe succeeds.
func start(ctx context.Context, dir string, ready probe, env []string, argv ...string) (*running, error) {
	started, err := process.Start(process.Command{Path: argv[0], Args: argv[1:], Dir: dir, Env: env})
	if err != nil {
		return nil, err
	}
	p := &running{started}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if p.WaitReady(ctx, ready) != nil {
		p.stop()
		return nil, fmt.Errorf("%s did not get ready: %s", filepath.Base(argv[0]), p.lastWords())
	}
	return p, nil
}

// stop ends the program and all of its workers. How it ends is not measured.
func (p *running) stop() { _ = p.Stop() }

// lastWords returns the end of the last line of what the program printed: it has to
// fit into a table.
func (p *running) lastWords() string {
	output := strings.TrimSpace(p.Output())
	last := output[strings.LastIndexByte(output, '\n')+1:]
	return last[max(0, len(last)-120):]
}

// probe returns an error as long as a server is not ready.
type probe = func(context.Context) error

// answers is a probe: a server at address responds to HTTP requests.
func answers(address string) probe {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
}

// cpu returns the time that the program and its workers have spent in user and
// kernel mode so far, by the clocks that the scheduler keeps: /proc has it in steps
// of 10 ms. What workers have spent that have ended is not in it.
func (p *running) cpu() time.Duration {
	var sum time.Duration
	p.members(func(dir string, _ []string) {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return
		}
		var spent unix.Timespec
		if unix.ClockGettime(cpuClock(pid), &spent) == nil {
			sum += time.Duration(spent.Nano())
		}
	})
	return sum
}

// cpuClock is clock_getcpuclockid(3).
func cpuClock(pid int) int32 { return int32(^pid)<<3 | 2 }

// memory returns a size that proc(5) has for each process of the program, in
// bytes, summed up: VmHWM, for instance, is the most that it ever resided in
// memory with.
func (p *running) memory(name string) int64 {
	var sum int64
	p.members(func(dir string, _ []string) {
		status, _ := os.ReadFile(filepath.Join(dir, "status"))
		_, rest, _ := strings.Cut(string(status), name)
		if fields := strings.Fields(rest); len(fields) > 0 {
			n, _ := strconv.ParseInt(fields[0], 10, 64)
			sum += n << 10
		}
	})
	return sum
}

// members calls f with each process of the group: its folder in /proc and the
// fields of its stat, from the state on, which is field 3 in proc(5).
func (p *running) members(f func(dir string, stat []string)) {
	group := strconv.Itoa(p.PID())
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended meanwhile
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 14 && fields[2] == group {
			f(dir, fields)
		}
	}
}
