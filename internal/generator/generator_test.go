package generator_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue"
	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/internal/generator"
	"github.com/verify-webhook/caddy-verify-webhook/internal/nolog"
	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

const target = "https://hooks.example.com/in"

// receiver returns a real handler with this provider.
func receiver(t *testing.T, options json.RawMessage) *dryrun.Endpoint {
	t.Helper()
	config, err := json.Marshal(map[string]json.RawMessage{"provider": options})
	if err != nil {
		t.Fatal(err)
	}
	trial, err := dryrun.Open(nolog.Context(t.Context()), config, nil)
	if err != nil {
		t.Fatalf("%s: %v", options, err)
	}
	t.Cleanup(trial.Close)
	return trial
}

// receiverOf returns a receiver with the settings of a generator.
func receiverOf(t *testing.T, m *generator.Generator) *dryrun.Endpoint {
	t.Helper()
	options, err := m.Setup().JSON()
	if err != nil {
		t.Fatal(err)
	}
	return receiver(t, options)
}

// received returns the request as a server receives it.
func received(r *signature.Request) *http.Request {
	req := httptest.NewRequest(r.Method, r.Scheme+"://"+r.Host+r.RequestURI, bytes.NewReader(r.Body.Bytes()))
	req.Header = r.Header.Clone()
	req.RequestURI = r.RequestURI
	return req
}

