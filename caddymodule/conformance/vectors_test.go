package conformance_test

import (
	"path/filepath"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
)

// files returns the vectors that this repository holds.
func files(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("../../provider/testdata/vectors/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	return paths
}

func TestEveryVectorThroughTheRealHandler(t *testing.T) {
	for _, path := range files(t) {
		t.Run(filepath.Base(path), func(t *testing.T) { runFile(t, path) })
	}
}

// runFile reports every vector of a file that does not end as expected.
func runFile(t *testing.T, path string) {
	t.Helper()
	vectors, err := conformance.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		result, err := conformance.Run(v)
		switch {
		case err != nil:
			t.Errorf("%s %s: %v", v.Provider, v.Name, err)
		case result.Wrong != "":
			t.Errorf("%s %s (%s): %s", v.Provider, v.Name, v.Why, result.Wrong)
		}
	}
}
