package conformance_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// files returns the files of vectors in this repository.
func files(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("../../catalogue/testdata/vectors/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	return paths
}

func TestEveryVectorThroughTheRealHandler(t *testing.T) {
	t.Parallel()
	for _, path := range files(t) {
		t.Run(filepath.Base(path), func(t *testing.T) { runFile(t, path) })
	}
}

// runFile reports each vector of a file whose result is not as expected.
func runFile(t *testing.T, path string) {
	t.Helper()
	vectors, err := conformance.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		runVector(t, v)
	}
}

func runVector(t *testing.T, v conformance.Vector) {
	t.Helper()
	result, err := conformance.Run(v)
	switch {
	case err != nil:
		t.Errorf("%s %s: %v", v.ProviderName(), v.Name, err)
	case result.Wrong != "":
		t.Errorf("%s %s (%s): %s", v.ProviderName(), v.Name, v.Why, result.Wrong)
	}
}

// TestExampleOfTheVectorsPageIsValid runs the example of docs/vectors.md.
func TestExampleOfTheVectorsPageIsValid(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/vectors.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```js\n")
	text, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the page has no example")
	}
	path := filepath.Join(t.TempDir(), "vectors.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	runFile(t, path)
}

// TestConverterWritesTheProvidersJSON has a case for every member of a config
// that the shared vectors use.
func TestConverterWritesTheProvidersJSON(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, provider, config, want string }{
		{"secrets", `"p"`, `{"secrets":["a","b{c}"]}`, `{"name":"p","secrets":[{"secret":"a"},{"secret":"b\\{c}"}]}`},
		{"no secrets", `"p"`, `{"secrets":[]}`, `{"name":"p"}`},
		{"labels", `"p"`, `{"secrets":["a","b"],"key_ids":["1"]}`, `{"name":"p","secrets":[{"secret":"a","label":"1"},{"secret":"b"}]}`},
		{"key_id", `"p"`, `{"secrets":["a"],"key_id":"1"}`, `{"name":"p","secrets":[{"secret":"a","label":"1"}]}`},
		{"public_key", `"p"`, `{"secrets":["a"],"public_key":"1"}`, `{"name":"p","secrets":[{"secret":"a","label":"1"}]}`},
		{"token", `"p"`, `{"token":"a"}`, `{"name":"p","secrets":[{"secret":"a"}]}`},
		{"HTTP Basic", `"p"`, `{"username":"u","password":"w"}`, `{"name":"p","secrets":[{"secret":"u:w"}]}`},
		{"public keys", `"p"`, `{"public_keys":["a",{"kid":"1","pem":"b"}]}`, `{"name":"p","secrets":[{"secret":"a"},{"secret":"b","label":"1"}]}`},
		{"keys with an algorithm", `"p"`, `{"keys":[{"keyid":"1","alg":"x","secret_b64":"YQ=="}]}`, `{"name":"p","secrets":[{"secret":"x:YQ==","label":"1"}]}`},
		{"tolerance_s", `"p"`, `{"tolerance_s":300}`, `{"name":"p","tolerance":"300s"}`},
		{"no tolerance", `"p"`, `{"tolerance_s":0,"max_age_s":0}`, `{"name":"p"}`},
		{"environment", `"p"`, `{"environment":"Sandbox"}`, `{"name":"p","environment":"sandbox"}`},
		{"sandbox", `"p"`, `{"sandbox":true}`, `{"name":"p","environment":"sandbox"}`},
		{"app_apple_id", `"p"`, `{"app_apple_id":12}`, `{"name":"p","app_id":"12"}`},
		{"batch_first_event", `"p"`, `{"batch_first_event":true}`, `{"name":"p","scheme":"batch"}`},
		{"certs", `"p"`, `{"certs":{"https://x":"a"},"trust_anchors":["b"]}`, `{"name":"p","certificates":["a"],"roots":["b"]}`},
		{"jwks", `"p"`, `{"jwks":{"keys": [{}]}}`, `{"name":"p","jwks":"\\{\"keys\":[\\{}]}"}`},
		{"issuer", `"p"`, `{"issuer":"i"}`, `{"name":"p","issuers":["i"]}`},
		{"mode, version, use", `"p"`, `{"mode":"m"}`, `{"name":"p","scheme":"m"}`},
		{"mode of gitlab", `"gitlab"`, `{"mode":"token"}`, `{"name":"gitlab"}`},
		{"another name", `"buildkite-token"`, `{"token":"a"}`, `{"name":"buildkite","scheme":"token","secrets":[{"secret":"a"}]}`},
		{"options", `"p"`, `{"public_url":"https://x","verify_token":"v"}`, `{"name":"p","public_url":"https://x","verify_token":"v"}`},
		{"members without effect", `"p"`, `{"key_encoding":"e","revocation":"off","skew_s":1,"channel_ids":[],"required_params":[]}`, `{"name":"p"}`},
	}
	var vectors []string
	for _, c := range cases {
		vectors = append(vectors, `{"provider":`+c.provider+`,"config":`+c.config+`,"expect":"accept"}`)
	}
	path := filepath.Join(t.TempDir(), "vectors.json")
	if err := os.WriteFile(path, []byte("["+strings.Join(vectors, ",")+"]"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, v := range converted(t, path) {
		var got, want any
		if err := json.Unmarshal(v.Provider, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(cases[i].want), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", cases[i].name, got, want)
		}
	}
}

func TestConverterKeepsConvertedVectors(t *testing.T) {
	t.Parallel()
	path := files(t)[0]
	want, err := conformance.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := converted(t, path); len(got) != len(want) || got[0].ProviderName() != want[0].ProviderName() {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestConverterSetsSentBefore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vectors.json")
	if err := os.WriteFile(path, []byte(`[{"provider":"p","config":{"seen_tokens":["t"]},"expect":"reject"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if !converted(t, path)[0].SentBefore {
		t.Error("sent_before is not set")
	}
}

// shared is the folder of vectors in the shared format. Vectors that are quoted
// from public documentation are not part of this repository.
const shared = "../../../shared/providers"

// differing lists the shared vectors that this repository contains in another form.
// For the reasons, see catalogue/testdata/README.md.
var differing = map[string]bool{
	"apple-app-store leaf-expired-but-signed-before": true,
	"apple-app-store old-signed-date":                true,
	"box accept-escaped-unicode-signature":           true,
	"contentful reject-stale":                        true,
	"plivo v2-accept":                                true,
	"plivo v2-tampered-body":                         true,
	"rfc9421 rfc-b25-hmac-sha256":                    true,
}

// converted returns the converter's output for files in the shared format.
func converted(t *testing.T, paths ...string) []conformance.Vector {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "python3", append([]string{"../../catalogue/testdata/convert.py", "--into", "-"}, paths...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("converting vectors: %v: %s", err, said.String())
	}
	path := filepath.Join(t.TempDir(), "converted.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	vectors, err := conformance.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return vectors
}

func TestSharedVectorsThroughTheRealHandler(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(shared + "/*/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Log("no shared vectors next to this repository")
		return
	}
	for _, v := range converted(t, paths...) {
		name := v.ProviderName()
		if !differing[name+" "+v.Name] && slices.Contains(provider.Names(), name) {
			runVector(t, v)
		}
	}
}
