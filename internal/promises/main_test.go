package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// files returns a repository with one invariant and two tests of the same name.
func files() fstest.MapFS {
	return fstest.MapFS{
		"docs/architecture.md": {Data: []byte("# A\n\n## Invariants\n\n1. It holds.\n   Test: `TestInvariant01Holds`\n\n## Other\n")},
		"a/a_test.go":          {Data: []byte("package a\n\nfunc TestInvariant01Holds(t *testing.T) {}\n\nfunc TestTwice(t *testing.T) {}\n")},
		"b/b_test.go":          {Data: []byte("package b\n\nfunc TestTwice(t *testing.T) {}\n\nfunc FuzzIt(f *testing.F) {}\n")},
		"b/node_modules/c.go":  {Data: []byte("package c\n")},
	}
}

func TestPromiseWithoutAnExistingTestIsAnError(t *testing.T) {
	for _, test := range []struct {
		name    string
		tests   []string
		want    string // a part of the error, or empty
		written string
	}{
		{"one test", []string{"FuzzIt"}, "", "[`FuzzIt`](../b/b_test.go)"},
		{"a folder selects one of two tests", []string{"a.TestTwice"}, "", "[`TestTwice`](../a/a_test.go)"},
		{"no test", nil, "no test checks", ""},
		{"a test that does not exist", []string{"TestGone"}, "no test named TestGone", ""},
		{"a test in another folder", []string{"b.TestInvariant01Holds"}, "no test named", ""},
		{"two tests of the same name", []string{"TestTwice"}, "several tests are named TestTwice", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			tests, err := findTests(files())
			if err != nil {
				t.Fatal(err)
			}
			invariants, err := readInvariants(files())
			if err != nil {
				t.Fatal(err)
			}
			var page bytes.Buffer
			err = write(&page, []section{invariants, {"S", "s.md", []promise{{"It is so.", test.tests}}}}, tests)
			switch {
			case test.want == "" && err != nil, test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			case test.want == "" && !strings.Contains(page.String(), test.written):
				t.Errorf("the page does not contain %s:\n%s", test.written, page.String())
			}
		})
	}
}

func TestThePromisesPageIsUpToDate(t *testing.T) {
	root := os.DirFS("../..")
	tests, err := findTests(root)
	if err != nil {
		t.Fatal(err)
	}
	all, err := allPromises(root)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := write(&want, all, tests); err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("../../docs/promises.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want.Bytes()) {
		t.Error("docs/promises.md is stale: run go generate ./caddy")
	}
}
