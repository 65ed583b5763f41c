//go:build unix

// Package fulldisk simulates a full disk in tests.
package fulldisk

import (
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// child is the environment variable that names the test to run in this process.
const child = "TEST_FULL_DISK"

// Run calls test with functions that fill the disk and free space on it. A limit
// on the size of files simulates the full disk. The test runs in a separate
// process, because the limit applies to the whole process and the testing package
// also writes files.
func Run(t *testing.T, test func(t *testing.T, fill, free func())) {
	t.Helper()
	if os.Getenv(child) != t.Name() {
		inChild(t)
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := func(files syscall.Rlimit) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &files); err != nil {
			t.Fatal(err)
		}
	}
	full := before
	full.Cur = 0
	free := func() { limit(before) }
	t.Cleanup(free)
	test(t, func() { limit(full) }, free)
}

// inChild runs the test in a separate process. It fails if the test fails there
// or does not run.
func inChild(t *testing.T) {
	t.Helper()
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	process.Env = append(os.Environ(), child+"="+t.Name())
	if out, err := process.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS: "+t.Name()) {
		t.Fatalf("%v\n%s", err, out)
	}
}
