package command

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/internal/generator"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// sample is a preset with two genuine deliveries of different content.
type sample struct {
	name string
	open func(t *testing.T) *dryrun.Endpoint
	// other is nil if only the provider can sign a second delivery.
	one, other *http.Request
	// idHeader is the unsigned header with the ID, or empty. bodyID is set if the
	// ID is in the body or the token.
	idHeader string
	bodyID   bool
	signed   bool
	varies   []string
	repeats  bool
}

// alone lists the presets for which the vectors contain one delivery and this test
// cannot sign another.
var alone = []string{"adobe-io-events", "apple-app-store", "aws-sns", "coinbase-cdp", "ebay", "fusionauth-jwks", "github-secret-scanning", "kinde", "messagebird", "neon", "paddle-classic", "paypal", "rfc9421", "truelayer", "vonage", "wix"}

// samples returns samples of every preset. If the test can sign deliveries, there
// is one for each variant and for each member that decides whether content
// repeats; otherwise they are from the vectors.
func samples(t *testing.T) []sample {
	t.Helper()
	var all []sample
	for _, p := range provider.Presets() {
		if p.Code != nil || workedOut[p.Name] != "" {
			all = append(all, fromVectors(t, p))
			continue
		}
		variants := p.Variants
		if len(variants) == 0 {
			variants = []provider.Variant{{}}
		}
		for _, v := range variants {
			distinction := p.Distinction
			if v.Distinction != nil {
				distinction = *v.Distinction
			}
			all = append(all, signedSample(t, p, v.Name, distinction, signature.Field{}))
			for _, f := range slices.Concat(distinction.RepeatsWhen, distinction.UniqueWhen) {
				all = append(all, signedSample(t, p, v.Name, distinction, f))
			}
		}
	}
	return all
}

// signedSample signs deliveries with a member that decides whether content
// repeats, or without one.
func signedSample(t *testing.T, p provider.Preset, variant string, distinction provider.Distinction, member signature.Field) sample {
	t.Helper()
	o := generator.Options{Provider: p.Name, URL: "https://hooks.example.com/in"}
	s := sample{name: p.Name, varies: inFirstFamily(p, distinction.Varies), repeats: distinction.Content == provider.ContentRepeats}
	if variant != "" {
		o.Options = fmt.Sprintf(`{"scheme":%q}`, variant)
		s.name += " " + variant
	}
	if members := slices.Concat(distinction.RepeatsWhen, distinction.UniqueWhen); len(members) > 0 {
		o.Body = []byte(`{"hello":"world"}`) // without any of these members
	}
	if !member.IsZero() {
		o.Body = documentWith(member.Name)
		s.name += " with " + member.String()
		s.repeats = !s.repeats
	}
	if s.name == "segment batch" {
		o.Body = []byte(`[{"type":"track"},{"event":"one"}]`)
	}
	m, err := generator.New(o)
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	one, other := generated(t, m), generated(t, m)
	if s.name == "segment batch" { // further events after the signed one
		other.Body = signature.BytesBody(`[{"type":"track"},{"event":"other"}]`)
	}
	if strings.HasPrefix(member.Name, "0.") { // a list: an ID cannot be inserted and is not signed
		other.Body = signature.BytesBody(strings.TrimSuffix(string(o.Body), "]") + `,{"event":"other"}]`)
	}
	if p.AlsoContent && !m.Coverage().BodySigned { // unsigned parts distinguish content
		other.Body = signature.BytesBody(`{"event":"other"}`)
	}
	s.open = func(t *testing.T) *dryrun.Endpoint { return receiver(t, m) }
	s.signed = m.Coverage().IDSigned
	switch id := m.Scheme().ID; {
	case id == nil || strings.Contains(m.Scheme().Signed, "{id}") && !s.signed: // part of the content
		s.idHeader = p.OtherID
	case id.From == "header" && !s.signed:
		s.idHeader = id.Name
		other.Header.Set(id.Name, one.Header.Get(id.Name))
	default:
		s.bodyID = true
	}
	s.one, s.other = received(one), received(other)
	return s
}

func inFirstFamily(p provider.Preset, headers []string) []string {
	var names []string
	for _, name := range headers {
		if len(p.Families) > 0 {
			name = strings.Replace(name, "*", p.Families[0], 1)
		}
		names = append(names, name)
	}
	return names
}

// documentWith returns a JSON document with a member at a path.
func documentWith(path string) []byte {
	text := "null"
	for _, name := range slices.Backward(strings.Split(path, ".")) {
		if name == "0" {
			text = "[" + text + "]"
			continue
		}
		text = fmt.Sprintf("{%q:%s}", name, text)
	}
	return []byte(text)
}

