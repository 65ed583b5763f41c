package signature

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
)

// Signing signs requests with one key: scheme and key are compiled once. It is safe
// for concurrent use.
type Signing struct {
	v *Verifier
	// One of them is set.
	key     *key
	private crypto.Signer
}

// CompileSigning prepares the scheme for signing with key.
func (s Scheme) CompileSigning(k SigningKey) (*Signing, error) {
	s = s.canonical()
	if err := s.check(); err != nil {
		return nil, err
	}
	if s.Algorithm == Token || s.Algorithm == Basic {
		return nil, fmt.Errorf("%s signs nothing", s.Algorithm)
	}
	v := &Verifier{scheme: s}
	if err := v.prepare(); err != nil {
		return nil, err
	}
	return v.signing(k)
}

// signing combines the scheme with a signing key.
func (v *Verifier) signing(k SigningKey) (*Signing, error) {
	s := &v.scheme
	if !s.Algorithm.Asymmetric() {
		own, err := newKey(s.Algorithm, s.Key, k.Secret)
		return &Signing{v: v, key: own}, err
	}
	if k.Private == nil {
		return nil, fmt.Errorf("%s needs a private key", s.Algorithm)
	}
	_, err := checkPublicKey(s.Algorithm, k.Private.Public())
	return &Signing{v: v, private: k.Private}, err
}

// Sign returns the value of the scheme's signature header for r. Everything that it
// covers must be in place.
func (s *Signing) Sign(r *Request) (string, error) {
	scheme := &s.v.scheme
	if scheme.Signature.Positional > 0 {
		return "", errors.New("the signature header has other parts")
	}
	vals := newValues(r, s.v)
	vals.turnTo(&signatureList{})
	defer vals.release()
	sig, err := s.content(vals)
	if err != nil {
		return "", err
	}
	text := scheme.Signature.Encoding.Encode(sig)
	if scheme.Signature.Assign != "" {
		text = scheme.Signature.Element + scheme.Signature.Assign + text
	}
	return scheme.Signature.Prefix + text, nil
}

func (s *Signing) content(vals *values) ([]byte, error) {
	a := s.v.scheme.Algorithm
	if s.key != nil {
		return s.key.digest(a, s.v.template, vals)
	}
	content, err := vals.signedContent(a, s.v.template)
	if err != nil {
		return nil, err
	}
	options := a.hash()
	if a == Ed25519 { // it signs the content itself
		options = 0
	}
	return s.private.Sign(rand.Reader, content, options)
}
