// Command licenses writes the licenses of the modules and the Go standard
// library that the caddy binary links. It reads the license files in the module
// cache, and fails if a license is missing, unrecognized or not permissive.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// platforms are the platforms of the releases. Some modules are linked only on
// one of them.
var platforms = []string{
	"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64", "freebsd/amd64", "freebsd/arm64",
}

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("wrong number of arguments: expected the package of the binary and the file to write")
	}
	linked, err := linkedPackages(ctx, args[0])
	if err != nil {
		return err
	}
	notices, err := collect(ctx, linked)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	write(&page, notices)
	return os.WriteFile(args[1], page.Bytes(), 0o644)
}

// linkedPackage is a package of another module that the binary links.
type linkedPackage struct {
	Dir    string        `json:"Dir"`
	Module *linkedModule `json:"Module"`
}

// linkedModule is the module of a package.
type linkedModule struct {
	Path    string        `json:"Path"`
	Dir     string        `json:"Dir"`
	Main    bool          `json:"Main"`
	Replace *linkedModule `json:"Replace"`
}

// linkedPackages returns the packages of other modules that a package links on
// any of the platforms.
func linkedPackages(ctx context.Context, pkg string) ([]linkedPackage, error) {
	var all []linkedPackage
	for _, platform := range platforms {
		system, architecture, _ := strings.Cut(platform, "/")
		list := exec.CommandContext(ctx, "go", "list", "-deps", "-json=Dir,Module", pkg)
		list.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+architecture, "CGO_ENABLED=0")
		list.Stderr = os.Stderr
		output, err := list.Output()
		if err != nil {
			return nil, fmt.Errorf("go list for %s: %w", platform, err)
		}
		for d := json.NewDecoder(bytes.NewReader(output)); ; {
			var p linkedPackage
			if err := d.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("go list for %s: %w", platform, err)
			}
			if p.Module != nil && !p.Module.Main {
				all = append(all, p)
			}
		}
	}
	return all, nil
}

// notice is the text of a license, with the modules that it applies to.
type notice struct {
	license string // the SPDX identifier; empty for a NOTICE
	text    string
	modules []string
}

// licenseFile matches the names of files that contain a license or must be
// distributed with it.
var licenseFile = regexp.MustCompile(`(?i)^(licen[sc]e|copying|notice|unlicense)([.-].*)?$`)

// collect reads the license files of each package's folder and of the folders
// above it in its module.
func collect(ctx context.Context, linked []linkedPackage) ([]*notice, error) {
	byText := make(map[string]*notice)
	licensed := make(map[string]bool)
	seen := make(map[string]bool)
	for _, p := range linked {
		root := p.Module.Dir
		if p.Module.Replace != nil {
			root = p.Module.Replace.Dir
		}
		for dir := p.Dir; strings.HasPrefix(dir, root); dir = filepath.Dir(dir) {
			if !seen[dir] {
				seen[dir] = true
				found, err := readFolder(byText, dir, p.Module.Path)
				if err != nil {
					return nil, err
				}
				licensed[p.Module.Path] = licensed[p.Module.Path] || found
			}
		}
	}
	for _, p := range linked {
		if !licensed[p.Module.Path] {
			return nil, fmt.Errorf("%s has no license file", p.Module.Path)
		}
	}
	if err := addStandardLibrary(ctx, byText); err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(byText), func(a, b *notice) int {
		return cmp.Or(cmp.Compare(len(b.modules), len(a.modules)), cmp.Compare(a.modules[0], b.modules[0]), cmp.Compare(a.text, b.text))
	}), nil
}

func addStandardLibrary(ctx context.Context, byText map[string]*notice) error {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	found, err := readFolder(byText, strings.TrimSpace(string(root)), "the Go standard library")
	if err == nil && !found {
		err = errors.New("the Go installation has no license file")
	}
	return err
}

