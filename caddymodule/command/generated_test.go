package command

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/internal/generator"
	"github.com/verify-webhook/caddy-verify-webhook/internal/nolog"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// workedOut lists presets whose deliveries need their own code, so that a
// changed delivery is not genuine.
var workedOut = map[string]string{
	"braintree":       "the form contains the signature and the signed content",
	"coinbase-cdp":    "the signature lists the headers that it covers",
	"contentful":      "a header lists the headers that are signed",
	"dropbox-sign":    "the body is multipart and signs itself",
	"microsoft-graph": "each notification in the body contains the secret",
	"paddle-classic":  "the form contains its own signature",
}

// receiver returns a real handler that is configured for a generator.
func receiver(t *testing.T, m *generator.Generator) *dryrun.Endpoint {
	t.Helper()
	options, err := m.Setup().JSON()
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]json.RawMessage{"provider": options})
	if err != nil {
		t.Fatal(err)
	}
	trial, err := dryrun.Open(nolog.Context(t.Context()), config, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trial.Close)
	return trial
}

// received returns the request as a server receives it.
func received(r *signature.Request) *http.Request {
	req := httptest.NewRequest(r.Method, r.Scheme+"://"+r.Host+r.RequestURI, bytes.NewReader(r.Body.Bytes()))
	req.Header = r.Header.Clone()
	req.RequestURI = r.RequestURI
	return req
}

func generated(t *testing.T, m *generator.Generator) *signature.Request {
	t.Helper()
	r, err := m.Make(generator.Genuine, "")
	if err != nil {
		t.Fatal(err)
	}
	return r
}
