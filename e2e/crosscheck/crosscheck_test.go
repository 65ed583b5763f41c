// Package crosscheck compares verification and signing with the vendors' libraries. The
// libraries accept deliveries that `sign` generates, and the module accepts deliveries
// that the libraries sign. Both must refuse modified deliveries. If one refuses a
// delivery that the other accepts, the difference is listed with its reason.
//
// The libraries are listed in libraries.mjs (npm), judge.py (PyPI) and
// libraries_test.go (Go).
package crosscheck

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue"
	"github.com/verify-webhook/caddy-verify-webhook/e2e/prepared"
	"github.com/verify-webhook/caddy-verify-webhook/internal/generator"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// leastLibraries is the minimum number of libraries.
const leastLibraries = 60

var errRefused = errors.New("refused")

// trial is a delivery that the module and a library verify.
type trial struct {
	library library
	kind    string // the kind of the original delivery, and its signer
	change  string // the modification, empty if none
	must    bool   // whether both must refuse it
	vector  conformance.Vector
	secret  string
	label   string
}

func (x trial) name() string { return strings.Join([]string{x.library.Name, x.kind, x.change}, "/") }

func TestWeAgreeWithTheVendorsLibraries(t *testing.T) {
	prepared.Packages(t, "e2e/crosscheck")
	all := libraries(t)
	var trials []trial
	for _, l := range all {
		trials = append(trials, ofOurs(t, l)...)
	}
	trials = append(trials, ofTheirs(t, all)...)
	deliveries := make([]delivery, len(trials))
	for i, x := range trials {
		deliveries[i] = x.delivery(t)
	}
	verdicts := judge(t, all, deliveries)
	agreed, used := make(map[string]int), make(map[string]bool)
	for i, x := range trials {
		t.Run(x.name(), func(t *testing.T) {
			if compare(t, x, verdicts[i], used) {
				agreed[x.library.Name]++
			}
		})
	}
	for library, changes := range differences {
		for change := range changes {
			if !used[library+"/"+change] {
				t.Errorf("the difference %s/%s is listed, but both agree", library, change)
			}
		}
	}
	if n := packages(all); n < leastLibraries {
		t.Errorf("%d libraries, want %d", n, leastLibraries)
	}
	for _, l := range all {
		if agreed[l.Name] == 0 {
			t.Errorf("%s %s verified no delivery", l.Origin, l.Name)
		}
	}
}

// packages returns the number of libraries: several rows can use the same one.
func packages(all []library) int {
	names := make(map[string]bool)
	for _, l := range all {
		name, _, _ := strings.Cut(l.Name, " (")
		names[l.Origin+name] = true
	}
	return len(names)
}

// compare compares the module's verdict on a delivery with the library's.
func compare(t *testing.T, x trial, theirs verdict, used map[string]bool) (agreed bool) {
	t.Helper()
	ours, reason := verified(t, x.vector)
	listed := differences[x.library.Name][x.change]
	switch {
	case x.change == "" && (!ours || !theirs.Accepted):
		t.Errorf("genuine: the module returns %t (%s), the library %t (%s)\n%v\n%.600s", ours, reason, theirs.Accepted, theirs.Why, x.vector.Request.Headers, x.vector.Request.Body)
	case ours == theirs.Accepted && x.must && ours:
		t.Error("modified, but both accept it")
	case ours != theirs.Accepted && listed == "":
		t.Errorf("the module returns %t (%s), the library %t (%s): if this is intended, list the difference with its reason", ours, reason, theirs.Accepted, theirs.Why)
	case ours != theirs.Accepted:
		used[x.library.Name+"/"+x.change] = true
		if ours && x.must {
			t.Error("modified, but the module accepts it")
		}
	default:
		return true
	}
	return false
}

// verified reports whether the handler accepts a delivery.
func verified(t *testing.T, v conformance.Vector) (accepted bool, reason string) {
	t.Helper()
	v.Expect = "accept"
	result, err := conformance.Run(v)
	if err != nil {
		t.Fatal(err)
	}
	return result.Wrong == "", result.Wrong
}

// bodies returns the bodies that are sent in addition to the provider's example.
var bodies = map[string]func() []byte{
	"utf8":  func() []byte { return document(10) },
	"large": func() []byte { return document(200 << 10) },
}

// document returns JSON with random non-ASCII text, encoded like JSON.stringify.
func document(size int) []byte {
	random := make([]byte, size)
	rand.Read(random) // never fails (crypto/rand)
	return fmt.Appendf(nil, `{"id":"%x","type":"thing.created","event":{"id":"%[1]x","type":"thing"},"webhookTimestamp":%d,"note":"Grüße – 世界 🚀","filling":%q}`,
		random[:8], time.Now().UnixMilli(), base64.RawURLEncoding.EncodeToString(random))
}

