package shellquote

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// shells are those that people paste commands into. The second list has those that
// read $'…'.
var (
	shells = []string{"sh", "dash", "bash", "zsh", "ksh", "mksh", "yash", "fish"}
	ansi   = []string{"bash", "zsh", "ksh", "mksh"}
)

// installed returns the names whose program is on this machine. bash is required.
func installed(t *testing.T, names []string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			found[name] = path
		}
	}
	if found["bash"] == "" {
		t.Fatal("bash is not installed")
	}
	return found
}

// hostile are texts that try to end their quotes. INJECT is a command that creates a
// file.
var hostile = []string{
	`'; INJECT; '`, `\'; INJECT; '`, `\'; INJECT; \'`, `\\'; INJECT; #`, `a\`, `\\`, `\\\`, `'\''; INJECT; '\''`, `$(INJECT)`, "`INJECT`", `$INJECT`, `!!`, `"; INJECT; "`,
	`%USERPROFILE%`, `~`, `*`, `{a,b}`, `a\nb`, `\x27; INJECT; \x27`, `\047; INJECT; \047`, `{"a":"b\"c\\"}`, `Jörg`, ``,
}

// unprintable are texts with control characters.
var unprintable = []string{
	"\n'; INJECT; '", "\n\\'; INJECT; '", "\\'; INJECT; \\'\n", "'; INJECT; '\x1b[2J", "\t\\", "a\r\nb", "\u202e'; INJECT; #", "\xff'; INJECT; '", "7\x017", "\x7f",
}

// run runs `printf %s <word> ; …` in a shell and returns the output, and whether the
// command in it was run. The text of a header follows, as in a curl command.
func run(t *testing.T, shell, word, next string) (out string, injected bool) {
	t.Helper()
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("printf '%s\\n%s' "+word+" \\\n  "+next+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(shell, script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "LC_ALL=C.UTF-8")
	raw, _ := cmd.Output() // a syntax error is a refusal
	_, err := os.Stat(filepath.Join(dir, "injected"))
	return string(raw), err == nil
}

func TestQuotedTextIsOneWordInEveryShell(t *testing.T) {
	for name, path := range installed(t, shells) {
		for _, text := range hostile {
			text = strings.ReplaceAll(text, "INJECT", "touch injected")
			for _, quote := range []func(string) string{Quote, QuoteHostile} {
				out, injected := run(t, path, quote(text), quote("; touch injected #"))
				if injected || out != text+"\n; touch injected #" {
					t.Errorf("%s: %q: printed %q, injected %t", name, text, out, injected)
				}
			}
		}
	}
}

func TestUnprintableTextIsNeverRun(t *testing.T) {
	reads := installed(t, ansi)
	for name, path := range installed(t, shells) {
		for _, text := range unprintable {
			text = strings.ReplaceAll(text, "INJECT", "touch injected")
			quoted := QuoteHostile(text)
			out, injected := run(t, path, quoted, QuoteHostile("\n; touch injected #"))
			if injected {
				t.Errorf("%s: %q is run", name, text)
			}
			if reads[name] != "" && out != text+"\n\n; touch injected #" {
				t.Errorf("%s: %q: printed %q", name, text, out)
			}
			for _, c := range []byte(quoted) {
				if c < ' ' || c >= 0x7f {
					t.Errorf("%q contains a control character", quoted)
				}
			}
		}
	}
}

func TestCurlDoesNotExpandURLs(t *testing.T) {
	for url, want := range map[string]string{"http://h/a?b=c": "", "http://h/[1-1000]": " -g", "http://h/{a,b}": " -g"} {
		if got := CurlFlags(url); got != want {
			t.Errorf("%s: got %q", url, got)
		}
	}
}
