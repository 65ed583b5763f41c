// Package syscalls counts the system calls of a part of a test: reads, writes
// and syncs, by the object they operate on. Tests use it to check budgets.
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

// Counts maps each system call and its object to the number of calls:
// "fdatasync replay.db", "write socket".
type Counts map[string]int

// names are the counted system calls: those that move data, whose number does
// not depend on the scheduling of threads. The first argument of each is a file
// descriptor.
var names = map[uint64]string{
	syscall.SYS_READ: "read", syscall.SYS_READV: "readv", syscall.SYS_PREAD64: "pread64",
	syscall.SYS_WRITE: "write", syscall.SYS_WRITEV: "writev", syscall.SYS_PWRITE64: "pwrite64",
	syscall.SYS_FSYNC: "fsync", syscall.SYS_FDATASYNC: "fdatasync", syscall.SYS_FTRUNCATE: "ftruncate",
}

// counted is the environment variable that names the test to count, in the
// process that runs it.
const counted = "TEST_SYSCALLS_COUNTED"

// Of returns the system calls that do makes between begin and end. It runs the
// test again in a separate process, where nothing else makes such calls. In
// that process Of runs do and does not return.
func Of(t *testing.T, do func(begin, end func())) Counts {
	t.Helper()
	if os.Getenv(counted) == t.Name() {
		do(mark, mark)
		t.SkipNow() //nolint:forbidigo // in the counting process, which reports only counts
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

// mark makes a system call that nothing else here makes.
func mark() { _ = syscall.Getppid() }

const (
	stopAtSyscall  = syscall.SIGTRAP | 0x80
	exitKill       = 0x100000   // PTRACE_O_EXITKILL: the process does not outlive this one
	getSyscallInfo = 0x420e     // PTRACE_GET_SYSCALL_INFO
	ofThisThread   = 0x20000000 // __WNOTHREAD
	entered        = 1          // PTRACE_SYSCALL_INFO_ENTRY
)

// trace runs a test in another process and counts its system calls.
func trace(test string, output *os.File) (Counts, error) {
	runtime.LockOSThread() // a thread traces a process
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

// follow resumes the threads of a stopped process from one system call to the
// next until it ends.
func follow(process int) (Counts, error) {
	counts, counting, marks := Counts{}, false, 0
	thread, signal := process, syscall.Signal(0)
	for {
		if err := syscall.PtraceSyscall(thread, int(signal)); err != nil && err != syscall.ESRCH { // an unwrapped Errno
			return nil, fmt.Errorf("resuming the process: %w", err)
		}
		status, stopped, err := nextStop(process, &thread)
		switch {
		case err != nil:
			return nil, err
		case !stopped && status.ExitStatus() != 0:
			return nil, fmt.Errorf("the process exited with status %d", status.ExitStatus())
		case !stopped && marks != 2:
			return nil, fmt.Errorf("the process began or ended counting %d times, want twice", marks)
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

// nextStop waits until a thread stops or the process has ended.
func nextStop(process int, thread *int) (status syscall.WaitStatus, stopped bool, err error) {
	for {
		*thread, err = syscall.Wait4(-1, &status, syscall.WALL|ofThisThread, nil)
		switch {
		case err == syscall.EINTR: // an unwrapped Errno
		case err != nil:
			return status, false, fmt.Errorf("waiting for the process: %w", err)
		case status.Stopped():
			return status, true, nil
		case *thread == process && status.Signaled():
			return status, false, fmt.Errorf("the process was killed by %v", status.Signal())
		case *thread == process:
			return status, false, nil
		}
	}
}

// syscallOf returns the number and the first argument of the system call that a
// stopped thread enters. When the thread returns from a call, the number is one
// that no call has.
func syscallOf(thread int) (number, first uint64, err error) {
	var info [88]byte // struct ptrace_syscall_info
	//nolint:gosec // the kernel fills in a buffer of the given length
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, getSyscallInfo, uintptr(thread), uintptr(len(info)), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 && errno != syscall.ESRCH {
		return 0, 0, fmt.Errorf("reading the system call: %w", errno)
	}
	if info[0] != entered {
		return 1<<64 - 1, 0, nil
	}
	return binary.NativeEndian.Uint64(info[24:]), binary.NativeEndian.Uint64(info[32:]), nil
}

// object returns the object of a file descriptor: a kind, or the last element
// of a path.
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
