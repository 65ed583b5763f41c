//go:build !race

package memory_test

import (
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/replay/memory"
	"github.com/verify-webhook/caddy-verify-webhook/replay/storetest"
)

func TestAllocations(t *testing.T) {
	claim, commit := storetest.Allocations(t, memory.New(memory.Options{}))
	if claim != 0 || commit != 0 {
		t.Errorf("%v allocations for a claim and %v for its commit, want none", claim, commit)
	}
}
