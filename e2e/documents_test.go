package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

var (
	fenced     = regexp.MustCompile("(?s)```caddyfile\n(.*?)```")
	secretName = regexp.MustCompile(`\{env\.(\w+)\}`)
)

// TestCaddyfilesInTheDocumentsAreValid has Caddy set up every Caddyfile that a
// reader might copy.
func TestCaddyfilesInTheDocumentsAreValid(t *testing.T) {
	caddyfiles := map[string][]byte{"Caddyfile.example": read(t, "../Caddyfile.example")}
	documents, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range append(documents, "../README.md") {
		for i, block := range fenced.FindAllSubmatch(read(t, document), -1) {
			caddyfiles[filepath.Base(document)+" "+strconv.Itoa(i+1)] = block[1]
		}
	}
	for name, text := range caddyfiles {
		t.Run(name, func(t *testing.T) { validate(t, text) })
	}
}

// validate fails the test unless Caddy accepts a Caddyfile whose secrets are all set.
func validate(t *testing.T, text []byte) {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "Caddyfile")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), caddyBinary, "validate", "--config", path, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+folder, "XDG_CONFIG_HOME="+folder)
	for _, name := range secretName.FindAllSubmatch(text, -1) {
		cmd.Env = append(cmd.Env, string(name[1])+"=a secret of its own: "+string(name[1]))
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("caddy validate: %v\n%s\n%s", err, text, out)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