// fromVectors returns deliveries of one endpoint and one time from the vectors.
func fromVectors(t *testing.T, p provider.Preset) sample {
	t.Helper()
	vectors, err := conformance.ReadFile(filepath.Join("../../catalogue/testdata/vectors", p.Name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	vectors = slices.DeleteFunc(vectors, func(v conformance.Vector) bool { return v.Expect != "accept" || v.Answer != nil })
	first := vectors[0]
	s := sample{name: p.Name, idHeader: p.OtherID, varies: p.Varies, repeats: p.Content == provider.ContentRepeats, signed: p.IDSigned}
	s.open = func(t *testing.T) *dryrun.Endpoint {
		t.Helper()
		trial, err := first.Open()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(trial.Close)
		return trial
	}
	schemes := p.Schemes
	if len(p.Variants) > 0 {
		schemes = p.Variants[0].Schemes
	}
	for _, scheme := range schemes {
		if id := scheme.ID; id != nil && id.From == "header" {
			s.idHeader = id.Name
		} else if id != nil {
			s.bodyID, s.signed = true, s.signed || scheme.Covers().IDSigned
		}
	}
	s.bodyID = s.bodyID || p.IDHelp != ""
	s.one = fromVector(t, first)
	if s.idHeader != "" && !s.bodyID && s.one.Header.Get(s.idHeader) == "" {
		s.one.Header.Set(s.idHeader, "one")
	}
	if s.idHeader != "" && keyOf(t, s, copyOf(t, s.one, s.idHeader, "another")) == refused {
		s.idHeader = "" // covered by the signature
	}
	// If the body is not signed, another body is another delivery.
	altered := first
	altered.Request.Body = generator.Alter(first.Request.Body)
	key := keyOf(t, s, s.one)
	for _, v := range append(vectors[1:], altered) {
		if s.other != nil || v.Now != first.Now || !bytes.Equal(v.Provider, first.Provider) {
			continue
		}
		other := fromVector(t, v)
		if id := s.one.Header.Get(s.idHeader); id != "" {
			other.Header.Set(s.idHeader, id)
		}
		if got := keyOf(t, s, other); got != refused && (got != key || key == "") {
			s.other = other
		}
	}
	return s
}

const refused = "refused"

// keyOf returns the app's key of a delivery.
func keyOf(t *testing.T, s sample, r *http.Request) string {
	t.Helper()
	got := s.open(t).Send(copyOf(t, r))
	if !got.Reached {
		return refused
	}
	return got.ReachedHeader.Get("Webhook-Verified-Key")
}

func fromVector(t *testing.T, v conformance.Vector) *http.Request {
	t.Helper()
	r, err := v.Request.HTTP()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// copyOf returns a copy of a request with other headers.
func copyOf(t *testing.T, r *http.Request, headers ...string) *http.Request {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	again := r.Clone(t.Context())
	again.Body = io.NopCloser(bytes.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			again.Header.Del(headers[i])
		} else {
			again.Header.Set(headers[i], headers[i+1])
		}
	}
	return again
}

// message is a request and the name of its delivery. Messages with the same name
// are copies. A message with an empty name cannot be identified and counts as a
// separate delivery.
type message struct {
	what, delivery string
	request        func(t *testing.T) *http.Request
}

// messages returns the copies and new deliveries that a provider, or an attacker
// with a captured delivery, can send for a sample.
func (s sample) messages() []message {
	send := func(r *http.Request, headers ...string) func(*testing.T) *http.Request {
		return func(t *testing.T) *http.Request { return copyOf(t, r, headers...) }
	}
	id := s.one.Header.Get(s.idHeader)
	all := []message{{"the first", s.delivery(id, "one"), send(s.one)}, {"a copy", s.delivery(id, "one"), send(s.one)}}
	if s.idHeader != "" && !s.bodyID {
		all = append(all,
			message{"a copy under another ID", s.delivery("another", "one"), send(s.one, s.idHeader, "another")},
			message{"a copy of that", s.delivery("another", "one"), send(s.one, s.idHeader, "another")},
			message{"a copy without its ID", s.delivery("", "one"), send(s.one, s.idHeader, "")},
		)
	}
	for _, header := range s.varies {
		if header == s.idHeader {
			continue
		}
		varied := s.delivery(id, "one, "+header)
		all = append(all, message{"other " + header, varied, send(s.one, header, "another")}, message{"a copy with other " + header, varied, send(s.one, header, "another")})
	}
	if s.other != nil {
		all = append(all, message{"other content", s.delivery(id, "other"), send(s.other)}, message{"a copy of other content", s.delivery(id, "other"), send(s.other)})
	}
	return all
}

// delivery returns the name of the delivery, according to the row of the preset.
func (s sample) delivery(id, content string) string {
	switch {
	case s.signed || s.bodyID:
		return "content " + content // the ID differs for the same content
	case !s.repeats:
		return "content " + content
	case id != "":
		return "ID " + id + " with content " + content
	}
	return ""
}

// table is an app with a unique column for Webhook-Verified-Key.
type table struct {
	mu    sync.Mutex
	rows  map[string]int // calls by key
	bare  int            // calls without a key
	fails bool
}

// ServeHTTP implements http.Handler.
func (a *table) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if key := r.Header.Get("Webhook-Verified-Key"); key != "" {
		a.rows[key]++
	} else {
		a.bare++
	}
	if a.fails {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

func newTable() *table { return &table{rows: make(map[string]int)} }

// For every preset, exactly the requests that are new deliveries by its row are
// forwarded.
func TestEveryGenuineDeliveryIsOneRow(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			trial, app := s.open(t), newTable()
			trial.App = app
			seen, rows := make(map[string]bool), 0
			for _, m := range s.messages() {
				want := m.delivery == "" || !seen[m.delivery]
				if want {
					rows++
				}
				seen[m.delivery] = true
				got := trial.Send(m.request(t))
				if id := got.ReachedHeader.Get("Webhook-Verified-Id"); id != "" && s.signed == listsID(got.ReachedHeader) {
					t.Errorf("%s: the ID %q is signed: %t; unsigned: %s", m.what, id, s.signed, got.ReachedHeader.Get("Webhook-Verified-Unsigned"))
				}
				if got.Reached != want || got.Status != http.StatusOK {
					t.Errorf("%s (%s): %s, reached the app %t, want %t; status %d", m.what, m.delivery, got.Outcome, got.Reached, want, got.Status)
				}
			}
			if len(app.rows)+app.bare != rows {
				t.Errorf("%d rows, %d deliveries", len(app.rows)+app.bare, rows)
			}
		})
	}
}

