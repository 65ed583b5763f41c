package faults

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// step is one system call of a traced process that matters for what a power cut
// leaves, or a line that it has printed.
type step struct {
	kind   stepKind
	path   string // of the file or folder
	to     string // of a link or a rename
	offset int64
	size   int64 // of a truncation
	data   []byte
}

type stepKind int

const (
	created stepKind = iota
	wrote
	truncated
	synced
	linked
	renamed
	unlinked
	said
)

// traceCalls are the system calls that change files, or make changes durable.
const traceCalls = "openat,mkdirat,pwrite64,write,fdatasync,fsync,ftruncate,linkat,renameat,renameat2,unlinkat"

// traced runs this test program as a victim in a folder and returns what it has
// done there, in order. strace is needed: nothing of Go sees what bbolt does
// with its file.
func traced(t *testing.T, victim, folder string) []step {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("this test needs strace (Debian: apt-get install strace)")
	}
	out := filepath.Join(t.TempDir(), "trace")
	cmd := exec.CommandContext(t.Context(), strace, "-f", "-y", "-xx", "-s", "4194304", "-e", "signal=none", "-e", "trace="+traceCalls, "-o", out, os.Args[0])
	cmd.Env = append(os.Environ(), victimVariable+"="+victim, "TORN_FOLDER="+folder)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("tracing: %v", err)
	}
	file, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := tracer{folder: folder, begun: map[string]string{}, offsets: map[string]int64{}}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		r.line(lines.Text())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return r.steps
}

// tracer reads the output of strace.
type tracer struct {
	folder  string
	begun   map[string]string // by thread, what another one has interrupted
	offsets map[string]int64  // by file descriptor
	steps   []step
}

var (
	// tracedCall is a call that has ended: thread, name, arguments, result.
	tracedCall = regexp.MustCompile(`^([0-9]+) +([a-z0-9_]+)\((.*)\) += (-?[0-9]+)`)
	resumed    = regexp.MustCompile(`^([0-9]+) +<\.\.\. [a-z0-9_]+ resumed>(.*)$`)
	// handleOf is a file descriptor with its path, text a string.
	handleOf = regexp.MustCompile(`^(-?[0-9]+|AT_FDCWD)<([^>]*)>`)
	hexText  = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"`)
)

func (r *tracer) line(text string) {
	if call, rest, interrupted := strings.Cut(text, " <unfinished ...>"); interrupted && rest == "" {
		thread, _, _ := strings.Cut(text, " ")
		r.begun[thread] = call
		return
	}
	if m := resumed.FindStringSubmatch(text); m != nil {
		text = r.begun[m[1]] + m[2]
	}
	m := tracedCall.FindStringSubmatch(text)
	if m == nil || strings.HasPrefix(m[4], "-") {
		return // a signal, an exit, or a call that has failed
	}
	r.call(m[2], m[3], m[4])
}

// call adds what a call has done.
func (r *tracer) call(name, arguments, result string) {
	handle := handleOf.FindStringSubmatch(arguments)
	if handle == nil {
		return
	}
	fd, path := handle[1], plain(handle[2])
	var texts []string
	for _, m := range hexText.FindAllStringSubmatch(arguments, -1) {
		texts = append(texts, plain(m[1]))
	}
	numbers := strings.Split(arguments, ", ")
	last, _ := strconv.ParseInt(numbers[len(numbers)-1], 10, 64)
	switch name {
	case "openat":
		r.offsets[result] = 0
		if strings.Contains(arguments, "O_CREAT") {
			r.add(step{kind: created, path: texts[0]})
		}
	case "pwrite64":
		r.add(step{kind: wrote, path: path, offset: last, data: []byte(texts[0])})
	case "write":
		if fd == "1" {
			r.steps = append(r.steps, step{kind: said, data: []byte(texts[0])})
			return
		}
		r.add(step{kind: wrote, path: path, offset: r.offsets[fd], data: []byte(texts[0])})
		r.offsets[fd] += int64(len(texts[0]))
	case "ftruncate":
		r.add(step{kind: truncated, path: path, size: last})
	case "fdatasync", "fsync":
		r.add(step{kind: synced, path: path})
	case "linkat":
		r.add(step{kind: linked, path: texts[0], to: texts[1]})
	case "renameat", "renameat2":
		r.add(step{kind: renamed, path: texts[0], to: texts[1]})
	case "unlinkat":
		r.add(step{kind: unlinked, path: texts[0]})
	}
}

func (r *tracer) add(s step) {
	if strings.HasPrefix(s.path, r.folder) {
		r.steps = append(r.steps, s)
	}
}

// plain decodes what strace has written in hexadecimal.
func plain(text string) string {
	out := make([]byte, 0, len(text)/4)
	for i := 0; i+3 < len(text); i += 4 {
		b, _ := strconv.ParseUint(text[i+2:i+4], 16, 8)
		out = append(out, byte(b))
	}
	return string(out)
}
