// Package process starts the programs of the end-to-end tests, the demo and the
// benchmarks, waits until they are ready, and stops them with all of their workers.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"
)

const (
	stopGrace    = 10 * time.Second
	probeEvery   = 20 * time.Millisecond
	probeTimeout = time.Second
	keptOutput   = 64 << 10
)

// Command is a program to start.
type Command struct {
	Path string   // the program
	Args []string // its arguments, without the program itself
	Dir  string   // where it runs; empty: where the caller runs
	Env  []string // added to the caller's environment

	// Line, if set, is called with every line that the program prints to
	// either stream, one at a time.
	Line func([]byte)
}

// Process is a started program.
type Process struct {
	command *exec.Cmd
	output  *lines
	exited  chan struct{}
	err     error // how it ended; read only once exited is closed

	end    sync.Once // by Stop or Kill, whichever is called first
	endErr error
}

// Start starts the program in its own process group. Every started Process must be
// stopped.
func Start(c Command) (*Process, error) {
	output := &lines{each: c.Line}
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout = output
	cmd.Stderr = output
	cmd.WaitDelay = time.Second // do not wait for a worker that keeps the pipe open
	ownGroup(cmd)

	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Path, err)
	}
	p := &Process{command: cmd, output: output, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// WaitReady returns as soon as probe returns no error. It fails with the program's
// output when the program exits or ctx ends.
func (p *Process) WaitReady(ctx context.Context, probe func(context.Context) error) error {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, probeTimeout)
		err := probe(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended before it was ready: %w\n%s", p.command.Path, p.err, p.Output())
		case <-ctx.Done():
			return fmt.Errorf("%s did not get ready: %w\n%s", p.command.Path, err, p.Output())
		case <-tick.C:
		}
	}
}

// Stop asks the program and its workers to exit, and kills them after a grace
// period. It returns an error if the program failed. After Kill it does nothing; a
// second call returns the same result.
func (p *Process) Stop() error {
	p.end.Do(func() { p.endErr = p.stop() })
	return p.endErr
}

func (p *Process) stop() error {
	terminateGroup(p.command)
	select {
	case <-p.exited:
	case <-time.After(stopGrace):
		killGroup(p.command)
		<-p.exited
		return fmt.Errorf("%s did not stop within %v and was killed\n%s", p.command.Path, stopGrace, p.Output())
	}
	killGroup(p.command) // workers that outlived their parent
	if p.err != nil && !errors.Is(p.err, exec.ErrWaitDelay) && !endedByOurSignal(p.err) {
		return fmt.Errorf("%s ended: %w\n%s", p.command.Path, p.err, p.Output())
	}
	return nil
}

// Kill kills the program, like a crash or a power cut.
func (p *Process) Kill() {
	p.end.Do(func() {
		killGroup(p.command)
		<-p.exited
	})
}

// PID returns the number of the process.
func (p *Process) PID() int { return p.command.Process.Pid }

// Output returns the last 64 KiB that the program printed.
func (p *Process) Output() string { return p.output.tail() }

// Accepts is a probe for WaitReady: the address accepts TCP connections.
func Accepts(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// lines is an io.Writer that forwards whole lines and keeps the last ones.
type lines struct {
	each func([]byte)

	mu      sync.Mutex
	partial []byte
	kept    []byte
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept = append(l.kept, b...); len(l.kept) > 2*keptOutput {
		l.kept = append([]byte(nil), l.kept[len(l.kept)-keptOutput:]...)
	}
	if l.each == nil {
		return len(b), nil
	}
	l.partial = append(l.partial, b...)
	for {
		line, rest, found := bytes.Cut(l.partial, []byte("\n"))
		if !found {
			return len(b), nil
		}
		l.each(line)
		l.partial = rest
	}
}

func (l *lines) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.kept[max(0, len(l.kept)-keptOutput):])
}