// listsID reports whether Webhook-Verified-Unsigned lists the ID.
func listsID(header http.Header) bool {
	return slices.Contains(strings.Split(header.Get("Webhook-Verified-Unsigned"), ", "), "id")
}

// TestEveryGenuineDeliveryIsOneRowAtOnce sends each request three times
// concurrently.
func TestEveryGenuineDeliveryIsOneRowAtOnce(t *testing.T) {
	const copies = 3
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			trial, app := s.open(t), newTable()
			trial.App = app
			deliveries, bare := make(map[string]bool), 0
			var sending sync.WaitGroup
			for _, m := range s.messages() {
				if m.delivery == "" {
					bare += copies
				} else {
					deliveries[m.delivery] = true
				}
				for range copies {
					r := m.request(t)
					sending.Go(func() { trial.Send(r) })
				}
			}
			sending.Wait()
			if len(app.rows) != len(deliveries) || app.bare != bare {
				t.Errorf("%d rows and %d calls without a key, want %d and %d", len(app.rows), app.bare, len(deliveries), bare)
			}
			for key, calls := range app.rows {
				if calls != 1 {
					t.Errorf("the app received %s %d times", key, calls)
				}
			}
		})
	}
}

// The app fails, and the provider retries.
func TestVerifiedKeyIsStableForEveryPreset(t *testing.T) {
	for _, s := range samples(t) {
		trial, app := s.open(t), newTable()
		app.fails = true
		trial.App = app
		for range 3 {
			if got := trial.Send(copyOf(t, s.one)); !got.Reached {
				t.Errorf("%s: a retry of a delivery on which the app failed is %s", s.name, got.Outcome)
			}
		}
		if len(app.rows) > 1 || len(app.rows) == 1 && app.bare > 0 {
			t.Errorf("%s: keys %v", s.name, slices.Collect(maps.Keys(app.rows)))
		}
	}
}

func TestListOfPresetsWithoutASecondDeliveryIsCorrect(t *testing.T) {
	var got []string
	for _, s := range samples(t) {
		if s.other == nil {
			got = append(got, s.name)
		}
	}
	if !slices.Equal(got, alone) {
		t.Errorf("without a second delivery: %q, in the list: %q", got, alone)
	}
}
