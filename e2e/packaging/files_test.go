// Package packaging tests the files around the code: workflows, release notes, the
// Dockerfile, and the examples for Compose, Kubernetes and systemd. `make release-check`
// runs the longer tests: it builds and installs the packages and the image.
package packaging

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const checkout = "../.."

// read returns the content of a file of the checkout.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(checkout, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tracked returns the files of the checkout that match a Git pattern.
func tracked(t *testing.T, patterns ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"ls-files", "--"}, patterns...)...)
	cmd.Dir = checkout
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Fields(string(out))
	if len(files) == 0 {
		t.Fatalf("no file matches %v", patterns)
	}
	return files
}

// command runs a program in the checkout and returns its output.
func command(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = checkout
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestDependabotCoversAllDependencies(t *testing.T) {
	var config struct {
		Updates []struct {
			Ecosystem   string `yaml:"package-ecosystem"`
			Directory   string
			Directories []string
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, ".github/dependabot.yml")), &config); err != nil {
		t.Fatal(err)
	}
	looked := map[string][]string{}
	for _, u := range config.Updates {
		looked[u.Ecosystem] = append(append(looked[u.Ecosystem], u.Directories...), u.Directory)
	}
	for ecosystem, patterns := range map[string][]string{
		"gomod":          {"go.mod", "*/go.mod"},
		"npm":            {"*/package.json"},
		"pip":            {"*/requirements.txt"},
		"docker":         {"Dockerfile", "examples/kubernetes/*.yaml"},
		"docker-compose": {"*/compose.yaml"},
	} {
		for _, file := range tracked(t, patterns...) {
			directory := filepath.Join("/", filepath.Dir(file))
			if !slices.Contains(looked[ecosystem], directory) {
				t.Errorf(".github/dependabot.yml: %s does not include %s", ecosystem, directory)
			}
		}
		for _, directory := range looked[ecosystem] {
			if _, err := os.Stat(filepath.Join(checkout, directory)); err != nil {
				t.Error(err)
			}
		}
	}
}

// workflow is the part of a workflow that the tests check.
type workflow struct {
	Permissions map[string]string
	Jobs        map[string]struct {
		Uses    string
		Timeout int `yaml:"timeout-minutes"`
		Steps   []struct {
			Uses string
			With map[string]string
		}
	}
}

func TestWorkflowsPinActionsAndRequestFewPermissions(t *testing.T) {
	pinned := regexp.MustCompile(`uses: ([\w./-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+\n`)
	versions := map[string]string{}
	for _, file := range tracked(t, ".github/workflows/*.yml") {
		text := read(t, file)
		uses := strings.Count(text, "uses: ") - strings.Count(text, "uses: ./")
		found := pinned.FindAllStringSubmatch(text, -1)
		if len(found) != uses {
			t.Errorf("%s: %d of %d actions are pinned by digest, followed by the version", file, len(found), uses)
		}
		for _, m := range found {
			repository := strings.Join(strings.SplitN(m[1], "/", 3)[:2], "/")
			if before, ok := versions[repository]; ok && before != m[2] {
				t.Errorf("%s: %s is pinned to %s here and %s elsewhere", file, repository, m[2], before)
			}
			versions[repository] = m[2]
		}

		var w workflow
		if err := yaml.Unmarshal([]byte(text), &w); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
			t.Errorf("%s: permissions are %v, want contents: read, with more only for single jobs", file, w.Permissions)
		}
		for name, job := range w.Jobs {
			if job.Uses == "" && job.Timeout == 0 {
				t.Errorf("%s: job %s has no timeout-minutes", file, name)
			}
			for _, step := range job.Steps {
				if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != "false" {
					t.Errorf("%s: job %s keeps the credentials of the checkout: set persist-credentials: false", file, name)
				}
			}
		}
	}
}

func TestZizmorAcceptsTheWorkflows(t *testing.T) {
	if out, err := command(t.Context(), nil, linter(t, "zizmor"), "--offline", "--no-progress", ".github"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestReleaseNotesAreASectionOfTheChangelog(t *testing.T) {
	changelog := filepath.Join(t.TempDir(), "CHANGELOG.md")
	text := "# Changes\n\nIntroduction.\n\n## Unreleased\n\n### Added\n\n- New.\n\n## 1.10.0 - 2026-03-02\n\n### Fixed\n\n- Ten.\n\n" +
		"## 1.1.0 - 2026-02-01\n\n- One.\n\n## 1.0.1\n\n- Without a date.\n\n## 1.0.0 - 2026-01-01\n\n## 0.9.0 - 2025-01-01\n\n- Old.\n"
	if err := os.WriteFile(changelog, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ version, want, mistake string }{
		{"v1.1.0", "- One.\n", ""},
		{"v1.10.0", "### Fixed\n\n- Ten.\n", ""},
		{"v0.9.0", "- Old.\n", ""},
		{"Unreleased", "### Added\n\n- New.\n", ""},
		{"v1.2.0-rc.1", "### Added\n\n- New.\n", ""},
		{"v1.0.0", "", "has no notes for v1.0.0"},
		{"v1.0.1", "", "has no date for v1.0.1"},
		{"v2.0.0", "", "has no notes for v2.0.0"},
		{"", "", "usage"},
	} {
		out, err := command(t.Context(), []string{"CHANGELOG=" + changelog}, ".ci/release-notes", test.version)
		switch {
		case test.mistake != "" && (err == nil || !strings.Contains(out, test.mistake)):
			t.Errorf("%s: %v, %q; want an error with %q", test.version, err, out, test.mistake)
		case test.mistake == "" && (err != nil || out != test.want):
			t.Errorf("%s: %v, %q; want %q", test.version, err, out, test.want)
		}
	}
}

func TestTheChangelogHasNotesForTheNextRelease(t *testing.T) {
	if out, err := command(t.Context(), nil, ".ci/release-notes", "Unreleased"); err != nil {
		t.Error(out)
	}
}
