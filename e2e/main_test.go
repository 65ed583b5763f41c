// Package e2e tests the whole sidecar: a real Caddy, built with the race
// detector, between a sender and an app, driven as a provider would drive it.
package e2e

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
	folder, err := os.MkdirTemp("", "verify-webhook-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)

	ctx, cancel := context.WithTimeout(context.Background(), buildWithin)
	defer cancel()
	caddyBinary = filepath.Join(folder, "caddy")
	if err := sidecar.Build(ctx, caddyBinary, true); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