// readFolder adds the license files of a folder, and reports whether one of
// them is a license.
func readFolder(byText map[string]*notice, dir, module string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	found := false
	for _, entry := range entries {
		if entry.IsDir() || !licenseFile.MatchString(entry.Name()) || strings.HasSuffix(entry.Name(), ".go") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return false, err
		}
		text := strings.TrimSpace(strings.ReplaceAll(string(raw), "\r\n", "\n"))
		name := ""
		if !strings.HasPrefix(strings.ToLower(entry.Name()), "notice") {
			if name, err = classify(module, text); err != nil {
				return false, fmt.Errorf("%s: %w", filepath.Join(dir, entry.Name()), err)
			}
			found = true
		}
		if byText[text] == nil {
			byText[text] = &notice{license: name, text: text}
		}
		if n := byText[text]; !slices.Contains(n.modules, module) {
			n.modules = append(n.modules, module)
			slices.Sort(n.modules)
		}
	}
	return found, nil
}

// kinds are the recognized licenses, each with sentences of its text. The first
// match counts.
var kinds = []struct {
	name       string
	permissive bool
	sentences  []string
}{
	// The MPL mentions the licenses below.
	{"MPL-2.0", false, []string{"Mozilla Public License Version 2.0", "Covered Software"}},
	{"AGPL", false, []string{"GNU AFFERO GENERAL PUBLIC LICENSE"}},
	{"LGPL", false, []string{"GNU LESSER GENERAL PUBLIC LICENSE"}},
	{"GPL", false, []string{"GNU GENERAL PUBLIC LICENSE Version"}},
	{"EPL", false, []string{"Eclipse Public License"}},
	{"BUSL", false, []string{"Business Source License"}},
	{"Apache-2.0", true, []string{"Apache License", "Version 2.0"}},
	{"BSD-3-Clause", true, []string{"Redistribution and use in source and binary forms", "endorse or promote products"}},
	{"BSD-2-Clause", true, []string{"Redistribution and use in source and binary forms"}},
	{"ISC", true, []string{"Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee"}},
	{"ISC", true, []string{"Permission to use, copy, modify, and distribute this software for any purpose with or without fee"}},
	{"MIT", true, []string{"Permission is hereby granted, free of charge, to any person obtaining a copy"}},
	{"CC0-1.0", true, []string{"CC0 1.0 Universal"}},
	{"CC0-1.0", true, []string{"released into the public domain with CC0 1.0"}},
	{"Unlicense", true, []string{"This is free and unencumbered software released into the public domain"}},
}

// accepted are modules under other licenses, each with the reason why it can be
// linked.
var accepted = map[string]struct{ license, reason string }{
	"github.com/go-sql-driver/mysql": {"MPL-2.0", "linked by Caddy, unmodified; its source is at its module path"},
}

// classify returns the license of a text.
func classify(module, text string) (string, error) {
	folded := strings.ToLower(strings.Join(strings.Fields(text), " "))
	for _, kind := range kinds {
		if slices.ContainsFunc(kind.sentences, func(s string) bool { return !strings.Contains(folded, strings.ToLower(s)) }) {
			continue
		}
		if !kind.permissive && accepted[module].license != kind.name {
			return "", fmt.Errorf("%s is under %s, which is not permissive: replace the module, or add it to `accepted` with a reason", module, kind.name)
		}
		return kind.name, nil
	}
	return "", fmt.Errorf("%s is under an unrecognized license: read it, and add it to `kinds`", module)
}

const head = `Third-party licenses

The caddy binary of this repository links the modules below. This file was generated
by "go generate ./caddy" from their license files; go.mod contains their versions.
`

// write writes the modules with their licenses, then each license text once.
func write(w *bytes.Buffer, notices []*notice) {
	w.WriteString(head)
	licenses := make(map[string][]string)
	for _, n := range notices {
		for _, module := range n.modules {
			if n.license != "" && !slices.Contains(licenses[module], n.license) {
				licenses[module] = append(licenses[module], n.license)
			}
		}
	}
	w.WriteString("\n")
	for _, module := range slices.Sorted(maps.Keys(licenses)) {
		slices.Sort(licenses[module])
		line := module + ": " + strings.Join(licenses[module], ", ")
		if a, ok := accepted[module]; ok {
			line += " (" + a.reason + ")"
		}
		fmt.Fprintln(w, line)
	}
	for _, n := range notices {
		kind := cmp.Or(n.license, "NOTICE")
		fmt.Fprintf(w, "\n%s\n%s of\n%s\n\n%s\n", strings.Repeat("=", 79), kind, "  "+strings.Join(n.modules, "\n  "), n.text)
	}
}
