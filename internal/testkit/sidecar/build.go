package sidecar

import (
	"context"
	"fmt"
	"os/exec"
)

// Build compiles Caddy with this module from a checkout, to an absolute path, with
// the race detector if race is set. go build does nothing if the file is up to date.
func Build(ctx context.Context, checkout, path string, race bool) error {
	args := []string{"build", "-C", checkout, "-o", path}
	if race {
		args = append(args, "-race")
	}
	// Without the commit, which would cause linking after each commit. Also, git
	// refuses to read a checkout of another user.
	args = append(args, "-buildvcs=false", "./caddy")
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("building caddy: %w\n%s", err, out)
	}
	return nil
}
