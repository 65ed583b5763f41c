// Package prepared has ready what the end-to-end tests run and a fresh clone does
// not hold: Caddy, npm packages, a Python. The test that asks first has each of
// them made; the others, also those of packages that go test runs at the same time,
// wait for it. What is up to date is used as it is, in later runs, too.
//
// Programs of the system (node, redis-server, prometheus …) are not installed here:
// see e2e/prepare.sh.
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

	// Caddy is built apart. Imported here too, go test knows to run the tests
	// again when its code changes.
	_ "github.com/verify-webhook/caddy-verify-webhook"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

const within = 9 * time.Minute // of the ten that go test allows

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

// Packages installs the npm packages that the lock file in a folder of the
// checkout names.
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

// Python returns the folder with the programs of a Python that has what the example
// apps require.
func Python(t testing.TB) string {
	t.Helper()
	once(t, "python", func(ctx context.Context) error {
		return run(ctx, checkout(t), filepath.Join(checkout(t), "examples", "python-env.sh"))
	})
	return filepath.Join(checkout(t), ".venv", "bin")
}

// PythonPackages returns the folder with the programs of a Python that has what the
// requirements.txt in a folder of the checkout names.
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

// done holds, by name, what was made in this process, as a func() error.
var done sync.Map

// once calls f the first time it is called with a name, while no other process
// does the same. The test fails if f has failed, then or now.
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
		t.Fatalf("looking for the root of the repository: %v", err)
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
