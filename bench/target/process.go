//go:build linux

package target

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readyTimeout = 20 * time.Second
	stopGrace    = 5 * time.Second
)

// process is a program in a process group of its own, with all of its workers.
type process struct {
	command *exec.Cmd
	log     string
	exited  chan struct{}
}

// start starts a program in dir and waits until the probe succeeds.
func start(ctx context.Context, dir string, ready probe, env []string, argv ...string) (*process, error) {
	log, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		return nil, fmt.Errorf("creating a log: %w", err)
	}
	defer func() { _ = log.Close() }()

	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(os.Environ(), env...), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(argv[0]), err)
	}
	p := &process{command: cmd, log: log.Name(), exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.exited)
	}()
	if err := p.waitReady(ctx, ready); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// probe returns an error as long as a server is not ready.
type probe func(context.Context) error

// answers is a probe: whoever listens at address answers HTTP requests.
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

// accepts is a probe: something accepts TCP connections at address.
func accepts(address string) probe {
	return func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

func (p *process) waitReady(ctx context.Context, ready probe) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		if ready(ctx) == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended: %s", filepath.Base(p.command.Path), p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s did not get ready: %s", filepath.Base(p.command.Path), p.lastWords())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// lastWords returns the end of the last line of what the program printed.
func (p *process) lastWords() string {
	output, _ := os.ReadFile(p.log)
	lines := bytes.Split(bytes.TrimSpace(output), []byte("\n"))
	last := lines[len(lines)-1]
	return string(last[max(0, len(last)-120):])
}

// stop ends the program and all of its workers.
func (p *process) stop() {
	_ = syscall.Kill(-p.command.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopGrace):
	}
	_ = syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL)
	<-p.exited
}

// cpu returns the time that the program and its workers have spent in user and
// kernel mode so far, by the clocks that the scheduler keeps: /proc has it in steps
// of 10 ms. What workers have spent that have ended is not in it.
func (p *process) cpu() time.Duration {
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

// peakMemory returns the most bytes that the program and its workers have
// resided in memory with, each at its own time.
func (p *process) peakMemory() int64 {
	var sum int64
	p.members(func(dir string, _ []string) {
		status, _ := os.ReadFile(filepath.Join(dir, "status"))
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		if fields := strings.Fields(rest); len(fields) > 0 {
			n, _ := strconv.ParseInt(fields[0], 10, 64)
			sum += n << 10
		}
	})
	return sum
}

// members calls f with each process of the group: its folder in /proc and the
// fields of its stat, from the state on, which is field 3 in proc(5).
func (p *process) members(f func(dir string, stat []string)) {
	group := strconv.Itoa(p.command.Process.Pid)
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
