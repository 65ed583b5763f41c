//go:build linux

package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/bench/target"
)

// about returns the machine and the software versions of a run. It omits programs
// that are not installed.
func about(e target.Env) []string {
	lines := []string{machine()}
	if info, err := buildinfo.ReadFile(e.Caddy); err == nil {
		lines = append(lines, "built with "+info.GoVersion)
		for _, module := range info.Deps {
			if module.Path == "github.com/caddyserver/caddy/v2" {
				lines = append(lines, "Caddy "+module.Version)
			}
		}
	}
	for _, command := range [][]string{
		{"nginx", "-v"},
		{"redis-server", "--version"},
		{"dpkg-query", "-W", "libnginx-mod-http-lua", "libnginx-mod-http-js", "lua-luaossl"},
		{e.Python, "-c", "import sys, importlib.metadata as m\nprint('Python', sys.version.split()[0])\n" +
			"for p in 'flask', 'gunicorn', 'fastapi', 'uvicorn', 'uvloop', 'httptools':\n try: print(p, m.version(p))\n except Exception: print(p, 'not installed')"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		output, _ := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
		cancel()
		for line := range strings.Lines(string(output)) {
			line, _, _ = strings.Cut(strings.Join(strings.Fields(line), " "), " sha=") // drop the Redis build ID
			if line != "" && len(line) < 200 {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// machine describes the processor, memory and operating system.
func machine() string {
	kib, _ := strconv.Atoi(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"))
	return fmt.Sprintf("%d cores (%s), %d GiB of memory, %s, load average %s", runtime.NumCPU(),
		field("/proc/cpuinfo", "model name"), kib>>20, field("/etc/os-release", "PRETTY_NAME"), loadAverage())
}

// field returns the value that follows the name and a colon or equals sign.
func field(path, name string) string {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, name); found {
			return strings.Trim(rest, " \t\n:=\"")
		}
	}
	return "unknown"
}

func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
