package catalogue

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/internal/nolog"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// testNow is the time at which test requests arrive.
var testNow = time.Unix(1760000000, 0)

// setUp provisions a preset with a secret, or without one if secret is empty.
func setUp(t *testing.T, name, secret string, set provider.PresetOptions) *provider.Module {
	t.Helper()
	m, err := trySetUp(name, secret, set)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func trySetUp(name, secret string, set provider.PresetOptions) (*provider.Module, error) {
	p := presetNamed(name)
	var verifier provider.Verifier
	if code := p.Code; code != nil {
		keeping := *p
		keeping.Code = func(m *provider.Module) (v provider.Verifier, err error) {
			verifier, err = code(m)
			return verifier, err
		}
		p = &keeping
	}
	m := provider.NewModule(p)
	m.PresetOptions = set
	if secret != "" {
		m.Secrets = []provider.Secret{{Secret: strings.ReplaceAll(secret, "{", `\{`)}}
	}
	err := provision(m)
	verifiers.Store(m, verifier)
	return m, err
}

// verifiers contains the verifiers of presets in code, by module.
var verifiers sync.Map

// verifierOf returns the verifier of a preset in code. If setUp did not provision the
// module, it returns a new verifier.
func verifierOf(m *provider.Module) provider.Verifier {
	if v, ok := verifiers.Load(m); ok {
		return v.(provider.Verifier)
	}
	v, err := presetNamed(m.Name()).Code(m)
	if err != nil {
		panic(err)
	}
	return v
}

// provision provisions a module without logging.
func provision(m *provider.Module) error {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: nolog.Context(context.Background())})
	defer cancel()
	return m.Provision(ctx)
}

// catalogue contains all registered presets.
var catalogue []provider.Preset

func init() { catalogue = provider.Presets() }

// presetNamed returns the preset with the given name. It panics if there is none.
func presetNamed(name string) *provider.Preset {
	i := slices.IndexFunc(catalogue, func(p provider.Preset) bool { return p.Name == name })
	if i < 0 {
		panic("unknown preset: " + name)
	}
	return &catalogue[i]
}

// request returns a request. headers contains names and values alternately.
func request(method, uri, body string, headers ...string) *signature.Request {
	r := &signature.Request{Method: method, Scheme: "https", Host: "hooks.example.com", RequestURI: uri, Header: http.Header{}, Body: signature.BytesBody(body), Now: testNow}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// verify checks the headers of a request and then the whole request, as the handler
// does.
func verify(t *testing.T, m *provider.Module, r *signature.Request) (*signature.Delivery, error) {
	t.Helper()
	body := r.Body
	r.Body = nil
	if err := m.CheckHeaders(r); err != nil {
		return nil, err
	}
	r.Body = body
	return m.Verify(t.Context(), r)
}

func wantRefused(t *testing.T, m *provider.Module, r *signature.Request, what string) {
	t.Helper()
	d, err := verify(t, m, r)
	if _, ok := errors.AsType[*signature.Refusal](err); !ok {
		t.Errorf("%s: got %+v, %v, want a refusal", what, d, err)
	}
}

func wantAnswer(t *testing.T, m *provider.Module, r *signature.Request, body string) {
	t.Helper()
	d, err := verify(t, m, r)
	if err != nil || d.Answer == nil {
		t.Fatalf("got %+v, %v, want an answer", d, err)
	}
	if string(d.Answer.Body) != body {
		t.Errorf("answered with %q, want %q", d.Answer.Body, body)
	}
	if ct := d.Answer.ContentType; strings.Contains(ct, "html") || (len(d.Answer.Body) > 0 && (ct == "" || d.Answer.Header.Get("X-Content-Type-Options") != "nosniff")) {
		t.Errorf("a browser could render the answer as HTML: %q %v", ct, d.Answer.Header)
	}
}
