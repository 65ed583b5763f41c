package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/internal/nolog"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// needed are options without which a preset cannot be set up.
var needed = map[string]string{}

// workedOut are presets whose own code reads what is signed out of something
// that only the provider makes.
var workedOut = map[string]string{
	"braintree":       "the form holds the signature and, beside it, what is signed",
	"coinbase-cdp":    "the signature lists the headers that it covers",
	"contentful":      "a header lists the headers that are signed",
	"dropbox-sign":    "the body is multipart and signs itself",
	"microsoft-graph": "every notification in the body holds the secret",
	"paddle-classic":  "the form holds its own signature",
}

// receiver is a real handler that knows what a generator signs with.
func receiver(t *testing.T, m *generator) *dryrun.Endpoint {
	t.Helper()
	options := map[string]any{}
	if m.options.Options != "" {
		if err := json.Unmarshal([]byte(m.options.Options), &options); err != nil {
			t.Fatal(err)
		}
	}
	secret, _ := m.signer.Configure()
	options["name"] = m.options.Provider
	options["secrets"] = []map[string]string{{"secret": secret}}
	config, err := json.Marshal(map[string]any{"provider": options})
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

// received is the request as a server gets it.
func received(r *signature.Request) *http.Request {
	req := httptest.NewRequest(r.Method, r.Scheme+"://"+r.Host+r.RequestURI, bytes.NewReader(r.Body.Bytes()))
	req.Header = r.Header.Clone()
	req.RequestURI = r.RequestURI
	return req
}

func testGenerator(t *testing.T, name string) *generator {
	t.Helper()
	m, err := newGenerator(generatorOptions{Provider: name, Options: needed[name], URL: "https://hooks.example.com/in"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func made(t *testing.T, m *generator, with mutation) *signature.Request {
	t.Helper()
	r, err := m.make(with, "")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEveryPresetThatIsDataAcceptsWhatIsMadeForItAndRefusesTheRest(t *testing.T) {
	tested := 0
	for _, p := range provider.Presets() {
		if p.Code != nil {
			if _, err := newGenerator(generatorOptions{Provider: p.Name, URL: "https://hooks.example.com/in"}); err == nil {
				t.Errorf("%s: signatures of code were made from data", p.Name)
			}
			continue
		}
		tested++
		t.Run(p.Name, func(t *testing.T) {
			m := testGenerator(t, p.Name)
			if why := workedOut[p.Name]; why != "" {
				if _, err := m.make(genuine, ""); err == nil {
					t.Errorf("it can be made although %s", why)
				}
				return
			}
			trial := receiver(t, m)
			genuineOne := made(t, m, genuine)
			if got := trial.Send(received(genuineOne)); got.Outcome != string(caddymodule.Verified) {
				t.Fatalf("made %v %s: %s, %s", genuineOne.Header, genuineOne.Body, got.Outcome, got.Reason)
			}
			// Where the content counts as well as the ID, another ID makes no second one.
			second := caddymodule.Verified
			if p.AlsoContent {
				second = caddymodule.Duplicate
			}
			if got := trial.Send(received(made(t, m, genuine))); got.Outcome != string(second) {
				t.Errorf("a second one: %s, %s", got.Outcome, got.Reason)
			}
			// Where content repeats, it is a new delivery.
			got := trial.Send(received(m.again(genuineOne)))
			if repeats := p.Content == provider.ContentRepeats && !m.traits.IDSigned; got.Reached != repeats {
				t.Errorf("the same again: %s, %s", got.Outcome, got.Reason)
			}
			if got := trial.Send(received(made(t, m, tampered))); got.Reached || got.Status/100 != 4 {
				t.Errorf("tampered: %s, status %d", got.Outcome, got.Status)
			}
			old, err := m.make(stale, "")
			if !m.traits.TimestampSigned {
				if !errors.Is(err, errNoTimestamp) {
					t.Errorf("stale without a timestamp: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := trial.Send(received(old)); got.Reached || got.Outcome != string(caddymodule.Stale) {
				t.Errorf("stale: %s, %s", got.Outcome, got.Reason)
			}
		})
	}
	if tested < 5 {
		t.Errorf("only %d presets", tested)
	}
}

func TestABodyThatMustStayAsItIsDoes(t *testing.T) {
	for _, name := range []string{"github", "stripe"} {
		body := []byte("{ \"id\" : \"evt_mine\" ,\n \"type\":\"x\"}\n")
		m, err := newGenerator(generatorOptions{Provider: name, URL: "http://localhost/", Body: body, Exact: true})
		if err != nil {
			t.Fatal(err)
		}
		r := made(t, m, genuine)
		if !bytes.Equal(r.Body.Bytes(), body) {
			t.Errorf("%s: the body became %s", name, r.Body)
		}
		if got := receiver(t, m).Send(received(r)); got.Outcome != string(caddymodule.Verified) {
			t.Errorf("%s: %s, %s", name, got.Outcome, got.Reason)
		}
	}
}

func TestMakersSayWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		options generatorOptions
		want    string
	}{
		{generatorOptions{Provider: "gihtub", URL: "http://localhost/"}, "no preset"},
		{generatorOptions{Provider: "github", URL: "localhost:8080"}, "is not a URL"},
		{generatorOptions{Provider: "github", URL: "http://localhost/", Options: "{"}, "options"},
		{generatorOptions{Provider: "github", URL: "http://localhost/", PrivateKey: "no such file"}, "private key"},
	} {
		_, err := newGenerator(test.options)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want %s", test.options, err, test.want)
		}
	}
}
