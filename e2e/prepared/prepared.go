// Package prepared provides the programs that end-to-end tests run and that a fresh
// clone does not contain: Caddy, npm packages and a Python environment. Each is created
// at its first use; other tests, including those of packages that go test runs
// concurrently, wait for it. Later runs reuse what is up to date.
//
// e2e/prepare.sh installs system programs (node, redis-server, prometheus …).
package prepared

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	// Caddy is built by a separate command. This import makes go test rerun the
	// tests when its code changes.
	_ "github.com/verify-webhook/caddy-verify-webhook"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

const within = 9 * time.Minute // go test allows ten

// Caddy returns the path of a Caddy built from this checkout, with the race
// detector if the test itself was built with it.
func Caddy(t testing.TB) string {
	t.Helper()
	name := "caddy"
	if withRaceDetector() {
		name = "caddy-race"
	}
	path := filepath.Join(checkout(t), "build", "e2e", name)
	once(t, name, func(ctx context.Context) error {
		return sidecar.Build(ctx, checkout(t), path, withRaceDetector())
	})
	return path
}

func withRaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// Packages installs the npm packages of the lock file in a folder of the checkout.
func Packages(t testing.TB, folder string) {
	t.Helper()
	folder = filepath.Join(checkout(t), folder)
	once(t, filepath.Base(folder), func(ctx context.Context) error {
		wanted, err := os.ReadFile(filepath.Join(folder, "package-lock.json"))
		if err != nil {
			return err
		}
		installed := filepath.Join(folder, "node_modules", "installed") // a copy of the lock file
		if have, err := os.ReadFile(installed); err == nil && bytes.Equal(have, wanted) {
			return nil
		}
		if err := run(ctx, folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"); err != nil {
			return err
		}
		return os.WriteFile(installed, wanted, 0o600)
	})
}

// Python returns the folder with the programs of a Python environment for the example
// apps.
func Python(t testing.TB) string {
	t.Helper()
	once(t, "python", func(ctx context.Context) error {
		return run(ctx, checkout(t), filepath.Join(checkout(t), "examples", "python-env.sh"))
	})
	return filepath.Join(checkout(t), ".venv", "bin")
}

// PythonPackages returns the folder with the programs of a Python environment with the
// packages of requirements.txt in a folder of the checkout.
func PythonPackages(t testing.TB, folder string) string {
	t.Helper()
	name := filepath.Base(folder) + "-python"
	environment := filepath.Join(checkout(t), "build", "e2e", name)
	once(t, name, func(ctx context.Context) error {
		requirements := filepath.Join(checkout(t), folder, "requirements.txt")
		wanted, err := os.ReadFile(requirements)
		if err != nil {
			return err
		}
		installed := filepath.Join(environment, "installed") // a copy of the requirements
		if have, err := os.ReadFile(installed); err == nil && bytes.Equal(have, wanted) {
			return nil
		}
		if err := run(ctx, checkout(t), "python3", "-m", "venv", "--clear", environment); err != nil {
			return err
		}
		if err := run(ctx, checkout(t), filepath.Join(environment, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "-r", requirements); err != nil {
			return err
		}
		return os.WriteFile(installed, wanted, 0o600)
	})
	return filepath.Join(environment, "bin")
}

// done contains, by name, the func() error of each preparation in this process.
var done sync.Map

// once calls f at the first call with a name, and excludes other processes. The test
// fails if f failed in this or an earlier call.
func once(t testing.TB, name string, f func(context.Context) error) {
	t.Helper()
	path := filepath.Join(checkout(t), "build", "e2e", name+".lock")
	made, _ := done.LoadOrStore(name, sync.OnceValue(func() error {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return err
		}
		unlock, err := lock(path)
		if err != nil {
			return err
		}
		defer unlock()
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		return f(ctx)
	}))
	if err := made.(func() error)(); err != nil {
		t.Fatal(err)
	}
}

// checkout returns the root of the repository.
func checkout(t testing.TB) string {
	t.Helper()
	root, err := findCheckout()
	if err != nil {
		t.Fatalf("finding the root of the repository: %v", err)
	}
	return root
}

var findCheckout = sync.OnceValues(func() (string, error) {
	module, err := exec.CommandContext(context.Background(), "go", "env", "GOMOD").Output()
	return filepath.Dir(filepath.Dir(strings.TrimSpace(string(module)))), err // above e2e/go.mod
})

func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
