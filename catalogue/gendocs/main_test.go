package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

func TestThePageOnProvidersIsFresh(t *testing.T) {
	have, err := os.ReadFile("../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := markdown(&want, provider.Presets()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want.Bytes()) {
		t.Error("docs/providers.md is stale: run go generate ./catalogue")
	}
}
