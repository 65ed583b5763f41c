package command

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"embed"
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

// generatorOptions say what deliveries to make.
type generatorOptions struct {
	Provider   string
	Options    string // the provider's JSON, as in the config
	Secret     string
	PrivateKey string // a file
	URL        string
	PublicURL  string
	Body       []byte // nil: a bundled example
	Exact      bool   // leave the body as it is
	ID, Event  string
}

// generator makes deliveries. It may be used concurrently.
type generator struct {
	options generatorOptions
	signer  *signing.Signer
	scheme  signature.Scheme
	traits  signature.Traits
	target  *url.URL
	body    []byte
	form    bool
	now     func() time.Time
}

func newGenerator(o generatorOptions) (*generator, error) {
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
	m := &generator{options: o, target: target, now: time.Now}
	if m.signer, err = signing.OpenSigner(o.Provider, json.RawMessage(o.Options), o.Secret, private); err != nil {
		return nil, err
	}
	if m.scheme, err = m.signer.Scheme(m.blank()); err != nil {
		return nil, err
	}
	if m.traits, err = m.signer.Traits(); err != nil {
		return nil, err
	}
	m.form = wantsForm(m.scheme)
	if m.body = o.Body; m.body == nil {
		err = m.useExample()
	}
	return m, err
}

// useExample takes a bundled event for the body: a form where nothing else can
// be signed.
func (m *generator) useExample() (err error) {
	if m.body, err = exampleEvent(m.options.Provider, m.form); err != nil || m.form {
		return err
	}
	if _, refused := m.make(genuine, ""); refused == nil {
		return nil
	}
	document := m.body
	if m.body, err = exampleEvent(m.options.Provider, true); err != nil {
		return err
	}
	m.form = true
	if _, refused := m.make(genuine, ""); refused != nil {
		m.body, m.form = document, false // then JSON it is; make tells what is wrong
	}
	return nil
}

// wantsForm reports whether what the scheme reads is in a form.
func wantsForm(s signature.Scheme) bool {
	form := s.When != nil && s.When.ContentType == formType || strings.Contains(s.Signed, "{form")
	for _, f := range []*signature.Field{&s.Signature.Field, s.ID, s.Event} {
		form = form || f != nil && f.From == "form"
	}
	return form || s.Timestamp != nil && s.Timestamp.From == "form"
}

const formType = "application/x-www-form-urlencoded"

//go:embed events
var events embed.FS

// exampleEvent returns a bundled event: the provider's own if there is one.
func exampleEvent(name string, form bool) ([]byte, error) {
	if form {
		return events.ReadFile("events/generic.form")
	}
	raw, err := events.ReadFile("events/" + name + ".json")
	if err != nil {
		raw, err = events.ReadFile("events/generic.json")
	}
	return bytes.TrimSpace(raw), err
}

