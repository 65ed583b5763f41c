// Package crosscheck holds our verification against the vendors' own libraries:
// sign.mjs has them sign fresh bodies with fresh secrets, and every delivery runs
// through the real handler. With one bit flipped it must be refused.
package crosscheck

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/e2e/prepared"
)

// signedVector is a delivery with what its signature covers.
type signedVector struct {
	Covers struct {
		Body bool `json:"body"`
		URL  bool `json:"url"`
	} `json:"covers"`
	Vector conformance.Vector `json:"vector"`
}

// leastProviders is how many libraries must have signed.
const leastProviders = 15

func TestWhatTheVendorsLibrariesSign(t *testing.T) {
	prepared.Packages(t, "e2e/crosscheck")
	vectors := sign(t)
	providers := make(map[string]bool)
	for _, v := range vectors {
		providers[v.Vector.ProviderName()] = true
		t.Run(v.Vector.ProviderName()+"/"+v.Vector.Name, func(t *testing.T) {
			expect(t, v.Vector, "accept")
			for what, changed := range v.flipped(rand.New(rand.NewPCG(1, uint64(len(v.Vector.Request.Body))))) {
				t.Run(what, func(t *testing.T) { expect(t, changed, "reject") })
			}
		})
	}
	if len(providers) < leastProviders {
		t.Errorf("%d libraries signed, want %d", len(providers), leastProviders)
	}
}

func expect(t *testing.T, v conformance.Vector, what string) {
	t.Helper()
	v.Expect = what
	result, err := conformance.Run(v)
	if err != nil {
		t.Fatal(err)
	}
	if result.Wrong != "" {
		t.Errorf("%s", result.Wrong)
	}
}

// flipped returns copies with one bit flipped in what the signature covers: the
// body, each header but the content type, the URL.
func (v *signedVector) flipped(random *rand.Rand) map[string]conformance.Vector {
	out := make(map[string]conformance.Vector)
	with := func(what string, change func(*conformance.Request)) {
		copied := v.Vector
		copied.Request.Body = slices.Clone(copied.Request.Body)
		copied.Request.Headers = maps.Clone(copied.Request.Headers)
		change(&copied.Request)
		out[what] = copied
	}
	switch {
	case v.Covers.Body && len(v.Vector.Request.Body) > 0:
		for i := range 3 {
			with(fmt.Sprintf("body %d", i), func(q *conformance.Request) { flip(q.Body, random.IntN(len(q.Body))) })
		}
	case v.Covers.Body:
		with("body", func(q *conformance.Request) { q.Body = []byte{'x'} })
	}
	for name, values := range v.Vector.Request.Headers {
		if name == "Content-Type" {
			continue
		}
		with("header "+name, func(q *conformance.Request) {
			value := []byte(values[0])
			flip(value, random.IntN(len(value)))
			q.Headers[name] = []string{string(value)}
		})
	}
	if v.Covers.URL {
		with("URL", func(q *conformance.Request) {
			address := []byte(q.URL)
			flip(address, strings.LastIndexByte(q.URL, '/')+1)
			q.URL = string(address)
		})
	}
	return out
}

// flip flips the lowest bit of a byte: that changes every letter and digit of
// every encoding into another one, where a higher bit might change nothing but
// the case of a hex digit.
func flip(text []byte, at int) { text[at] ^= 1 }

// sign has the libraries sign.
func sign(t *testing.T) []signedVector {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "sign.mjs")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("having the libraries sign: %v\n%s", err, stderr.String())
	}
	var vectors []signedVector
	if err := json.Unmarshal(stdout.Bytes(), &vectors); err != nil {
		t.Fatalf("reading what the libraries signed: %v", err)
	}
	return vectors
}
