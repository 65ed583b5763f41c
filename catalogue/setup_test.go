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

// testNow is when the requests of these tests arrive.
var testNow = time.Unix(1760000000, 0)

// setUp provisions a preset with a secret; none if it is empty.
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

// verifiers are those of presets in code, by their modules.
var verifiers sync.Map

// verifierOf returns the verifier of a preset in code that was set up, or one
// like it if it was not by setUp.
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

// provision provisions a module, and logs nothing.
func provision(m *provider.Module) error {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: nolog.Context(context.Background())})
	defer cancel()
	return m.Provision(ctx)
}

// catalogue is every preset, as registered.
var catalogue []provider.Preset

func init() { catalogue = provider.Presets() }

// presetNamed returns a preset.
func presetNamed(name string) *provider.Preset {
	i := slices.IndexFunc(catalogue, func(p provider.Preset) bool { return p.Name == name })
	if i < 0 {
		panic("there is no preset " + name)
	}
	return &catalogue[i]
}

// request makes a request; headers are name and value in turn.
func request(method, uri, body string, headers ...string) *signature.Request {
	r := &signature.Request{Method: method, Scheme: "https", Host: "hooks.example.com", RequestURI: uri, Header: http.Header{}, Body: signature.BytesBody(body), Now: testNow}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// take takes a request its way through a provider, as the handler does.
func take(t *testing.T, m *provider.Module, r *signature.Request) (*signature.Delivery, error) {
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
	d, err := take(t, m, r)
	if _, ok := errors.AsType[*signature.Refusal](err); !ok {
		t.Errorf("%s: got %+v, %v, want a refusal", what, d, err)
	}
}

func wantAnswer(t *testing.T, m *provider.Module, r *signature.Request, body string) {
	t.Helper()
	d, err := take(t, m, r)
	if err != nil || d.Answer == nil {
		t.Fatalf("not answered: %+v, %v", d, err)
	}
	if string(d.Answer.Body) != body {
		t.Errorf("answered with %q, want %q", d.Answer.Body, body)
	}
	if ct := d.Answer.ContentType; strings.Contains(ct, "html") || (len(d.Answer.Body) > 0 && (ct == "" || d.Answer.Header.Get("X-Content-Type-Options") != "nosniff")) {
		t.Errorf("a browser could take the answer for a page: %q %v", ct, d.Answer.Header)
	}
}
