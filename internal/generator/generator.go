// Package generator makes deliveries like a provider's: the example event of its
// documentation, with a new ID and the current time, signed in its scheme. It is
// for `sign`, `send` and tests.
package generator

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Options are the options of a [Generator].
type Options struct {
	Provider   string
	Options    string // the provider's JSON, as in the config
	Secret     string
	Label      string // the name of the secret, for providers that send it
	PrivateKey string // a file
	URL        string
	PublicURL  string
	Body       []byte // nil: a bundled example
	Exact      bool   // leave the body unchanged
	ID, Event  string
	Now        func() time.Time // nil: the real clock
}

// Generator makes deliveries. It is safe for concurrent use.
type Generator struct {
	options  Options
	signer   *signing.Signer
	scheme   signature.Scheme
	coverage signature.Coverage
	target   *url.URL
	example  *example // nil: the body is the caller's
	now      func() time.Time
}

// New returns a generator. It generates a key if the options contain none: see
// [Generator.Setup].
func New(o Options) (*Generator, error) {
	target, err := url.Parse(o.URL)
	if err != nil || target.Host == "" || (target.Scheme != "http" && target.Scheme != "https") {
		return nil, fmt.Errorf("%q is not a URL: write, for example, http://localhost:8080/webhooks/%s", o.URL, o.Provider)
	}
	var private crypto.Signer
	if o.PrivateKey != "" {
		text, err := os.ReadFile(o.PrivateKey)
		if err != nil {
			return nil, fmt.Errorf("reading the private key: %w", err)
		}
		if private, err = signature.ParsePrivateKey(text); err != nil {
			return nil, err
		}
	}
	g := &Generator{options: o, target: target, now: o.Now}
	if g.now == nil {
		g.now = time.Now
	}
	key := signing.Key{Secret: o.Secret, Private: private, Label: o.Label}
	if g.signer, err = signing.OpenSignerWith(o.Provider, json.RawMessage(o.Options), key); err != nil {
		return nil, err
	}
	if o.Body == nil {
		g.example = exampleOf(o.Provider, g.signer.Variant())
	}
	if g.scheme, err = g.signer.Scheme(g.blank(g.example.render(g.now()))); err != nil {
		return nil, err
	}
	if g.coverage, err = g.signer.Coverage(); err != nil {
		return nil, err
	}
	if o.Body == nil && g.example == nil {
		g.useGeneric()
	}
	return g, nil
}

// Target is the URL that deliveries go to.
func (g *Generator) Target() *url.URL { return g.target }

// Setup returns the configuration for the receiver.
func (g *Generator) Setup() *signing.Setup { return g.signer.Setup() }

// Algorithm returns the algorithm of the signatures.
func (g *Generator) Algorithm() signature.Algorithm { return g.signer.Algorithm() }

// Coverage returns what the signature covers.
func (g *Generator) Coverage() signature.Coverage { return g.coverage }

// Scheme returns the scheme, empty if the provider signs only in code.
func (g *Generator) Scheme() signature.Scheme { return g.scheme }

// useGeneric uses a generic event as the body: a form if the scheme signs forms.
func (g *Generator) useGeneric() {
	candidates := []*example{genericJSON, genericForm}
	if wantsForm(g.scheme) {
		candidates = []*example{genericForm}
	}
	for _, candidate := range candidates {
		g.example = candidate
		if _, err := g.Make(Genuine, ""); err == nil {
			return
		}
	}
	g.example = candidates[0] // Make returns the error
}

// wantsForm reports whether the scheme reads form fields.
func wantsForm(s signature.Scheme) bool {
	form := s.When != nil && s.When.ContentType == formType || strings.Contains(s.Signed, "{form")
	for _, f := range []*signature.Field{&s.Signature.Field, s.ID, s.Event} {
		form = form || f != nil && f.From == "form"
	}
	return form || s.Timestamp != nil && s.Timestamp.From == "form"
}

func (g *Generator) blank(body []byte) *signature.Request {
	r := &signature.Request{
		Method: http.MethodPost, Scheme: g.target.Scheme, Host: g.target.Host, RequestURI: g.target.RequestURI(),
		PublicURL: g.options.PublicURL, Header: make(http.Header), Body: signature.BytesBody(body),
	}
	r.Header.Set("Content-Type", "application/json")
	if g.example != nil {
		r.Header.Set("Content-Type", g.example.contentType)
	} else if wantsForm(g.scheme) {
		r.Header.Set("Content-Type", formType)
	}
	return r
}

// Mutation is a deliberate error in a delivery.
type Mutation int

// The mutations.
const (
	Genuine Mutation = iota
	Tampered
	Stale
)

// ErrNoTimestamp is returned for a stale delivery of a provider that signs no timestamp.
var ErrNoTimestamp = errors.New("the provider signs no timestamp, so a delivery cannot be stale: only the window protects from late replays")

