package command

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// tree runs the command as Caddy does.
func tree(ctx context.Context, args ...string) (out string, err error) {
	root := &cobra.Command{Use: "caddy", SilenceUsage: true}
	cmd := &cobra.Command{Use: "verify-webhook <command>"}
	addSubcommands(cmd)
	root.AddCommand(cmd)
	var b bytes.Buffer
	root.SetOut(&b)
	root.SetErr(&b)
	root.SetIn(strings.NewReader(""))
	root.SetArgs(append([]string{"verify-webhook"}, args...))
	err = root.ExecuteContext(ctx)
	return b.String(), err
}

func names() []string {
	var all []string
	for _, cmd := range subcommands() {
		all = append(all, cmd.Name())
	}
	return all
}

func TestHelpFitsInEightyColumns(t *testing.T) {
	for _, name := range append(names(), "") {
		out, err := tree(t.Context(), append(strings.Fields(name), "--help")...)
		if err != nil || !strings.Contains(out, "Usage:") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		for line := range strings.Lines(out) {
			if utf8.RuneCountInString(strings.TrimRight(line, "\n")) > columns {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

// Text in backquotes in the help of a flag is printed as the name of its value.
func TestHelpOfFlagsContainsNoBackquotes(t *testing.T) {
	for _, cmd := range subcommands() {
		if help := cmd.Flags().FlagUsages(); strings.Contains(help, "--insecure tls") || strings.Contains(help, "`") {
			t.Errorf("%s:\n%s", cmd.Name(), help)
		}
		if cmd.Flags().Lookup("json") == nil {
			t.Errorf("%s has no --json", cmd.Name())
		}
	}
}

// Caddy's error contains the exit code.
func TestWrongUsageHasItsOwnExitCode(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"snd github", "unrecognized command: snd: did you mean send?"},
		{"bogus", "unrecognized command: bogus; available: explain, forget"},
		{"send", "accepts 1 arg"},
		{"send gihtub", "unrecognized provider: gihtub; did you mean github"},
		{"sign gihtub", "unrecognized provider: gihtub; did you mean github"},
		{"explain gihtub", "unrecognized provider: gihtub; did you mean github"},
		{"providers xyzzy-none", "unrecognized provider: xyzzy-none; search with"},
		{"send github --secrt x", "did you mean --secret?"},
		{"sign github --as curll", "unrecognized --as: curll: did you mean curl?"},
		{"sign github --tamper --stale", "cannot be combined"},
		{"send github --secret s --count 0", "must be 1 or more"},
		{"explain github --received yesterday", "is not a time"},
		{"seen github", "accepts 2 arg"},
		{"test", "at least 1 arg"},
	} {
		out, err := tree(t.Context(), strings.Fields(test.args)...)
		if err == nil || err.Error() != "exiting with status 2" || !strings.Contains(out, test.want) || !strings.Contains(out, "--help` for flags") {
			t.Errorf("%s: %v\n%s", test.args, err, out)
		}
	}
	if _, err := tree(t.Context()); err != nil {
		t.Errorf("without a command: %v", err)
	}
}

func TestProvidersSearchesAndFitsInEightyColumns(t *testing.T) {
	out, err := tree(t.Context(), "providers", "pay")
	if err != nil || !strings.Contains(out, "paypal ") || !strings.Contains(out, "Razorpay") || strings.Contains(out, "github") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, name := range append(provider.Names(), "") {
		out, err := tree(t.Context(), append([]string{"providers"}, strings.Fields(name)...)...)
		if err != nil || out == "" {
			t.Errorf("%s: %v", name, err)
		}
		for line := range strings.Lines(out) {
			words := strings.Fields(line)
			long := len(words) > 0 && utf8.RuneCountInString(words[len(words)-1]) > 60 // URLs are not wrapped
			if width := utf8.RuneCountInString(strings.TrimRight(line, "\n")); width > columns && !long || strings.ContainsAny(line, "`") && !strings.HasPrefix(line, "\t") {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
	if out, err := tree(t.Context(), "providers", "custom"); err != nil || !strings.Contains(out, "verify_webhook custom {") {
		t.Errorf("custom: %v\n%s", err, out)
	}
}

func TestEverySubcommandPrintsJSON(t *testing.T) {
	vectors := vectorFile(t, strings.NewReplacer("NAME", "good", "EXPECT", "accept").Replace("["+vectorOfGitHub+"]"))
	for _, args := range [][]string{
		{"providers", "--json"},
		{"providers", "stripe", "--json"},
		{"providers", "pay", "--json"},
		{"providers", "custom", "--json"},
		{"sign", "github", "--secret", sendSecret, "--json"},
		{"test", "--json", vectors},
	} {
		out, err := tree(t.Context(), args...)
		if err != nil || !json.Valid([]byte(out)) || strings.Count(out, "\n") != 1 {
			t.Errorf("%v: %v\n%.300s", args, err, out)
		}
	}
}

// The examples run in a shell as they are printed.
func TestExamplesOfTheHelpWork(t *testing.T) {
	admin, site := startSite(t)
	dir := t.TempDir()
	t.Setenv("GITHUB_WEBHOOK_SECRET", sendSecret)
	record, err := os.ReadFile(recorded(t, "github", "--secret", sendSecret))
	if err != nil {
		t.Fatal(err)
	}
	vector := strings.NewReplacer("NAME", "good", "EXPECT", "accept").Replace("[" + vectorOfGitHub + "]")
	custom, err := os.ReadFile(recorded(t, "custom", "--options", acmeOptions, "--secret", sendSecret, "--url", "https://hooks.example.com/webhooks/acme"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"delivery.http": string(record), "trace.har": `{"request":{"method":"POST","url":"https://h/","headers":[],"postData":{"text":"{}"}}}`,
		"secret": sendSecret, "old_secret": "old", "token": "12345678901234567890123456789012", "event.json": `{"id":"evt_1","type":"a"}`,
		"vectors.json": vector, "github.json": vector, "stripe.json": vector, "Caddyfile": acmeCaddyfile, "custom.http": string(custom),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("ACME_SECRET", sendSecret)
	t.Chdir(dir)
	for _, cmd := range subcommands() {
		for line := range strings.SplitSeq(strings.ReplaceAll(cmd.Example, "\\\n", ""), "\n") {
			words, err := exec.Command("sh", "-c", "for word in "+strings.TrimPrefix(strings.TrimSpace(strings.ReplaceAll(line, "pbpaste |", "")), "caddy")+"; do printf '%s\\n' \"$word\"; done").Output()
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			args := strings.Split(strings.TrimSpace(string(words)), "\n")[1:]
			switch args[0] {
			case "send":
				args = append(args, "--address", admin, "--url", site+"/webhooks/github", "--count", "1")
			case "seen", "forget":
				args = append(args, "--address", admin)
			case "listen":
				continue // runs until it is interrupted; has its own tests
			case "watch":
				args = append(args, "--address", admin, "--count", "1")
				stop := sendMeanwhile(admin, site)
				if out, err := tree(t.Context(), args...); err != nil || strings.Count(out, "\n") < 1 {
					t.Errorf("%s: %v\n%s", line, err, out)
				}
				stop()
				continue
			}
			if strings.HasSuffix(line, "explain 17") {
				args = append(args, "--address", admin)
			}
			if strings.Contains(line, "explain custom") {
				args[2] = "custom.http"
			}
			if out, err := tree(t.Context(), args...); err != nil && err.Error() == "exiting with status 2" {
				t.Errorf("%s:\n%s", line, out)
			}
		}
	}
}

// sendMeanwhile sends genuine and forged deliveries, for `watch`, until stop is
// called.
func sendMeanwhile(admin, site string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			for _, secret := range []string{sendSecret, "another"} {
				_, _ = tree(ctx, "send", "github", "--secret", secret, "--address", admin, "--url", site+"/webhooks/github", "--quiet")
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}
