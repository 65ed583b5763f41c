package main

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

func TestThePagesOnProvidersAreFresh(t *testing.T) {
	want := pages(provider.Presets())
	docs := os.DirFS("../../docs")
	have, err := fs.Glob(docs, pagesFolder+"/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range have {
		if want[name] == "" {
			t.Errorf("docs/%s is not generated: remove it", name)
		}
	}
	for name, text := range want {
		if page, err := fs.ReadFile(docs, name); err != nil || string(page) != text {
			t.Errorf("docs/%s is stale: run go generate ./catalogue (%v)", name, err)
		}
	}
}

var (
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	link    = regexp.MustCompile(`\]\(([^)#:]*)#([^)]*)\)`)
)

// TestEveryLinkOfThePagesLeadsToAHeading follows the links with an anchor from
// one of the pages to another.
func TestEveryLinkOfThePagesLeadsToAHeading(t *testing.T) {
	all := pages(provider.Presets())
	anchors := make(map[string]bool)
	for name, text := range all {
		for _, match := range heading.FindAllStringSubmatch(text, -1) {
			anchor := name + "#" + slug(match[1])
			if anchors[anchor] {
				t.Errorf("two headings have the anchor %s", anchor)
			}
			anchors[anchor] = true
		}
	}
	found := 0
	for name, text := range all {
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			target := match[1]
			switch {
			case target == "":
				target = name
			case strings.HasPrefix(target, "../"):
				target = strings.TrimPrefix(target, "../")
			}
			if _, ours := all[target]; !ours {
				continue
			}
			found++
			if !anchors[target+"#"+match[2]] {
				t.Errorf("%s: the link %s leads to no heading", name, match[0])
			}
		}
	}
	if found < len(provider.Presets()) {
		t.Errorf("found only %d links", found)
	}
}

// TestThePagesAreSmallEnough: GitHub renders no page of more than 512 KB, and a
// long one slowly.
func TestThePagesAreSmallEnough(t *testing.T) {
	for name, text := range pages(provider.Presets()) {
		if len(text) > 100_000 {
			t.Errorf("%s has %d bytes", name, len(text))
		}
	}
}

func TestSlugIsThatOfGitHub(t *testing.T) {
	for heading, want := range map[string]string{
		"Stripe":                          "stripe",
		"Cal.com":                         "calcom",
		"Front (application webhooks)":    "front-application-webhooks",
		"Cloud, hosting and operations":   "cloud-hosting-and-operations",
		"Keycloak with Phase Two's a-b_c": "keycloak-with-phase-twos-a-b_c",
	} {
		if got := slug(heading); got != want {
			t.Errorf("%q: got %q, want %q", heading, got, want)
		}
	}
}
