package catalogue

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// TestEmptyBodiesAreDistinguishedByWhatIsSigned: where the body is the content, two
// requests without a body, such as GET, would have equal content, and the second
// one would be lost as a duplicate.
func TestEmptyBodiesAreDistinguishedByWhatIsSigned(t *testing.T) {
	checked := 0
	for i := range catalogue {
		p := &catalogue[i]
		variants := []provider.Variant{{}}
		if len(p.Variants) > 0 {
			variants = p.Variants
		}
		for _, v := range variants {
			if !p.DigestBody && !v.DigestBody {
				continue
			}
			for _, method := range []string{"GET", "POST"} {
				first, ok := emptyDelivery(t, p, v.Name, method, "/hooks/in", testNow)
				if !ok || !first.TimestampSigned && first.ID == "" {
					continue
				}
				second, _ := emptyDelivery(t, p, v.Name, method, "/hooks/in", testNow.Add(time.Second))
				checked++
				if bytes.Equal(first.Matches[0].Digest, second.Matches[0].Digest) {
					t.Errorf("%s %s: two %s requests without a body, signed at different times, have the same digest", p.Name, v.Name, method)
				}
			}
		}
	}
	if checked == 0 {
		t.Error("no preset was checked")
	}
}

// emptyDelivery returns a delivery without a body, signed at a time. It returns false
// if the preset accepts none.
func emptyDelivery(t *testing.T, p *provider.Preset, variant, method, uri string, at time.Time) (*signature.Delivery, bool) {
	t.Helper()
	options, err := json.Marshal(map[string]string{"scheme": variant})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := signing.OpenSigner(p.Name, options, "", nil)
	if err != nil {
		return nil, false
	}
	secret, _ := signer.Configure()
	m := provider.NewModule(p)
	m.PresetOptions = provider.PresetOptions{Scheme: variant}
	m.Secrets = []provider.Secret{{Secret: secret, Label: signer.Setup().Label}}
	if provision(m) != nil {
		return nil, false
	}
	r := request(method, uri, "")
	if signer.Sign(r, signature.Draft{ID: at.Format(time.RFC3339), Time: at}) != nil {
		return nil, false
	}
	r.Body = signature.BytesBody(nil) // if the signer has added the ID to it
	d, err := verify(t, m, r)
	return d, err == nil
}