// ofOurs returns deliveries like those of `sign`, and modified copies.
func ofOurs(t *testing.T, l library) []trial {
	t.Helper()
	options := generator.Options{Provider: l.Preset, URL: "https://hooks.example.com/in?tenant=1"}
	if l.Variant != "" {
		options.Options = fmt.Sprintf(`{"scheme":%q}`, l.Variant)
	}
	if l.SecretPrefix != "" {
		options.Secret = l.SecretPrefix + rand.Text()
	}
	all := changed(t, l, "example", options)
	if l.Own {
		return all
	}
	for kind, body := range bodies {
		options.Body, options.Exact = body(), true
		all = append(all, changed(t, l, kind, options)...)
	}
	if l.Empty {
		options.Body = []byte{}
		all = append(all, changed(t, l, "empty", options)...)
	}
	return all
}

// changed returns a genuine delivery and modified copies of it.
func changed(t *testing.T, l library, kind string, options generator.Options) []trial {
	t.Helper()
	g, err := generator.New(options)
	if err != nil {
		t.Fatalf("%s: %v", l.Name, err)
	}
	genuine, coverage := trialOf(t, l, kind, g, generator.Genuine), g.Coverage()
	all := append([]trial{genuine}, genuine.changed(coverage.BodySigned)...)
	if kind == "large" {
		return all
	}
	if coverage.URLSigned {
		all = append(all, genuine.with("URL", true, func(q *conformance.Request) { q.URL = strings.Replace(q.URL, "/in", "/on", 1) }))
	}
	if coverage.TimestampSigned {
		x := trialOf(t, l, kind, g, generator.Stale)
		x.change = "time"
		all = append(all, x)
	}
	if l.SecretPrefix != "" {
		options.Secret = l.SecretPrefix + rand.Text()
	}
	other, err := generator.New(options)
	if err != nil {
		t.Fatal(err)
	}
	x := trialOf(t, l, kind, other, generator.Genuine)
	x.change, x.must, x.secret, x.label, x.vector.Provider = "secret", true, genuine.secret, genuine.label, genuine.vector.Provider
	return append(all, x)
}

// changed returns copies with another body, and copies with one header modified or
// missing.
func (x trial) changed(bodySigned bool) []trial {
	var all []trial
	if len(x.vector.Request.Body) > 0 {
		all = append(all, x.with("body", bodySigned, func(q *conformance.Request) { flipWord(q.Body) }))
	}
	if strings.HasSuffix(x.kind, "large") {
		return all
	}
	for name := range x.vector.Request.Headers {
		if name == "Content-Type" {
			continue
		}
		all = append(all,
			x.with("changed "+name, false, func(q *conformance.Request) { q.Headers[name] = []string{flipped(q.Headers[name][0])} }),
			x.with("without "+name, false, func(q *conformance.Request) { delete(q.Headers, name) }))
	}
	return all
}

// with returns a modified copy. must is whether both must refuse it.
func (x trial) with(change string, must bool, edit func(*conformance.Request)) trial {
	x.change, x.must = change, must
	x.vector.Request.Body = slices.Clone(x.vector.Request.Body)
	x.vector.Request.Headers = maps.Clone(x.vector.Request.Headers)
	edit(&x.vector.Request)
	return x
}

// trialOf returns a generated delivery with the receiver's config for it.
func trialOf(t *testing.T, l library, kind string, g *generator.Generator, with generator.Mutation) trial {
	t.Helper()
	r, err := g.Make(with, "")
	if err != nil {
		t.Fatalf("%s: %v", l.Name, err)
	}
	config, err := g.Setup().JSON()
	if err != nil {
		t.Fatal(err)
	}
	setup := g.Setup()
	return trial{library: l, kind: kind, secret: setup.Secret, label: setup.Label, vector: vectorOf(config, r)}
}

func vectorOf(config json.RawMessage, r *signature.Request) conformance.Vector {
	return conformance.Vector{
		Provider: config, Now: time.Now().Unix(),
		Request: conformance.Request{Method: r.Method, URL: r.Scheme + "://" + r.Host + r.RequestURI, Headers: r.Header, Body: r.Body.Bytes()},
	}
}

// flipWord flips the lowest bit of a letter in the middle of a body, so that JSON
// and forms stay valid.
func flipWord(body []byte) {
	for i := len(body) / 2; i < len(body)-1; i++ {
		if letter(body[i-1]) && letter(body[i]) && letter(body[i+1]) {
			body[i] ^= 1
			return
		}
	}
}

