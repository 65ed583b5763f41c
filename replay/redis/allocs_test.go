//go:build !race

package redis

import (
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient/redistest"
	"github.com/verify-webhook/caddy-verify-webhook/replay/storetest"
)

// TestAllocations limits the allocations of two script calls.
func TestAllocations(t *testing.T) {
	claim, commit := storetest.Allocations(t, mustOpen(t, Options{URL: redistest.Start(t).URL(), Timeout: redistest.Patience}))
	t.Logf("%v allocations for a claim, %v for its commit", claim, commit)
	if claim > 20 || commit > 20 {
		t.Errorf("%v allocations for a claim and %v for its commit, at most 20 are expected", claim, commit)
	}
}
