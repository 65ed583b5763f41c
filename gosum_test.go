package verifywebhook_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestTestsNeedNoAdditionalModules keeps go.sum small for users: modules that only
// tests need must be in the go.mod of e2e, bench or an example.
func TestTestsNeedNoAdditionalModules(t *testing.T) {
	modules := func(args ...string) map[string]bool {
		t.Helper()
		list := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}"}, args...)...)
		output, err := list.Output()
		if err != nil {
			t.Fatalf("%v: %v", list, err)
		}
		all := make(map[string]bool)
		for name := range strings.FieldsSeq(string(output)) {
			all[name] = true
		}
		return all
	}
	linked := modules("./caddy")
	if len(linked) < 50 {
		t.Fatalf("found only %d linked modules", len(linked))
	}
	for name := range modules("-test", "./...") {
		if !linked[name] {
			t.Errorf("only tests need %s: move them to e2e", name)
		}
	}
}