// Make makes a delivery. id is its ID; empty: a new one.
func (g *Generator) Make(with Mutation, id string) (*signature.Request, error) {
	if id == "" {
		id = g.FreshID()
	}
	now := g.now()
	body := g.options.Body
	if g.example != nil {
		body = g.example.render(now)
	}
	r := g.blank(body)
	if !g.options.Exact && !g.coverage.IDSigned && !g.example.varies() {
		// Otherwise every delivery would have the same content and be a
		// duplicate of the first.
		r.Body = signature.BytesBody(stamp(body, id))
	}
	draft := signature.Draft{ID: id, Event: g.event(r), Time: now}
	if g.options.Exact && g.coverage.BodySigned {
		draft = g.inHeadersOnly(draft)
	}
	if with == Stale {
		if !g.coverage.TimestampSigned {
			return nil, ErrNoTimestamp
		}
		draft.Time = draft.Time.Add(-2*g.coverage.Tolerance - time.Hour)
	}
	if err := g.signer.Sign(r, draft); err != nil {
		return nil, fmt.Errorf("making a delivery of %s: %w", g.options.Provider, err)
	}
	if with == Tampered {
		return r, g.tamper(r, draft)
	}
	return r, nil
}

// idField is where the delivery ID is, nil if requests contain none.
func (g *Generator) idField() *signature.Field { return g.signer.IDField(g.scheme) }

// event returns the event type, empty if it is in the body.
func (g *Generator) event(r *signature.Request) string {
	f := g.signer.EventField(g.scheme)
	if g.options.Event != "" || f == nil {
		return g.options.Event
	}
	if f.From == "json" || f.From == "form" {
		if g.options.Body != nil || valueAt(r, *f) != "" {
			return ""
		}
		return "example.created"
	}
	if known := headerEvents[g.options.Provider]; known != "" {
		return known
	}
	return "example.created"
}

// valueAt returns the value at a place of the body.
func valueAt(r *signature.Request, f signature.Field) string {
	if f.From == "form" {
		form, err := r.Form()
		if err != nil {
			return ""
		}
		return form.Get(f.Name)
	}
	if f.From != "json" {
		return ""
	}
	paths, err := signature.NewJSONPaths([]string{f.Name})
	if err != nil {
		return ""
	}
	found, err := paths.Find(r.Body)
	if err != nil {
		return ""
	}
	return found[0]
}

// inHeadersOnly removes from a draft what would change the body.
func (g *Generator) inHeadersOnly(d signature.Draft) signature.Draft {
	inBody := func(f *signature.Field) bool { return f != nil && (f.From == "json" || f.From == "form") }
	if inBody(g.idField()) {
		d.ID = ""
	}
	if inBody(g.signer.EventField(g.scheme)) {
		d.Event = ""
	}
	return d
}

// tamper makes a delivery invalid: with another body or, if the body is unsigned or
// contains the signature, with another delivery's signature.
func (g *Generator) tamper(r *signature.Request, d signature.Draft) error {
	if g.coverage.BodySigned && g.scheme.Algorithm != "" {
		r.Body = signature.BytesBody(Alter(r.Body.Bytes()))
		return nil
	}
	key := signing.Key{Label: g.signer.Setup().Label}
	other, err := signing.OpenSignerWith(g.options.Provider, json.RawMessage(g.options.Options), key)
	if err != nil {
		return err
	}
	body := g.options.Body
	if g.example != nil {
		body = g.example.render(d.Time)
	}
	*r = *g.blank(body)
	return other.Sign(r, d)
}

// Alter changes a body and keeps its format: JSON or a form.
func Alter(body []byte) []byte {
	if i := bytes.LastIndexByte(body, '}'); i >= 0 {
		return append(append(bytes.Clone(body[:i]), ' '), body[i:]...)
	}
	return append(bytes.Clone(body), "&tampered=1"...)
}

// stamp makes a body unique.
func stamp(body []byte, id string) []byte {
	trimmed := bytes.TrimSpace(body)
	if rest, ok := bytes.CutPrefix(trimmed, []byte("{")); ok {
		mark := `{"example_delivery":"` + id + `"`
		if len(bytes.TrimSpace(rest)) > 1 {
			mark += ","
		}
		return append([]byte(mark), rest...)
	}
	if len(trimmed) == 0 || bytes.ContainsAny(trimmed, "[<") {
		return body // a list, or XML: no member can be added
	}
	return append(bytes.Clone(body), "&example_delivery="+id...)
}

// FreshID generates a delivery ID in the format of the example, otherwise in the
// usual format.
func (g *Generator) FreshID() string {
	if g.options.ID != "" {
		return g.options.ID
	}
	f := g.idField()
	if f != nil && g.example != nil {
		if id := valueAt(g.blank(g.example.render(g.now())), *f); id != "" {
			return id
		}
	}
	var raw [16]byte
	rand.Read(raw[:]) // never fails (crypto/rand)
	switch {
	case f != nil && f.From == "header" && strings.HasSuffix(strings.ToLower(f.Name), "webhook-id") && g.scheme.Algorithm != "" && g.coverage.IDSigned, f != nil && strings.EqualFold(f.Name, "svix-id"):
		return "msg_" + hex.EncodeToString(raw[:])
	case f != nil && f.From != "header":
		return "evt_" + hex.EncodeToString(raw[:])
	}
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:])
}

// Again makes a copy of a delivery, as an attacker would send it: under a new ID if
// the signature does not cover the ID.
func (g *Generator) Again(r *signature.Request) *signature.Request {
	copied := *r
	copied.Header = r.Header.Clone()
	// An ID can be part of the signed content without a recognizable boundary.
	free := !g.coverage.IDSigned && !strings.Contains(g.scheme.Signed, "{id}")
	if id := g.idField(); id != nil && free && id.From == "header" {
		var raw [16]byte
		rand.Read(raw[:])
		copied.Header.Set(id.Name, hex.EncodeToString(raw[:]))
	}
	return &copied
}