func (m *generator) blank() *signature.Request {
	r := &signature.Request{
		Method: http.MethodPost, Scheme: m.target.Scheme, Host: m.target.Host, RequestURI: m.target.RequestURI(),
		PublicURL: m.options.PublicURL, Header: make(http.Header), Body: signature.BytesBody(m.body),
	}
	if m.form {
		r.Header.Set("Content-Type", formType)
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// mutation is what is wrong with a delivery on purpose.
type mutation int

const (
	genuine mutation = iota
	tampered
	stale
)

// errNoTimestamp: without a signed timestamp nothing gets stale.
var errNoTimestamp = errors.New("the provider signs no timestamp, so a delivery cannot be stale: what protects from late replays is only the window")

// make makes a delivery. id is its ID; empty: a fresh one.
func (m *generator) make(with mutation, id string) (*signature.Request, error) {
	if id == "" {
		id = m.freshID()
	}
	r := m.blank()
	if !m.options.Exact && !m.traits.IDSigned {
		// Otherwise every delivery would be signed alike, and rightly
		// be taken for a copy of the first.
		r.Body = signature.BytesBody(stamp(m.body, id))
	}
	draft := signature.Draft{ID: id, Event: m.event(), Time: m.now()}
	if m.options.Exact && m.traits.BodySigned {
		draft = m.inHeadersOnly(draft)
	}
	if with == stale {
		if !m.traits.TimestampSigned {
			return nil, errNoTimestamp
		}
		draft.Time = draft.Time.Add(-2*m.traits.Tolerance - time.Hour)
	}
	if err := m.signer.Sign(r, draft); err != nil {
		return nil, fmt.Errorf("making a delivery of %s: %w", m.options.Provider, err)
	}
	if with == tampered {
		return r, m.tamper(r, draft)
	}
	return r, nil
}

// exampleTypes are event types that go with the bundled events.
var exampleTypes = map[string]string{"github": "push", "shopify": "orders/create"}

// event returns the event type, empty if the body says it.
func (m *generator) event() string {
	e := m.scheme.Event
	if m.options.Event != "" || e == nil || e.From == "json" || e.From == "form" {
		return m.options.Event
	}
	if known := exampleTypes[m.options.Provider]; known != "" {
		return known
	}
	return "example.created"
}

// inHeadersOnly leaves out of a draft what would change the body.
func (m *generator) inHeadersOnly(d signature.Draft) signature.Draft {
	inBody := func(f *signature.Field) bool { return f != nil && (f.From == "json" || f.From == "form") }
	if inBody(m.scheme.ID) {
		d.ID = ""
	}
	if inBody(m.scheme.Event) {
		d.Event = ""
	}
	return d
}

// tamper makes a delivery one that the provider did not send: with another
// body or, where that is not signed, with another's signature.
func (m *generator) tamper(r *signature.Request, d signature.Draft) error {
	if m.traits.BodySigned {
		raw := r.Body.Bytes()
		r.Body = signature.BytesBody(alter(raw))
		return nil
	}
	other, err := signing.OpenSigner(m.options.Provider, json.RawMessage(m.options.Options), "", nil)
	if err != nil {
		return err
	}
	return other.Sign(r, d)
}

// alter changes a body so that it still is what it was: JSON or a form.
func alter(body []byte) []byte {
	if i := bytes.LastIndexByte(body, '}'); i >= 0 {
		return append(append(bytes.Clone(body[:i]), ' '), body[i:]...)
	}
	return append(bytes.Clone(body), "&tampered=1"...)
}

// stamp makes a body unlike any other.
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
		return body // a list, or XML: there is no place for it
	}
	return append(bytes.Clone(body), "&example_delivery="+id...)
}

// freshID makes up a delivery ID of the usual kind.
func (m *generator) freshID() string {
	if m.options.ID != "" {
		return m.options.ID
	}
	var raw [16]byte
	rand.Read(raw[:]) // never fails (crypto/rand)
	if m.scheme.ID != nil && m.scheme.ID.From != "header" {
		return "evt_" + hex.EncodeToString(raw[:])
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:])
}

// again makes the same delivery come a second time, as somebody would send it
// who has seen the first: where the signature does not cover the ID, under a
// fresh one.
func (m *generator) again(r *signature.Request) *signature.Request {
	copied := *r
	copied.Header = r.Header.Clone()
	// An ID may be part of what is signed and yet not be told apart in it.
	free := !m.traits.IDSigned && !strings.Contains(m.scheme.Signed, "{id}")
	if id := m.scheme.ID; id != nil && free && id.From == "header" {
		var raw [16]byte
		rand.Read(raw[:])
		copied.Header.Set(id.Name, hex.EncodeToString(raw[:]))
	}
	return &copied
}

// httpRequest returns what is sent. The URL is the target's, whatever was
// signed.
func httpRequest(ctx context.Context, r *signature.Request) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.Scheme+"://"+r.Host+r.RequestURI, bytes.NewReader(r.Body.Bytes()))
	if err != nil {
		return nil, err
	}
	req.Header = r.Header.Clone()
	return req, nil
}
