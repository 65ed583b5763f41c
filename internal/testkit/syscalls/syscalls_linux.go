// Package syscalls counts what a part of a test asks of the system: reads,
// writes and syncs, by what they are done on. Tests hold budgets with it.
package syscalls

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// Counts are how many times a system call was made, by its name and what it was
// made on: "fdatasync replay.db", "write socket".
type Counts map[string]int

// names are the system calls that are counted: those that move data, whose
// number does not depend on when which thread runs. All of them begin with a
// file descriptor.
var names = map[uint64]string{
	syscall.SYS_READ: "read", syscall.SYS_READV: "readv", syscall.SYS_PREAD64: "pread64",
	syscall.SYS_WRITE: "write", syscall.SYS_WRITEV: "writev", syscall.SYS_PWRITE64: "pwrite64",
	syscall.SYS_FSYNC: "fsync", syscall.SYS_FDATASYNC: "fdatasync", syscall.SYS_FTRUNCATE: "ftruncate",
}

// counted names the test that a process runs for another one, which counts.
const counted = "TEST_SYSCALLS_COUNTED"

// Of returns what do does between begin and end. It runs the test once more in a
// process of its own, where nothing else does the same; in that process Of runs
// do and does not return.
func Of(t *testing.T, do func(begin, end func())) Counts {
	t.Helper()
	if os.Getenv(counted) == t.Name() {
		do(mark, mark)
		t.SkipNow() // the process that counts has the rest of the test
	}
	output, err := os.CreateTemp(t.TempDir(), "output")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = output.Close() }()
	counts, err := trace(t.Name(), output)
	if err != nil {
		text, _ := os.ReadFile(output.Name())
		t.Fatalf("counting system calls: %v\n%s", err, text)
	}
	return counts
}

// mark is a system call that nothing else here makes.
func mark() { _ = syscall.Getppid() }

const (
	stopAtSyscall  = syscall.SIGTRAP | 0x80
	exitKill       = 0x100000   // PTRACE_O_EXITKILL: the process does not outlive this one
	getSyscallInfo = 0x420e     // PTRACE_GET_SYSCALL_INFO
	ofThisThread   = 0x20000000 // __WNOTHREAD
	entered        = 1          // PTRACE_SYSCALL_INFO_ENTRY
)

// trace runs a test in another process and counts.
func trace(test string, output *os.File) (Counts, error) {
	runtime.LockOSThread() // a process is traced by a thread
	defer runtime.UnlockOSThread()
	path := strings.Split(regexp.QuoteMeta(test), "/")
	process, err := os.StartProcess(os.Args[0], []string{os.Args[0], "-test.run=^" + strings.Join(path, "$/^") + "$", "-test.count=1"}, &os.ProcAttr{
		Env:   append(os.Environ(), counted+"="+test),
		Files: []*os.File{nil, output, output},
		Sys:   &syscall.SysProcAttr{Ptrace: true},
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = process.Release() }()
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(process.Pid, &status, 0, nil); err != nil {
		return nil, err
	}
	options := syscall.PTRACE_O_TRACESYSGOOD | syscall.PTRACE_O_TRACECLONE | exitKill
	if err := syscall.PtraceSetOptions(process.Pid, options); err != nil {
		return nil, err
	}
	return follow(process.Pid)
}

// follow lets the threads of a stopped process run from one system call to the
// next until it ends.
func follow(process int) (Counts, error) {
	counts, counting, marks := Counts{}, false, 0
	thread, signal := process, syscall.Signal(0)
	for {
		if err := syscall.PtraceSyscall(thread, int(signal)); err != nil && err != syscall.ESRCH { //nolint:errorlint // an Errno as it is
			return nil, fmt.Errorf("continuing it: %w", err)
		}
		status, stopped, err := nextStop(process, &thread)
		switch {
		case err != nil:
			return nil, err
		case !stopped && status.ExitStatus() != 0:
			return nil, fmt.Errorf("it ended with status %d", status.ExitStatus())
		case !stopped && marks != 2:
			return nil, fmt.Errorf("it began or ended counting %d times, not twice", marks)
		case !stopped:
			return counts, nil
		}
		signal = status.StopSignal()
		if signal == syscall.SIGTRAP || signal == syscall.SIGSTOP { // a new thread
			signal = 0
		}
		if signal != stopAtSyscall {
			continue
		}
		signal = 0
		number, descriptor, err := syscallOf(thread)
		switch name := names[number]; {
		case err != nil:
			return nil, err
		case number == syscall.SYS_GETPPID:
			counting = !counting
			marks++
		case counting && name != "":
			counts[name+" "+object(thread, descriptor)]++
		}
	}
}

// nextStop waits until a thread stops, or the process has ended.
func nextStop(process int, thread *int) (status syscall.WaitStatus, stopped bool, err error) {
	for {
		*thread, err = syscall.Wait4(-1, &status, syscall.WALL|ofThisThread, nil)
		switch {
		case err == syscall.EINTR: //nolint:errorlint // an Errno as it is
		case err != nil:
			return status, false, fmt.Errorf("waiting for it: %w", err)
		case status.Stopped():
			return status, true, nil
		case *thread == process && status.Signaled():
			return status, false, fmt.Errorf("it was ended by %v", status.Signal())
		case *thread == process:
			return status, false, nil
		}
	}
}

// syscallOf returns what a thread that is stopped at a system call calls, and
// with which first argument; a number that no call has when it returns from one.
func syscallOf(thread int) (number, first uint64, err error) {
	var info [88]byte // struct ptrace_syscall_info
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, getSyscallInfo, uintptr(thread), uintptr(len(info)), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 && errno != syscall.ESRCH {
		return 0, 0, fmt.Errorf("asking for its system call: %w", errno)
	}
	if info[0] != entered {
		return 1<<64 - 1, 0, nil
	}
	return binary.NativeEndian.Uint64(info[24:]), binary.NativeEndian.Uint64(info[32:]), nil
}

// object names what a descriptor is open on: a kind, or the last part of a path.
func object(thread int, descriptor uint64) string {
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", thread, descriptor))
	if err != nil {
		return "nothing"
	}
	if kind, _, special := strings.Cut(link, ":"); special && !filepath.IsAbs(link) {
		return kind
	}
	return filepath.Base(link)
}