func open(t *testing.T, o generator.Options) *generator.Generator {
	t.Helper()
	if o.URL == "" {
		o.URL = target
	}
	m, err := generator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func made(t *testing.T, m *generator.Generator, with generator.Mutation) *signature.Request {
	t.Helper()
	r, err := m.Make(with, "")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// presetVariant is a preset in one of its variants.
type presetVariant struct {
	preset  provider.Preset
	variant string
}

func (w presetVariant) options() generator.Options {
	o := generator.Options{Provider: w.preset.Name}
	if w.variant != "" {
		o.Options = `{"scheme":"` + w.variant + `"}`
	}
	return o
}

// presetVariants returns all registered presets in all variants.
func presetVariants() []presetVariant {
	var all []presetVariant
	for _, p := range provider.Presets() {
		if strings.HasPrefix(p.Name, "test-") {
			continue // registered by another test
		}
		if len(p.Variants) == 0 {
			all = append(all, presetVariant{p, ""})
		}
		for _, v := range p.Variants {
			all = append(all, presetVariant{p, v.Name})
		}
	}
	return all
}

func eachVariant(t *testing.T, test func(t *testing.T, w presetVariant)) {
	t.Helper()
	for _, w := range presetVariants() {
		t.Run(strings.TrimSuffix(w.preset.Name+" "+w.variant, " "), func(t *testing.T) { test(t, w) })
	}
}

func TestEveryPresetAcceptsOnlyGenuineGeneratedDeliveries(t *testing.T) {
	eachVariant(t, func(t *testing.T, w presetVariant) {
		m := open(t, w.options())
		trial := receiverOf(t, m)
		genuine := made(t, m, generator.Genuine)
		if got := trial.Send(received(genuine)); got.Outcome != string(caddymodule.Verified) {
			t.Fatalf("genuine %v %s: %s, %s", genuine.Header, genuine.Body.Bytes(), got.Outcome, got.Reason)
		}
		if got := trial.Send(received(made(t, m, generator.Genuine))); got.Outcome != string(caddymodule.Verified) {
			t.Errorf("a second delivery: %s, %s", got.Outcome, got.Reason)
		}
		// If the provider repeats content, the copy is a new delivery.
		got := trial.Send(received(m.Again(genuine)))
		d := w.distinction()
		if repeats := d.Content == provider.ContentRepeats || len(d.RepeatsWhen) > 0; got.Reached && (!repeats || m.Coverage().IDSigned) {
			t.Errorf("a copy: %s, %s", got.Outcome, got.Reason)
		}
		if got := trial.Send(received(made(t, m, generator.Tampered))); got.Reached || got.Status/100 != 4 {
			t.Errorf("tampered: %s, status %d", got.Outcome, got.Status)
		}
		old, err := m.Make(generator.Stale, "")
		if !m.Coverage().TimestampSigned {
			if !errors.Is(err, generator.ErrNoTimestamp) {
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

func (w presetVariant) distinction() provider.Distinction {
	for _, v := range w.preset.Variants {
		if v.Name == w.variant && v.Distinction != nil {
			return *v.Distinction
		}
	}
	return w.preset.Distinction
}

// The Caddyfile for the receiver works with every kind of key.
func TestPrintedCaddyfileAcceptsTheDelivery(t *testing.T) {
	eachVariant(t, func(t *testing.T, w presetVariant) {
		m := open(t, w.options())
		directive := m.Setup().Caddyfile()
		options := adapted(t, "example.com {\n"+directive+"\n}\n")
		if got := receiver(t, options).Send(received(made(t, m, generator.Genuine))); got.Outcome != string(caddymodule.Verified) {
			t.Errorf("%s\n%s, %s", directive, got.Outcome, got.Reason)
		}
	})
}

// adapted returns the provider's JSON of the only handler in a Caddyfile.
func adapted(t *testing.T, text string) json.RawMessage {
	t.Helper()
	config, _, err := (caddyfile.Adapter{ServerType: httpcaddyfile.ServerType{}}).Adapt([]byte(text), nil)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	var found any
	var look func(value any)
	look = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			if v["handler"] == "verify_webhook" {
				found = v["provider"]
			}
			for _, inner := range v {
				look(inner)
			}
		case []any:
			for _, inner := range v {
				look(inner)
			}
		}
	}
	var document any
	if err := json.Unmarshal(config, &document); err != nil {
		t.Fatal(err)
	}
	look(document)
	if found == nil {
		t.Fatalf("no handler in %s", config)
	}
	options, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	return options
}

// A saved key can be used again with the same receiver.
func TestSavedKeySignsForTheSameReceiver(t *testing.T) {
	eachVariant(t, func(t *testing.T, w presetVariant) {
		m := open(t, w.options())
		trial := receiverOf(t, m)
		text, err := m.Setup().KeyFile()
		if err != nil {
			t.Fatal(err)
		}
		o := w.options()
		o.Label = m.Setup().Label
		if m.Setup().Private() {
			o.PrivateKey = filepath.Join(t.TempDir(), "key.pem")
			if err := os.WriteFile(o.PrivateKey, text, 0o600); err != nil {
				t.Fatal(err)
			}
		} else {
			o.Secret = strings.TrimSuffix(string(text), "\n")
		}
		again := open(t, o)
		if again.Setup().Generated {
			t.Error("the key counts as generated")
		}
		if got := trial.Send(received(made(t, again, generator.Genuine))); got.Outcome != string(caddymodule.Verified) {
			t.Errorf("%s, %s", got.Outcome, got.Reason)
		}
	})
}

// A delivery has its ID and event type in the same location as the provider's.
func TestGeneratedDeliveryHasAnIDAndAnEventType(t *testing.T) {
	eachVariant(t, func(t *testing.T, w presetVariant) {
		m := open(t, w.options())
		var id, event string
		trial := receiverOf(t, m)
		trial.App = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			id, event = r.Header.Get("Webhook-Verified-Id"), r.Header.Get("Webhook-Verified-Event")
		})
		if got := trial.Send(received(made(t, m, generator.Genuine))); !got.Reached {
			t.Fatalf("%s, %s", got.Outcome, got.Reason)
		}
		if m.Coverage().HasID && id == "" {
			t.Error("the delivery has no ID")
		}
		if m.Coverage().HasEvent && (event == "" || event == "example.created" && hasExample(t, w.preset.Name)) {
			t.Errorf("the event type is %q", event)
		}
	})
}

func hasExample(t *testing.T, name string) bool {
	t.Helper()
	names, err := generator.Examples()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(names, name)
}

func TestEveryExampleBelongsToAPreset(t *testing.T) {
	names, err := generator.Examples()
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"header-events"}
	for _, w := range presetVariants() {
		known = append(known, w.preset.Name, w.preset.Name+"."+w.variant)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			t.Errorf("events/%s: no preset has this name", name)
		}
	}
}

func TestCustomIDAndEventTypeAreUsed(t *testing.T) {
	eachVariant(t, func(t *testing.T, w presetVariant) {
		o := w.options()
		o.ID, o.Event = "1234567890123456", "mine.created"
		m := open(t, o)
		trial := receiverOf(t, m)
		var id, event string
		trial.App = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			id, event = r.Header.Get("Webhook-Verified-Id"), r.Header.Get("Webhook-Verified-Event")
		})
		r, err := m.Make(generator.Genuine, "")
		if err != nil || !trial.Send(received(r)).Reached {
			return // the provider has no such ID or event type
		}
		if m.Coverage().HasID && id != o.ID {
			t.Errorf("the ID is %q", id)
		}
		if m.Coverage().HasEvent && !strings.HasPrefix(event, o.Event) {
			t.Errorf("the event type is %q", event)
		}
	})
}

