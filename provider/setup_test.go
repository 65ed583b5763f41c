package provider

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// testNow is when the requests of these tests arrive.
var testNow = time.Unix(1760000000, 0)

// setUp provisions a preset with a secret; none if it is empty.
func setUp(t *testing.T, name, secret string, set PresetOptions) *Module {
	t.Helper()
	m, err := trySetUp(name, secret, set)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func trySetUp(name, secret string, set PresetOptions) (*Module, error) {
	for i := range catalogue {
		if catalogue[i].Name != name {
			continue
		}
		m := &Module{preset: &catalogue[i], PresetOptions: set, logger: zap.NewNop()}
		if secret != "" {
			m.Secrets = []Secret{{Secret: strings.ReplaceAll(secret, "{", `\{`)}}
		}
		return m, m.provision()
	}
	return nil, errors.New("there is no preset " + name)
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
func take(t *testing.T, m *Module, r *signature.Request) (*signature.Delivery, error) {
	t.Helper()
	body := r.Body
	r.Body = nil
	if err := m.CheckHeaders(r); err != nil {
		return nil, err
	}
	r.Body = body
	return m.Verify(t.Context(), r)
}

func wantRefused(t *testing.T, m *Module, r *signature.Request, what string) {
	t.Helper()
	d, err := take(t, m, r)
	if _, ok := errors.AsType[*signature.Refusal](err); !ok {
		t.Errorf("%s: got %+v, %v, want a refusal", what, d, err)
	}
}

func wantAnswer(t *testing.T, m *Module, r *signature.Request, body string) {
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
