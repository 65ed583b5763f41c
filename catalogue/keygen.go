package catalogue

import (
	"encoding/base64"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// checkKeygen refuses a Digest header that does not match the body, as Keygen's own
// library does. The signed digest is computed from the body.
// https://github.com/keygen-sh/keygen-go, verifier.go
func checkKeygen(r *signature.Request) error {
	digest, err := bodyDigest(r)
	if err != nil {
		return err
	}
	want := "sha-256=" + base64.StdEncoding.EncodeToString(digest)
	for _, name := range []string{"Digest", "Keygen-Digest"} {
		for _, got := range r.Header.Values(name) {
			if got != want {
				return signature.Refuse(signature.InvalidSignature, "the header %s does not match the body", name)
			}
		}
	}
	return nil
}
