package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOnlyPermissiveLicensesAreAccepted(t *testing.T) {
	mit := "Permission is hereby granted, free of charge,\nto any person obtaining a copy of this software"
	bsd := "Redistribution and use in source and binary forms, with or without"
	for _, test := range []struct{ name, module, text, want, err string }{
		{"MIT with different line breaks", "m", mit, "MIT", ""},
		{"BSD with two clauses", "m", bsd, "BSD-2-Clause", ""},
		{"BSD with three clauses", "m", bsd + " may be used to endorse or promote products", "BSD-3-Clause", ""},
		{"Apache", "m", "Apache License\n   Version 2.0, January 2004", "Apache-2.0", ""},
		{"GPL", "m", "GNU GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007", "", "not permissive"},
		{"AGPL", "m", "GNU AFFERO GENERAL PUBLIC LICENSE", "", "not permissive"},
		{"MPL, which mentions the GPL", "m", "Mozilla Public License Version 2.0 Covered Software GNU Affero General Public License", "", "under MPL-2.0, which is not permissive"},
		{"MPL with a reason", "github.com/go-sql-driver/mysql", "Mozilla Public License Version 2.0 Covered Software", "MPL-2.0", ""},
		{"a reason applies to one license only", "github.com/go-sql-driver/mysql", "GNU AFFERO GENERAL PUBLIC LICENSE", "", "not permissive"},
		{"unknown", "m", "All rights reserved.", "", "unrecognized license"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := classify(test.module, test.text)
			if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// TestAModuleNeedsALicense searches the folders of packages and their parents.
func TestAModuleNeedsALicense(t *testing.T) {
	linked := func(files map[string]string) []linkedPackage {
		root := t.TempDir()
		dir := filepath.Join(root, "a", "b")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return []linkedPackage{{dir, &linkedModule{Path: "example.com/m", Dir: root}}}
	}
	mit := "Permission is hereby granted, free of charge, to any person obtaining a copy"
	notices, err := collect(t.Context(), linked(map[string]string{"LICENSE": mit, "a/NOTICE": "made by us"}))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, n := range notices {
		texts = append(texts, n.license+" "+n.text)
	}
	all := strings.Join(texts, "\n")
	for _, want := range []string{"MIT " + mit, " made by us", "BSD-3-Clause "} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in\n%s", want, all)
		}
	}
	if _, err := collect(t.Context(), linked(map[string]string{"a/NOTICE": "made by us", "README": mit})); err == nil || !strings.Contains(err.Error(), "example.com/m has no license file") {
		t.Errorf("without a license: %v", err)
	}
}
