package signing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/internal/nolog"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Signer makes deliveries like a provider's, to test receivers.
type Signer struct {
	tooling   *Tooling
	key       signature.SigningKey
	algorithm signature.Algorithm
	setup     Setup
}

// Key is the key for signing. If it is empty, a key is generated.
type Key struct {
	// Secret is a shared secret, Private a private key. At most one of them is
	// set.
	Secret  string
	Private crypto.Signer
	// Label is the key ID, for providers that send it. Default: a generated one.
	Label string
}

// OpenSigner returns a signer for a preset or `custom`. options is as for
// [Inspect].
func OpenSigner(name string, options json.RawMessage, secret string, private crypto.Signer) (*Signer, error) {
	return OpenSignerWith(name, options, Key{Secret: secret, Private: private})
}

// OpenSignerWith is OpenSigner with any kind of key.
func OpenSignerWith(name string, options json.RawMessage, with Key) (*Signer, error) {
	tooling, err := Inspect(name, options)
	if err != nil {
		return nil, err
	}
	s := &Signer{tooling: tooling, setup: Setup{name: name, options: options, tooling: tooling, Label: with.Label}}
	switch {
	case tooling.signing() != nil:
		err = s.openSigning(name, with)
	case len(tooling.Schemes) == 0:
		err = fmt.Errorf("deliveries of %s cannot be made: its code does not implement signing; record one and send it", name)
	default:
		err = s.openSchemes(name, with)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// openSchemes is for providers whose schemes are enough for signing.
func (s *Signer) openSchemes(name string, with Key) error {
	s.setup.Secret = with.Secret
	if with.Secret == "" {
		if err := s.generate(name, with.Private); err != nil {
			return err
		}
	}
	text, err := s.tooling.KeyText(s.setup.Secret)
	if err != nil {
		return err
	}
	if s.key.Secret, err = signature.NewSecret(text, s.setup.Label); err != nil {
		return err
	}
	scheme, err := s.scheme(nil)
	if err != nil {
		return err
	}
	s.algorithm = scheme.Algorithm
	if s.algorithm.Asymmetric() && s.key.Private == nil {
		return fmt.Errorf("%s signs with a private key: pass that instead of a secret, or neither", name)
	}
	if s.setup.Label != "" || scheme.KeyID == nil && !strings.Contains(scheme.Signed, "{label}") {
		return nil
	}
	s.setup.Label, s.setup.LabelGenerated = randomLabel(), true
	s.key.Secret, err = signature.NewSecret(text, s.setup.Label)
	return err
}

// openSigning is for providers with code for signing.
func (s *Signer) openSigning(name string, with Key) error {
	how := s.tooling.signing()
	s.algorithm = how.Algorithm
	if how.KeyID && s.setup.Label == "" {
		s.setup.Label, s.setup.LabelGenerated = newKeyID(how), true
	}
	s.key.Private, s.setup.Secret = with.Private, with.Secret
	private := how.Algorithm != "" || how.NewKey != nil // it signs with a private key
	var err error
	switch {
	case with.Secret != "" && private:
		return fmt.Errorf("%s signs with a private key: pass that instead of a secret, or neither", name)
	case with.Private != nil && !private && how.Trust == nil:
		return fmt.Errorf("%s signs with a shared secret: pass that instead of a private key, or neither", name)
	case with.Private != nil:
		err = checkKind(name, how, with.Private)
	case private:
		s.setup.Generated = true
		s.key.Private, err = newKey(how)
	case with.Secret == "" && how.NewSecret != nil:
		s.setup.Generated, s.setup.Secret = true, how.NewSecret()
	case with.Secret == "":
		s.setup.Generated, s.setup.Secret = true, randomSecret(signature.Scheme{})
	}
	if err != nil {
		return err
	}
	if err := s.name(); err != nil {
		return err
	}
	if err := s.trust(how); err != nil {
		return err
	}
	s.setup.private = s.key.Private
	if s.setup.JWKS != "" || s.setup.Certificates != nil || s.setup.Roots != nil {
		s.setup.Secret = "" // the certificates replace it
		return nil
	}
	return s.name()
}

// name sets the secret, or the public key, with its label.
func (s *Signer) name() error {
	text := s.setup.Secret
	if s.key.Private != nil {
		text = "private" // never used
	}
	var err error
	s.key.Secret, err = signature.NewSecret(text, s.setup.Label)
	return err
}

// trust computes the configuration for the receiver.
func (s *Signer) trust(how *provider.Signing) error {
	if s.key.Private == nil {
		return nil
	}
	if how.Trust == nil {
		var err error
		s.setup.Secret, err = signature.PublicKeyText(s.key.Private, signature.KeyFormat{})
		return err
	}
	trust, err := how.Trust(s.tooling.module, s.key)
	if err != nil {
		return err
	}
	s.setup.Certificates, s.setup.Roots, s.setup.JWKS = trust.Certificates, trust.Roots, trust.JWKS
	s.setup.Secret = trust.Secret
	return nil
}

func newKeyID(how *provider.Signing) string {
	if how.NewKeyID != nil {
		return how.NewKeyID()
	}
	return randomLabel()
}

func newKey(how *provider.Signing) (crypto.Signer, error) {
	if how.NewKey != nil {
		return how.NewKey()
	}
	private, _, err := signature.GenerateKey(how.Algorithm, signature.KeyFormat{})
	return private, err
}

// checkKind refuses a private key of the wrong kind.
func checkKind(name string, how *provider.Signing, private crypto.Signer) error {
	if how.Algorithm == "" && how.NewKey == nil {
		return nil
	}
	other, err := newKey(how)
	if err == nil && reflect.TypeOf(other) != reflect.TypeOf(private) {
		err = fmt.Errorf("%s signs with another kind of private key: use one for %s", name, kindOf(other))
	}
	return err
}

// kindOf returns the name of a private key's kind.
func kindOf(private crypto.Signer) string {
	switch k := private.(type) {
	case *rsa.PrivateKey:
		return "RSA"
	case *ecdsa.PrivateKey:
		return "ECDSA with " + k.Curve.Params().Name
	}
	return "Ed25519"
}

// generate generates a key for the scheme that a new user would choose.
func (s *Signer) generate(name string, private crypto.Signer) error {
	scheme := s.tooling.Schemes[0]
	if private == nil && scheme.Algorithm.Asymmetric() {
		// If there is a choice, a secret is easier to handle.
		for _, other := range s.tooling.Schemes {
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
		s.setup.Secret, err = signature.PublicKeyText(private, asymmetricFormat(s.tooling.Schemes))
	case scheme.Algorithm.Asymmetric():
		s.setup.Generated = true
		s.key.Private, s.setup.Secret, err = signature.GenerateKey(scheme.Algorithm, scheme.Key)
	default:
		s.setup.Generated = true
		s.setup.Secret = randomSecret(scheme)
	}
	s.setup.private = s.key.Private
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

// randomSecret generates a secret in the format of the scheme.
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

// randomLabel generates a key ID: a UUID, which some providers require.
func randomLabel() string {
	var raw [16]byte
	rand.Read(raw[:]) // never fails (crypto/rand)
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:])
}

// scheme returns the scheme for the key and, if there is one, for r.
func (s *Signer) scheme(r *signature.Request) (*signature.Scheme, error) {
	var fits *signature.Scheme
	for i := range s.tooling.Schemes {
		scheme := &s.tooling.Schemes[i]
		if scheme.Algorithm.Asymmetric() != (s.key.Private != nil) || !scheme.Accepts(s.key.Secret) {
			continue
		}
		if scheme.Algorithm.Asymmetric() {
			if _, err := (*scheme).Compile([]signature.Secret{s.key.Secret}, 0); err != nil {
				continue // another kind of key
			}
		}
		if fits == nil || (r != nil && !fits.Applies(r) && scheme.Applies(r)) {
			fits = scheme
		}
	}
	if fits == nil {
		return nil, errors.New("unrecognized key format: check its prefix")
	}
	return fits, nil
}

// Configure returns the secret or public key for the receiver, and whether it was
// generated. See [Signer.Setup] for the complete configuration.
func (s *Signer) Configure() (text string, generated bool) {
	return s.setup.Secret, s.setup.Generated
}

// Setup returns the configuration for the receiver.
func (s *Signer) Setup() *Setup { return &s.setup }

// Algorithm returns the algorithm of the signatures.
func (s *Signer) Algorithm() signature.Algorithm { return s.algorithm }

// Sign makes r a genuine delivery. See [signature.Scheme.Sign].
func (s *Signer) Sign(r *signature.Request, d signature.Draft) error {
	if how := s.tooling.signing(); how != nil {
		return how.Sign(s.tooling.module, r, s.key, d)
	}
	scheme, err := s.scheme(r)
	if err != nil {
		return err
	}
	d.Prepare = s.tooling.Prepare
	return scheme.Sign(r, s.key, d)
}

// Scheme returns the scheme for r, empty if the provider signs only in code.
func (s *Signer) Scheme(r *signature.Request) (signature.Scheme, error) {
	if s.tooling.signing() != nil {
		if len(s.tooling.Schemes) == 0 {
			return signature.Scheme{}, nil
		}
		return s.tooling.Schemes[0], nil
	}
	scheme, err := s.scheme(r)
	if err != nil {
		return signature.Scheme{}, err
	}
	return *scheme, nil
}

// Coverage returns what the signature covers.
func (s *Signer) Coverage() (signature.Coverage, error) {
	if s.tooling.signing() != nil {
		return s.info()
	}
	scheme, err := s.scheme(nil)
	if err != nil {
		return signature.Coverage{}, err
	}
	v, err := scheme.Compile([]signature.Secret{s.key.Secret}, 0)
	if err != nil {
		return signature.Coverage{}, err
	}
	return v.Coverage(), nil
}

// info queries a receiver that is configured for this signer.
func (s *Signer) info() (signature.Coverage, error) {
	config, err := s.setup.JSON()
	if err != nil {
		return signature.Coverage{}, err
	}
	module := provider.NewModule(s.tooling.preset)
	members, err := withoutName(config)
	if err != nil {
		return signature.Coverage{}, err
	}
	if err := caddy.StrictUnmarshalJSON(members, module); err != nil {
		return signature.Coverage{}, fmt.Errorf("reading the provider's options: %w", err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: nolog.Context(context.Background())})
	defer cancel()
	if err := module.Provision(ctx); err != nil {
		return signature.Coverage{}, err
	}
	return module.Info().Coverage, nil
}
