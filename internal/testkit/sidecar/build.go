package sidecar

import (
	"context"
	"fmt"
	"os/exec"
)

// Build compiles Caddy with this module from a checkout, to an absolute path,
// with the race detector if race is set. If the file there is up to date already,
// go build leaves it alone.
func Build(ctx context.Context, checkout, path string, race bool) error {
	args := []string{"build", "-C", checkout, "-o", path}
	if race {
		args = append(args, "-race")
	}
	// Without the commit in it: a commit that changes no code would be a reason to
	// link again, and git refuses to read a checkout that belongs to another user.
	args = append(args, "-buildvcs=false", "./caddy")
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("building caddy: %w\n%s", err, out)
	}
	return nil
}
