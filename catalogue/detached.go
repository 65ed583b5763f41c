package catalogue

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha512" // RS512, ES512
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

var (
	errBodyRead = errors.New("rereading body")
	errDetached = errors.New("signature mismatch")
)

// detachedRules describe the signed content of a detached token after its header.
type detachedRules struct {
	// unencoded means that the payload is signed as it is, as b64 in the token header
	// says (RFC 7797). Otherwise it is signed in base64url.
	unencoded bool
	// bodyEncoded means that the payload contains the body in base64url.
	bodyEncoded bool
	// before returns the signed content before the body. Nil means none.
	before func(r *signature.Request, header jose.Header) (string, error)
}

// detachedBody: only the body is signed.
var detachedBody = &detachedRules{}

// verify checks a detached JWS over the body, which it hashes while reading. The
// library would need several copies in memory.
func (d *detachedRules) verify(r *signature.Request, text string, jws *jose.JSONWebSignature, key any) error {
	protected, rest, _ := strings.Cut(text, ".")
	_, encoded, found := strings.Cut(rest, ".")
	sig, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || !found {
		return errDetached
	}
	header := jws.Signatures[0].Header
	if err := d.checkHeader(protected); err != nil {
		return err
	}
	before := ""
	if d.before != nil {
		if before, err = d.before(r, header); err != nil {
			return err
		}
	}
	signed, err := d.signedBy(r.Body, header.Algorithm, key, sig, func(w io.Writer) error { return d.write(w, r.Body, protected, before) })
	if err == nil && !signed {
		return errDetached
	}
	return err
}

// write writes the signed content.
func (d *detachedRules) write(w io.Writer, body signature.Body, protected, before string) error {
	_, _ = io.WriteString(w, protected+".") // neither a hash nor a buffer fails
	var closers []io.Closer
	encode := func(w io.Writer) io.Writer {
		encoder := base64.NewEncoder(base64.RawURLEncoding, w)
		closers = append(closers, encoder)
		return encoder
	}
	if !d.unencoded {
		w = encode(w)
	}
	_, _ = io.WriteString(w, before)
	if d.bodyEncoded {
		w = encode(w)
	}
	if _, err := body.WriteTo(w); err != nil {
		return fmt.Errorf("%w: %w", errBodyRead, err)
	}
	for _, c := range slices.Backward(closers) {
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

// detachedHashes are the hashes of the algorithms that sign a hash.
var detachedHashes = map[string]crypto.Hash{"RS256": crypto.SHA256, "RS512": crypto.SHA512, "ES512": crypto.SHA512}

// signedBy reports whether the signature was made with the key. The algorithm is one
// of the provider's, and the key must be of its kind.
func (d *detachedRules) signedBy(body signature.Body, algorithm string, key any, sig []byte, write func(io.Writer) error) (bool, error) {
	if public, ok := key.(ed25519.PublicKey); ok {
		if algorithm != string(jose.EdDSA) {
			return false, nil
		}
		content, err := d.gather(body, write)
		return err == nil && ed25519.Verify(public, content, sig), err
	}
	hash, ok := detachedHashes[algorithm]
	if !ok {
		return false, nil
	}
	h := hash.New()
	if err := write(h); err != nil {
		return false, err
	}
	sum := h.Sum(nil)
	switch public := key.(type) {
	case *rsa.PublicKey:
		return algorithm[0] == 'R' && rsa.VerifyPKCS1v15(public, hash, sum, sig) == nil, nil
	case *ecdsa.PublicKey:
		const size = 66 // of each half, for P-521
		return algorithm[0] == 'E' && public.Curve == elliptic.P521() && len(sig) == 2*size &&
			ecdsa.Verify(public, sum, new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:])), nil
	}
	return false, nil
}

// gather collects the signed content in memory, as Ed25519 requires. Encoding in
// base64url twice increases the size to less than double.
func (d *detachedRules) gather(body signature.Body, write func(io.Writer) error) ([]byte, error) {
	if err := signature.Charge(body, 2*body.Size()); err != nil {
		return nil, fmt.Errorf("%w: %w", errBodyRead, err)
	}
	content := bytes.NewBuffer(make([]byte, 0, 2*body.Size()+maxToken))
	err := write(content)
	return content.Bytes(), err
}

// checkHeader refuses header parameters that change the signed content.
func (d *detachedRules) checkHeader(text string) error {
	header, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || checkNames(header, anyNames) != nil {
		return errDetached
	}
	b64 := false
	for name, value := range jsonMembers(header) {
		switch text, _ := jsonString(name, true); {
		case text == "b64" && d.unencoded && string(value) == "false":
			b64 = true
		case text == "crit" && d.unencoded && onlyB64(value):
		case text == "crit" || text == "b64":
			return errDetached
		}
	}
	if b64 != d.unencoded {
		return errDetached
	}
	return nil
}

// onlyB64 reports whether a list of critical parameters contains only b64.
func onlyB64(list []byte) bool {
	var names []string
	return json.Unmarshal(list, &names) == nil && slices.Equal(names, []string{"b64"})
}
