// Package operate tests what operators are given: dashboard and alerts with a
// real Prometheus, the commands that ask the Caddy that runs, and the example
// apps that need more than Go or Python.
package operate

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	// What is under test is built apart; imported here too, go test knows to run
	// the tests again when it changes.
	_ "github.com/verify-webhook/caddy-verify-webhook"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

const buildWithin = 9 * time.Minute

// caddyBinary is built once, for all tests.
var caddyBinary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "verify-webhook-operate-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)

	ctx, cancel := context.WithTimeout(context.Background(), buildWithin)
	defer cancel()
	caddyBinary = filepath.Join(folder, "caddy")
	if err := sidecar.Build(ctx, caddyBinary, false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
