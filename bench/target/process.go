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

// running is a running program, measured including its workers.
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

// stop stops the program and its workers. The exit status does not matter.
func (p *running) stop() { _ = p.Stop() }

// lastWords returns the end of the last line that the program printed, cut to fit
// into a table.
func (p *running) lastWords() string {
	output := strings.TrimSpace(p.Output())
	last := output[strings.LastIndexByte(output, '\n')+1:]
	return last[max(0, len(last)-120):]
}

// probe returns an error until a server is ready.
type probe = func(context.Context) error

// answers returns a probe that succeeds if the server at address responds to HTTP
// requests.
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

// cpu returns the user and system time of the program and its workers so far. It
// reads the scheduler's clocks, because /proc has a resolution of 10 ms. The time of
// workers that have exited is not included.
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

// cpuClock returns the clock ID of a process, like clock_getcpuclockid(3).
func cpuClock(pid int) int32 { return int32(^pid)<<3 | 2 }

// memory returns a size from proc(5) in bytes, summed over all processes of the
// program. For example, VmHWM is the peak resident set size.
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

// members calls f for each process of the group, with its folder in /proc and the
// fields of its stat file, starting with the state, which is field 3 in proc(5).
func (p *running) members(f func(dir string, stat []string)) {
	group := strconv.Itoa(p.PID())
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has exited in the meantime
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 14 && fields[2] == group {
			f(dir, fields)
		}
	}
}