func TestExactBodyIsNotChanged(t *testing.T) {
	for _, name := range []string{"github", "stripe"} {
		body := []byte("{ \"id\" : \"evt_mine\" ,\n \"type\":\"x\"}\n")
		m := open(t, generator.Options{Provider: name, Body: body, Exact: true})
		r := made(t, m, generator.Genuine)
		if !bytes.Equal(r.Body.Bytes(), body) {
			t.Errorf("%s: the body was changed to %s", name, r.Body)
		}
		if got := receiverOf(t, m).Send(received(r)); got.Outcome != string(caddymodule.Verified) {
			t.Errorf("%s: %s, %s", name, got.Outcome, got.Reason)
		}
	}
}

func TestInvalidGeneratorOptionsAreErrors(t *testing.T) {
	rsa := filepath.Join(t.TempDir(), "rsa.pem")
	text, err := open(t, generator.Options{Provider: "google-pubsub"}).Setup().KeyFile()
	if err == nil {
		err = os.WriteFile(rsa, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		options generator.Options
		want    string
	}{
		{generator.Options{Provider: "gihtub", URL: "http://localhost/"}, "no preset"},
		{generator.Options{Provider: "github", URL: "localhost:8080"}, "is not a URL"},
		{generator.Options{Provider: "github", URL: "http://localhost/", Options: "{"}, "options"},
		{generator.Options{Provider: "github", URL: "http://localhost/", PrivateKey: "no such file"}, "private key"},
		{generator.Options{Provider: "plaid", URL: "http://localhost/", Secret: "one"}, "plaid signs with a private key: pass that instead of a secret"},
		{generator.Options{Provider: "plaid", URL: "http://localhost/", PrivateKey: rsa}, "plaid signs with another kind of private key: use one for ECDSA with P-256"},
		{generator.Options{Provider: "vonage", URL: "http://localhost/", PrivateKey: rsa}, "vonage signs with a shared secret: pass that instead of a private key"},
		{generator.Options{Provider: "aws-sns", URL: "http://localhost/", Options: `{"topics":["here"]}`}, `topic "here" is not the ARN of an SNS topic`},
	} {
		_, err := generator.New(test.options)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want %s", test.options, err, test.want)
		}
	}
}

// A preset in another repository can be code that does not implement signing.
func TestPresetWithoutSigningIsAnError(t *testing.T) {
	provider.Register(provider.Preset{
		Name: "test-coded", Title: "Coded", Distinction: provider.Distinction{Content: provider.ContentUnique},
		Code: func(*provider.Module) (provider.Verifier, error) { return nil, errors.New("unused") },
		Docs: "https://example.com", SecretHelp: "none", Signs: "the body",
	})
	_, err := signing.OpenSigner("test-coded", nil, "", nil)
	if err == nil || !strings.Contains(err.Error(), "does not implement signing") {
		t.Errorf("got %v", err)
	}
}
