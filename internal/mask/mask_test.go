package mask_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue"
	"github.com/verify-webhook/caddy-verify-webhook/internal/generator"
	"github.com/verify-webhook/caddy-verify-webhook/internal/mask"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// signer is a preset with options.
type signer struct{ name, options string }

// signers returns every preset with each of its schemes, and with the options that
// change where the signature is.
func signers() []signer {
	all := []signer{
		{"azure-event-grid", `{"query":"partner"}`},
		{"okta", `{"header":"X-Partner"}`},
		{"custom", `{"algorithm":"hmac-sha256","signature":{"from":"header","name":"X-Partner"}}`},
		{"custom", `{"algorithm":"hmac-sha256","signature":{"from":"query","name":"partner"}}`},
		{"custom", `{"algorithm":"token","signature":{"from":"query","name":"partner"}}`},
	}
	for _, p := range provider.Presets() {
		all = append(all, signer{p.Name, ""})
		for _, v := range p.Variants {
			all = append(all, signer{p.Name, fmt.Sprintf(`{"scheme":%q}`, v.Name)})
		}
	}
	return all
}

// pair returns two deliveries that differ only in the key they are signed with.
func (s signer) pair(t *testing.T) (g *generator.Generator, one, other *signature.Request) {
	t.Helper()
	now := time.Now()
	var body []byte
	signed := func() (*generator.Generator, *signature.Request) {
		g, err := generator.New(generator.Options{
			Provider: s.name, Options: s.options, URL: "http://localhost/hook", Exact: true, Body: body, Label: "the-key",
			ID: "0b5b0a44-0000-4000-8000-000000000001", Now: func() time.Time { return now },
		})
		if err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		r, err := g.Make(generator.Genuine, "")
		if err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		return g, r
	}
	if _, example := signed(); !strings.HasPrefix(string(example.Body.Bytes()), "--") { // the generator makes multipart forms only of its example
		body = example.Body.Bytes()
	}
	_, other = signed()
	g, one = signed()
	return g, one, other
}

// word matches what can be a signature or a secret in a request.
var word = regexp.MustCompile(`[A-Za-z0-9+/=_~-]{16,}`)

// wordsOf returns the words of texts, as written and decoded.
func wordsOf(texts ...string) (all []string) {
	for _, text := range texts {
		all = append(all, word.FindAllString(text, -1)...)
		if plain, err := url.QueryUnescape(text); err == nil {
			all = append(all, word.FindAllString(plain, -1)...)
		}
	}
	return all
}

func textsOf(r *signature.Request) []string {
	texts := []string{r.RequestURI, string(r.Body.Bytes())}
	for _, values := range r.Header {
		texts = append(texts, values...)
	}
	return texts
}

// random are words of examples that are neither signatures nor secrets.
var random = map[string]*regexp.Regexp{
	"aws-sns":         regexp.MustCompile(`SimpleNotificationService-`),
	"dropbox-sign":    regexp.MustCompile(`^[0-9a-f]{40}$`), // IDs; the hash has 64 digits
	"apple-app-store": regexp.MustCompile(`^eyJ`),           // claims
	"wix":             regexp.MustCompile(`^eyJ`),
	"kinde":           regexp.MustCompile(`^eyJ`),
	"plaid":           regexp.MustCompile(`^eyJ`),
}

// hidden returns what must not be shown of a delivery.
func (s signer) hidden(g *generator.Generator, one, other *signature.Request) []string {
	known := wordsOf(textsOf(other)...)
	all := slices.DeleteFunc(wordsOf(textsOf(one)...), func(w string) bool {
		return slices.Contains(known, w) || random[s.name] != nil && random[s.name].MatchString(w)
	})
	if secret := g.Setup().Secret; secret != "" && !g.Algorithm().Asymmetric() {
		all = append(all, secret, base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret)))
	}
	return all
}

// shown returns what operators see of a delivery.
func (s signer) shown(r *signature.Request, places mask.Places) []string {
	texts := []string{places.URI(r.RequestURI)}
	for name, values := range places.Header(r.Header, "") {
		texts = append(texts, name+": "+strings.Join(values, " "))
	}
	if !places.SecretInBody() {
		texts = append(texts, places.Body(string(r.Body.Bytes())))
	}
	return texts
}

// TestNoSignatureAndNoSecretIsShownForAnyPreset compares deliveries that differ only in
// the key: what differs is the signature or the secret.
func TestNoSignatureAndNoSecretIsShownForAnyPreset(t *testing.T) {
	for _, s := range signers() {
		g, one, other := s.pair(t)
		hidden := s.hidden(g, one, other)
		if len(hidden) == 0 {
			t.Errorf("%+v: found no signature", s)
		}
		for name, places := range map[string]mask.Places{"known": mask.Of(s.name, json.RawMessage(s.options)), "unknown": mask.Unknown()} {
			for _, text := range s.shown(one, places) {
				plain, _ := url.QueryUnescape(text)
				for _, w := range hidden {
					if strings.Contains(text, w) || strings.Contains(plain, w) {
						t.Errorf("%+v, places %s: %q is in %.300s", s, name, w, text)
					}
				}
			}
		}
	}
}

// TestOnlySignaturesAreHidden guards against masks that hide everything.
func TestOnlySignaturesAreHidden(t *testing.T) {
	h := http.Header{"Content-Type": {"application/json"}, "X-Github-Event": {"push"}, "X-Hub-Signature-256": {"sha256=00"}, "Webhook-Verified-Key": {"k"}, "X-Removed": {"(removed: it is blank)"}}
	shown := mask.Of("github", nil).Header(h, "(removed")
	for name, want := range map[string]string{"Content-Type": "application/json", "X-Github-Event": "push", "X-Hub-Signature-256": mask.Masked, "Webhook-Verified-Key": "k", "X-Removed": "(removed: it is blank)"} {
		if got := shown.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if h.Get("X-Hub-Signature-256") == mask.Masked {
		t.Error("the original was changed")
	}
	if got := mask.Of("github", nil).URI("/hook?a=1&token=s3cret&%74oken=s3cret&b"); got != "/hook?a=1&token=masked&%74oken=masked&b" {
		t.Error(got)
	}
	if got := mask.Unknown().URI("/hook?a=1"); got != "/hook?a=masked" {
		t.Error(got)
	}
	if got := mask.Of("adyen", nil).Body(`{"hmacSignature": "a\"b", "x": "y"}`); got != `{"hmacSignature": "(masked)", "x": "y"}` {
		t.Error(got)
	}
}
