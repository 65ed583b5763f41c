package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// generate writes the files as a release does.
func generate(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "manual")
	arguments := os.Args
	t.Cleanup(func() { os.Args = arguments })
	os.Args = []string{"manual", folder, "1760000000"}
	main()
	return folder
}

func page(t *testing.T, folder, name string) string {
	t.Helper()
	file, err := os.Open(filepath.Join(folder, "man8", name+".8.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	in, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEveryCommandHasAManualPage(t *testing.T) {
	folder := generate(t)
	if text := page(t, folder, "caddy"); strings.Contains(text, name) || !strings.Contains(text, "caddy-verify-webhook(8)") {
		t.Errorf("caddy(8) lists this program, or not its own commands:\n%s", text)
	}
	// Each has placeholders, which Markdown omits unless they are escaped.
	for command, usage := range map[string]string{
		"explain": "<number> | <provider> [<file>]", "forget": "<", "listen": "<", "queue-retry": "<queue> [<key>...]",
		"seen": "<", "send": "<provider>", "sign": "<provider>", "test": "<",
	} {
		text := strings.NewReplacer(`\&`, "", `\`, "").Replace(page(t, folder, "caddy-verify-webhook-"+command))
		_, synopsis, _ := strings.Cut(text, "SYNOPSIS")
		synopsis, _, _ = strings.Cut(synopsis, ".SH")
		if !strings.Contains(synopsis, usage) {
			t.Errorf("the synopsis of %s does not contain %q:\n%s", command, usage, synopsis)
		}
	}
	for shell, part := range map[string]string{"bash": "__start_caddy", "zsh": "#compdef caddy", "fish": "complete -c caddy"} {
		text, err := os.ReadFile(filepath.Join(folder, shell))
		if err != nil || !strings.Contains(string(text), part) {
			t.Errorf("%s: %v, no %q", shell, err, part)
		}
	}
}

func TestTheManualIsReproducible(t *testing.T) {
	first := generate(t)
	t.Setenv("TZ", "Asia/Kathmandu")
	t.Setenv("HOME", t.TempDir())
	second := generate(t)
	files, err := filepath.Glob(filepath.Join(first, "*", "*"))
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range append(files, filepath.Join(first, "bash"), filepath.Join(first, "zsh"), filepath.Join(first, "fish")) {
		name, err := filepath.Rel(first, file)
		if err != nil {
			t.Fatal(err)
		}
		one, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(second, name))
		if err != nil || !bytes.Equal(one, other) {
			t.Errorf("%s: %v, or the bytes differ", name, err)
		}
	}
}