// letter reports whether b is a to y: flipping its lowest bit results in a letter.
func letter(c byte) bool { return c >= 'b' && c <= 'y' }

// flipped returns a header value with one bit flipped in its last letter or digit.
func flipped(value string) string {
	b := []byte(value)
	for i := len(b) * 3 / 4; i > 0; i-- {
		if b[i] >= 'b' && b[i] <= 'y' || b[i] >= '0' && b[i] <= '9' {
			b[i] ^= 1
			break
		}
	}
	return string(b)
}

// ofTheirs returns deliveries that the libraries sign.
func ofTheirs(t *testing.T, all []library) []trial {
	t.Helper()
	type job struct {
		Library string `json:"library"`
		Body    []byte `json:"body_b64"`
		Now     int64  `json:"now"`
	}
	var jobs []job
	var trials []trial
	for _, l := range all {
		if !l.Signs {
			continue
		}
		for kind, body := range bodies {
			jobs = append(jobs, job{l.Name, body(), time.Now().Unix()})
			trials = append(trials, trial{library: l, kind: "theirs, " + kind})
		}
	}
	for i, line := range lines(t, node("sign"), jobs) {
		var made struct {
			Config  map[string]any    `json:"config"`
			URL     string            `json:"url"`
			Body    []byte            `json:"body_b64"`
			Headers map[string]string `json:"headers"`
		}
		decode(t, line, &made)
		x := &trials[i]
		secret, _ := made.Config["secrets"].([]any)[0].(map[string]any)
		x.secret, _ = secret["secret"].(string)
		x.label, _ = secret["label"].(string)
		made.Config["name"] = x.library.Preset
		config, err := json.Marshal(made.Config)
		if err != nil {
			t.Fatal(err)
		}
		x.vector = conformance.Vector{Provider: config, Now: jobs[i].Now, Request: conformance.Request{
			Method: "POST", URL: made.URL, Body: made.Body, Headers: make(map[string][]string),
		}}
		if made.URL == "" {
			x.vector.Request.URL = "https://hooks.example.com/in"
		}
		for name, value := range made.Headers {
			x.vector.Request.Headers[http.CanonicalHeaderKey(name)] = []string{value}
		}
	}
	for _, x := range trials {
		trials = append(trials, x.changed(false)...)
	}
	return trials
}

// delivery returns a trial in the format for libraries.
func (x trial) delivery(t *testing.T) delivery {
	t.Helper()
	d := delivery{
		Library: x.library.Name, Now: x.vector.Now, Method: x.vector.Request.Method, URL: x.vector.Request.URL, Headers: make(map[string]string),
		Body: x.vector.Request.Body, Secret: x.secret, Label: x.label, Options: x.vector.Provider,
	}
	for name, values := range x.vector.Request.Headers {
		if len(values) != 1 {
			t.Fatalf("%s: %d values of %s", x.name(), len(values), name)
		}
		d.Headers[strings.ToLower(name)] = values[0]
	}
	return d
}

var update = flag.Bool("update", false, "update the table of libraries in docs/vectors.md")

// TestTheDocumentationListsTheLibraries checks the table in docs/vectors.md of presets
// and vendors' libraries.
func TestTheDocumentationListsTheLibraries(t *testing.T) {
	prepared.Packages(t, "e2e/crosscheck")
	const path, begin, end = "../../docs/vectors.md", "<!-- libraries: begin -->\n", "<!-- libraries: end -->\n"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := bytes.Cut(page, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		t.Fatalf("%s does not contain the marker of the table", path)
	}
	want := slices.Concat(before, []byte(begin), table(libraries(t)), []byte(end), after)
	if bytes.Equal(page, want) {
		return
	}
	if !*update {
		t.Fatal("the table is out of date: run go test ./crosscheck -run Documentation -update")
	}
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
}

func table(all []library) []byte {
	slices.SortFunc(all, func(a, b library) int {
		return strings.Compare(a.Preset+a.Origin+a.Name, b.Preset+b.Origin+b.Name)
	})
	var b bytes.Buffer
	b.WriteString("| preset | library | from | also signs |\n| --- | --- | --- | --- |\n")
	for _, l := range all {
		name, _, _ := strings.Cut(l.Name, " (")
		signs := ""
		if l.Signs {
			signs = "yes"
		}
		preset := l.Preset
		if l.Variant != "" {
			preset += " (" + l.Variant + ")"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", preset, name, l.Origin, signs)
	}
	return b.Bytes()
}
