package catalogue

import (
	"fmt"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// TestSignatureMovedToAnotherHeaderIsTheSameDelivery: if several schemes of a provider
// sign the same content with the same secret, a signature is valid in the place of
// each. A copy with the signature in another place must be refused or have one of the
// delivery's replay keys, whatever identifies a delivery in the other scheme.
func TestSignatureMovedToAnotherHeaderIsTheSameDelivery(t *testing.T) {
	moved := 0
	for _, s := range signedRequests(t) {
		genuine, err := s.verify(s.request)
		if err != nil {
			t.Fatal(err)
		}
		keys := s.blockingKeys(genuine)
		schemes := presetNamed(strings.Fields(s.preset)[0]).Schemes
		for i := range schemes {
			to := &schemes[i]
			if to.Algorithm != s.scheme.Algorithm || to.Signature.Field == s.scheme.Signature.Field {
				continue
			}
			r, ok := s.moveSignature(to)
			if !ok {
				continue
			}
			d, err := s.verify(r)
			if err != nil {
				continue
			}
			moved++
			if !intersect(keys, s.blockingKeys(d)) {
				t.Errorf("%s: a copy with the signature in the %s instead of the %s is a new delivery", s.preset, to.Signature.Field, s.scheme.Signature.Field)
			}
		}
	}
	if moved == 0 {
		t.Error("no signature was moved")
	}
}

// moveSignature returns a copy of the request with its signature in the place of
// another scheme. It returns false for signatures in lists and bodies.
func (s *signedRequest) moveSignature(to *signature.Scheme) (*signature.Request, bool) {
	from := s.scheme.Signature
	if from.From != "header" || (to.Signature.From != "header" && to.Signature.From != "query") || from.Separator+from.Assign+to.Signature.Separator+to.Signature.Assign != "" {
		return nil, false
	}
	r := *s.request
	r.Header = s.request.Header.Clone()
	text := strings.TrimPrefix(r.Header.Get(from.Name), from.Prefix)
	r.Header.Del(from.Name)
	return &r, text != "" && signature.Place(&r, to.Signature.Field, to.Signature.Prefix+text) == nil
}

// blockingKeys returns what identifies the delivery in the replay store, for a content
// that does not repeat.
func (s *signedRequest) blockingKeys(d *signature.Delivery) map[string]bool {
	keys := make(map[string]bool)
	for _, m := range d.Matches {
		if d.ID != "" && d.IDSigned {
			keys[fmt.Sprintf("%x ID %s", m.Secret.Fingerprint, d.ID)] = true
		}
		if d.ID == "" || !d.IDSigned || d.AlsoContent {
			keys[fmt.Sprintf("%x content %x", m.Secret.Fingerprint, m.Digest)] = true
		}
	}
	return keys
}

func intersect(a, b map[string]bool) bool {
	for key := range a {
		if b[key] {
			return true
		}
	}
	return false
}
