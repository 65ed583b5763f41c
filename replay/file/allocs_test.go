//go:build !race

package file

import (
	"path/filepath"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/replay/storetest"
)

// TestAllocations limits the allocations of a delivery: a claim makes none, and
// a single commit those of a bbolt transaction and its request.
func TestAllocations(t *testing.T) {
	store := mustOpen(t, Options{Path: filepath.Join(t.TempDir(), "replay.db")})
	claim, commit := storetest.Allocations(t, store)
	t.Logf("%v allocations for a claim, %v for a single commit", claim, commit)
	if claim != 0 || commit > 110 {
		t.Errorf("%v allocations for a claim and %v for a single commit, want none and at most 110", claim, commit)
	}
}

// TestAllocationsOfGroupedCommits limits the allocations of one of 256 commits that
// share a transaction.
func TestAllocationsOfGroupedCommits(t *testing.T) {
	const together, runs = 256, 20
	store := mustOpen(t, Options{Path: filepath.Join(t.TempDir(), "replay.db")})
	first := uint16(0)
	each := testing.AllocsPerRun(runs, func() {
		commitTogether(t, store, first, together)
		first += together
	}) / together
	t.Logf("%.1f allocations each", each)
	if each > 10 {
		t.Errorf("%.1f allocations for the commit of one of %d, at most 10 are expected", each, together)
	}
}
