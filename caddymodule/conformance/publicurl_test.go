package conformance_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// withPublicURL returns the vector as Caddy receives it behind a proxy that changes
// scheme and host. It sets public_url, unless publicURL is empty.
func withPublicURL(t *testing.T, v conformance.Vector, publicURL string, internal *url.URL) conformance.Vector {
	t.Helper()
	var options map[string]any
	if err := json.Unmarshal(v.Provider, &options); err != nil {
		t.Fatal(err)
	}
	delete(options, "public_url")
	if publicURL != "" {
		options["public_url"] = publicURL
	}
	var err error
	if v.Provider, err = json.Marshal(options); err != nil {
		t.Fatal(err)
	}
	v.Request.URL = internal.String()
	return v
}

// TestPublicURLWithoutAPathUsesThePathOfTheRequest sends each accepted delivery of
// each preset through a proxy that changes scheme and host. With public_url
// without a path, each delivery must be accepted.
func TestPublicURLWithoutAPathUsesThePathOfTheRequest(t *testing.T) {
	t.Parallel()
	signing := make(map[string]bool)
	for _, path := range files(t) {
		vectors, err := conformance.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range vectors {
			if v.Expect != "accept" || v.SentBefore {
				continue
			}
			signs, ok := behindAProxy(t, v)
			if !ok {
				t.Errorf("%s %s: refused with public_url without a path", v.ProviderName(), v.Name)
			}
			signing[v.ProviderName()] = signing[v.ProviderName()] || signs
		}
	}
	for _, name := range []string{"bird", "hubspot", "mandrill", "messagebird", "plivo", "rfc9421", "square", "trello", "twilio"} {
		if !signing[name] {
			t.Errorf("%s: no vector signs the host, so nothing was tested", filepath.Base(name))
		}
	}
}

// behindAProxy reports whether the provider signs scheme and host, and whether
// the delivery is accepted with the right public_url, and with no other.
func behindAProxy(t *testing.T, v conformance.Vector) (signs, ok bool) {
	t.Helper()
	var options struct {
		PublicURL string `json:"public_url"`
	}
	if err := json.Unmarshal(v.Provider, &options); err != nil {
		t.Fatal(err)
	}
	signed, err := url.Parse(v.Request.URL)
	if err != nil {
		t.Fatal(err)
	}
	if options.PublicURL != "" {
		public, err := url.Parse(options.PublicURL)
		if err != nil {
			t.Fatal(err)
		}
		if public.EscapedPath() != signed.EscapedPath() && public.Path != "" || public.RawQuery != "" && public.RawQuery != signed.RawQuery {
			return false, true // the vector also changes path or query
		}
		signed.Scheme, signed.Host = public.Scheme, public.Host
	}
	internal := *signed
	internal.Scheme, internal.Host = "http", "attacker.example:8080"
	accepted := func(publicURL string) bool {
		result, err := conformance.Run(withPublicURL(t, v, publicURL, &internal))
		if err != nil {
			t.Fatalf("%s %s: %v", v.ProviderName(), v.Name, err)
		}
		return result.Accepted
	}
	base := signed.Scheme + "://" + signed.Host
	signs = !accepted("")
	if signs && accepted("https://other.example") {
		t.Errorf("%s %s: accepted for another host", v.ProviderName(), v.Name)
	}
	return signs, accepted(base)
}

// Some providers sign the URL as the operator entered it, others the requested
// URL, which ends with a slash.
func TestPublicURLWithoutAPathMatchesTheRootPath(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"bird", "mandrill", "plivo", "square", "trello", "twilio"} {
		for signed, want := range map[string]bool{"https://h.example": true, "https://h.example/": true, "https://other.example/": false, "https://h.example/in": false} {
			signer, err := signing.OpenSigner(name, nil, "12345678901234567890123456789012", nil)
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			r := &signature.Request{Method: "POST", Scheme: "http", Host: "internal:8080", RequestURI: "/", PublicURL: signed, Header: make(http.Header), Body: signature.BytesBody(`{"a":1}`)}
			if name == "mandrill" || name == "plivo" || name == "twilio" {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Body = signature.BytesBody("a=1&b=2")
			}
			if err := signer.Sign(r, signature.Draft{Time: now, ID: "1"}); err != nil {
				t.Fatal(err)
			}
			v := conformance.Vector{Now: now.Unix(), Request: conformance.Request{Method: "POST", Headers: r.Header, Body: r.Body.Bytes()}}
			v.Provider = fmt.Appendf(nil, `{"name":%q,"secrets":[{"secret":"12345678901234567890123456789012"}]}`, name)
			result, err := conformance.Run(withPublicURL(t, v, "https://h.example", &url.URL{Scheme: "http", Host: "internal:8080", Path: "/"}))
			if err != nil || result.Accepted != want {
				t.Errorf("%s, signed %s: accepted %t, want %t (%v %v)", name, signed, result.Accepted, want, result.Reason, err)
			}
		}
	}
}
