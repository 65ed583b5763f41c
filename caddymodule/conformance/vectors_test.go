package conformance_test

import (
	"path/filepath"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
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
		runVector(t, v)
	}
}

func runVector(t *testing.T, v conformance.Vector) {
	t.Helper()
	result, err := conformance.Run(v)
	switch {
	case err != nil:
		t.Errorf("%s %s: %v", v.Provider, v.Name, err)
	case result.Wrong != "":
		t.Errorf("%s %s (%s): %s", v.Provider, v.Name, v.Why, result.Wrong)
	}
}

// shared is where vectors lie that are quoted from public documentation and so
// are not part of this repository.
const shared = "../../../shared/providers"

// differing are the shared vectors that this repository has in another form:
// provider/testdata/README.md says why.
var differing = map[string]bool{
	"apple-app-store leaf-expired-but-signed-before": true,
	"apple-app-store old-signed-date":                true,
	"box accept-escaped-unicode-signature":           true,
	"contentful reject-stale":                        true,
	"plivo v2-accept":                                true,
	"plivo v2-tampered-body":                         true,
	"rfc9421 rfc-b25-hmac-sha256":                    true,
}

func TestPublishedVectorsThroughTheRealHandler(t *testing.T) {
	paths, err := filepath.Glob(shared + "/*/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	for _, name := range provider.Names() {
		known[name] = true
	}
	for _, path := range paths {
		vectors, err := conformance.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range vectors {
			if name := v.Provider + " " + v.Name; !differing[name] && known[v.PresetName()] {
				runVector(t, v)
			}
		}
	}
}
