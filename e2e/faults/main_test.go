// Package faults proves the promises about replays on the built binary, with a
// real Redis server and a real disk, by what goes wrong in production: crashes,
// outages, reloads, full disks and failing apps, all of it under load.
//
// A delivery is acknowledged once its sender has seen a 2xx. From then on no
// attempt may reach the app. The one gap is allowed, and counted, where it is
// promised: an attempt that never got an answer may have reached the app.
//
// go test runs a short form of each test, go test -soak the long one.
package faults

import (
	"context"
	"flag"
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

var (
	soak        = flag.Bool("soak", false, "run the long form of every test")
	caddyBinary string // built once, for all tests
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "verify-webhook-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)

	ctx, cancel := context.WithTimeout(context.Background(), buildWithin)
	defer cancel()
	caddyBinary = filepath.Join(folder, "caddy")
	// The short form looks for data races, the long one for volume.
	if err := sidecar.Build(ctx, caddyBinary, !*soak); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// times says how often a test does something, in its short and its long form.
func times(short, long int) int {
	if *soak {
		return long
	}
	return short
}
