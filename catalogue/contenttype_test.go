package catalogue

import (
	"bytes"
	"net/url"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// contentTypes are those that a copy of a delivery can have.
var contentTypes = []string{
	"application/json", "application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-16", "APPLICATION/X-WWW-FORM-URLENCODED",
	"multipart/form-data; boundary=x", "text/plain", "form", ";", "",
}

// TestContentTypeDoesNotChangeWhatDistinguishesADelivery: no signature covers the
// Content-Type, so a copy of a handled delivery with another one must have the same
// replay keys, or be refused.
func TestContentTypeDoesNotChangeWhatDistinguishesADelivery(t *testing.T) {
	checked := 0
	for i := range catalogue {
		p := &catalogue[i]
		for distinction, schemes := range schemesByDistinction(p) {
			for _, body := range exceptionalBodies(distinction) {
				for s := range schemes {
					if schemes[s].Algorithm == signature.Token || schemes[s].Algorithm == signature.Basic {
						continue // everything can be forged
					}
					if checkContentTypes(t, p, body) {
						checked++
					}
				}
			}
		}
	}
	if checked == 0 {
		t.Error("no preset was checked")
	}
}

// exceptionalBodies returns bodies with a field that marks the other kind of content:
// as JSON, and as JSON in a form.
func exceptionalBodies(d *provider.Distinction) (bodies []string) {
	for _, f := range append(d.RepeatsWhen, d.UniqueWhen...) {
		r := request("POST", "/in", `{"id":"1"}`)
		if f.From != "json" || signature.Place(r, f, "x") != nil {
			continue
		}
		document := string(r.Body.Bytes())
		bodies = append(bodies, document)
		for _, in := range d.Documents {
			if in.From == "form" {
				bodies = append(bodies, url.Values{in.Name: {document}}.Encode())
			}
		}
	}
	return bodies
}

// checkContentTypes sends copies of a delivery with other content types. It returns
// false if the preset does not accept the body at all.
func checkContentTypes(t *testing.T, p *provider.Preset, body string) (checked bool) {
	t.Helper()
	signer, err := signing.OpenSigner(p.Name, nil, "", nil)
	if err != nil {
		return false
	}
	secret, _ := signer.Configure()
	m := provider.NewModule(p)
	m.Secrets = []provider.Secret{{Secret: secret, Label: signer.Setup().Label}}
	if provision(m) != nil {
		return false
	}
	for _, sent := range contentTypes[:2] {
		r := request("POST", "/in", body, "Content-Type", sent)
		if signer.Sign(r, signature.Draft{Time: testNow}) != nil || string(r.Body.Bytes()) != body {
			continue
		}
		genuine, err := verify(t, m, r)
		if err != nil {
			continue
		}
		checked = true
		for _, kind := range contentTypes {
			r.Header.Set("Content-Type", kind)
			d, err := verify(t, m, r)
			if err != nil {
				continue
			}
			if d.Repeats != genuine.Repeats || d.ID != genuine.ID || d.IDSigned != genuine.IDSigned || !bytes.Equal(d.Matches[0].Digest, genuine.Matches[0].Digest) {
				t.Errorf("%s: a copy of %s with Content-Type %q instead of %q has other replay keys: content repeats %t, ID %q", p.Name, body, kind, sent, d.Repeats, d.ID)
			}
		}
	}
	return checked
}
