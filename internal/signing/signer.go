package signing

import (
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Signer makes what a provider would send, for trying out receivers.
type Signer struct {
	inspection *Inspection
	key        signature.SigningKey
	algorithm  signature.Algorithm
	configure  string
	generated  bool
}

// OpenSigner returns a signer for a preset or `custom`. options is as for
// [Inspect]. Without secret (and, for providers that sign with private keys,
// without private) one is made up; see [Signer.Configure].
func OpenSigner(name string, options json.RawMessage, secret string, private crypto.Signer) (*Signer, error) {
	inspection, err := Inspect(name, options)
	if err != nil {
		return nil, err
	}
	if len(inspection.Schemes) == 0 {
		return nil, fmt.Errorf("deliveries of %s cannot be made here: they are signed with keys that the provider publishes", name)
	}
	s := &Signer{inspection: inspection, configure: secret}
	if s.configure == "" {
		if err := s.generate(name, private); err != nil {
			return nil, err
		}
	}
	text, err := inspection.KeyText(s.configure)
	if err != nil {
		return nil, err
	}
	if s.key.Secret, err = signature.NewSecret(text, ""); err != nil {
		return nil, err
	}
	scheme, err := s.scheme(nil)
	if err != nil {
		return nil, err
	}
	s.algorithm = scheme.Algorithm
	if s.algorithm.Asymmetric() && s.key.Private == nil {
		return nil, fmt.Errorf("%s signs with a private key: give that instead of a secret, or neither", name)
	}
	return s, nil
}

// generate makes up a key for the first scheme that a new user would choose.
func (s *Signer) generate(name string, private crypto.Signer) error {
	scheme := s.inspection.Schemes[0]
	if private == nil && scheme.Algorithm.Asymmetric() {
		// A secret is easier to handle, where there is a choice.
		for _, other := range s.inspection.Schemes {
			if !other.Algorithm.Asymmetric() {
				scheme = other
				break
			}
		}
	}
	var err error
	switch {
	case private != nil:
		s.key.Private = private
		s.configure, err = signature.PublicKeyText(private, asymmetricFormat(s.inspection.Schemes))
	case scheme.Algorithm.Asymmetric():
		s.generated = true
		s.key.Private, s.configure, err = signature.GenerateKey(scheme.Algorithm, scheme.Key)
	default:
		s.generated = true
		s.configure = randomSecret(scheme)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func asymmetricFormat(schemes []signature.Scheme) signature.KeyFormat {
	for _, s := range schemes {
		if s.Algorithm.Asymmetric() {
			return s.Key
		}
	}
	return signature.KeyFormat{}
}

// randomSecret makes up a secret of the kind that the scheme wants.
func randomSecret(s signature.Scheme) string {
	var raw [32]byte
	rand.Read(raw[:]) // never fails (crypto/rand)
	text := hex.EncodeToString(raw[:])
	switch {
	case s.Algorithm == signature.Basic:
		text = "webhook:" + text
	case s.Key.Encoding == "pair":
		text = "name:" + text
	case s.Key.Encoding == "base64":
		text = base64.StdEncoding.EncodeToString(raw[:])
	}
	return s.Key.Prefix + text
}

// scheme returns the scheme that the key is for, and r if there is one.
func (s *Signer) scheme(r *signature.Request) (*signature.Scheme, error) {
	var fits *signature.Scheme
	for i := range s.inspection.Schemes {
		scheme := &s.inspection.Schemes[i]
		if scheme.Algorithm.Asymmetric() != (s.key.Private != nil) || !scheme.Accepts(s.key.Secret) {
			continue
		}
		if scheme.Algorithm.Asymmetric() {
			if _, err := (*scheme).Compile([]signature.Secret{s.key.Secret}, 0); err != nil {
				continue // a key of another kind
			}
		}
		if fits == nil || (r != nil && !fits.Applies(r) && scheme.Applies(r)) {
			fits = scheme
		}
	}
	if fits == nil {
		return nil, errors.New("the key is of no kind that the provider has: look at its prefix")
	}
	return fits, nil
}

// Configure returns what the receiver must be given as secret or public key,
// and whether it was made up here.
func (s *Signer) Configure() (text string, generated bool) { return s.configure, s.generated }

// Algorithm is what the signatures are made with.
func (s *Signer) Algorithm() signature.Algorithm { return s.algorithm }

// Sign makes r a genuine delivery. See [signature.Scheme.Sign].
func (s *Signer) Sign(r *signature.Request, d signature.Draft) error {
	scheme, err := s.scheme(r)
	if err != nil {
		return err
	}
	d.Prepare = s.inspection.Prepare
	return scheme.Sign(r, s.key, d)
}

// Scheme returns the scheme that is used for r.
func (s *Signer) Scheme(r *signature.Request) (signature.Scheme, error) {
	scheme, err := s.scheme(r)
	if err != nil {
		return signature.Scheme{}, err
	}
	return *scheme, nil
}

// Traits says what the signature covers.
func (s *Signer) Traits() (signature.Traits, error) {
	scheme, err := s.scheme(nil)
	if err != nil {
		return signature.Traits{}, err
	}
	v, err := scheme.Compile([]signature.Secret{s.key.Secret}, 0)
	if err != nil {
		return signature.Traits{}, err
	}
	return v.Traits(), nil
}
