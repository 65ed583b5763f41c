package catalogue

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// maxTokenSignature is the maximum length of a signature in base64url, in bytes: that of
// an RSA key of 8,192 bits. The library copies it several times.
const maxTokenSignature = 1366

// parsedToken is a token whose signature has not been verified.
type parsedToken struct {
	jws     *jose.JSONWebSignature
	payload []byte
	// signed is the signed text of a token that is a whole body, empty for a token in
	// a header. The library copies the payload of a body several times to verify it.
	signed string
}

var errBadToken = signature.Refuse(signature.Malformed, "the token is malformed, or its algorithm is not one of the provider's")

// parseBodyToken parses a token that is a whole body. The library gets only its
// header and its signature.
func parseBodyToken(text string, algorithms []jose.SignatureAlgorithm) (*parsedToken, error) {
	header, rest, _ := strings.Cut(text, ".")
	payload, sig, found := strings.Cut(rest, ".")
	if !found || len(sig) > maxTokenSignature || (&detachedRules{}).checkHeader(header) != nil {
		return nil, errBadToken
	}
	jws, err := jose.ParseDetached(header+".."+sig, []byte{}, algorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, errBadToken
	}
	decoded, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return nil, errBadToken
	}
	return &parsedToken{jws, decoded, text[:len(header)+1+len(payload)]}, nil
}

// verify returns the payload if the key has signed it.
func (t *parsedToken) verify(key any) ([]byte, error) {
	if t.signed == "" {
		return t.jws.Verify(key)
	}
	sum := sha256.New()
	writeText(sum, t.signed)
	public, ok := key.(*rsa.PublicKey)
	first := t.jws.Signatures[0]
	if !ok || first.Header.Algorithm != string(jose.RS256) || rsa.VerifyPKCS1v15(public, crypto.SHA256, sum.Sum(nil), first.Signature) != nil {
		return nil, errDetached
	}
	return t.payload, nil
}
