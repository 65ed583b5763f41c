package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SigningKey is the key for signing deliveries.
type SigningKey struct {
	// Secret is shared with the receiver. Its label is sent as the key ID if the
	// scheme has one.
	Secret Secret
	// Private is the private key, for asymmetric algorithms: an
	// ed25519.PrivateKey, *ecdsa.PrivateKey or *rsa.PrivateKey.
	Private crypto.Signer
}

// Draft is the content of a delivery to make.
type Draft struct {
	// ID is the delivery ID, Event the event type. Empty: that of the request, or
	// an example if the signature needs one.
	ID, Event string
	// Time is when the delivery is signed.
	Time time.Time
	// Parts are the other values in the signature header, by name.
	Parts map[string]string
	// Prepare, if set, computes Values after everything else is in place.
	Prepare func(*Request) error
}

// Sign turns r into a delivery like the provider's: it sets ID, event type, time and
// then the signature. Values in the body change the body, which must then be JSON or
// a form. It is for testing receivers; r must have a Header and a Body.
func (s Scheme) Sign(r *Request, key SigningKey, d Draft) error {
	s = s.canonical()
	if err := s.check(); err != nil {
		return err
	}
	v := &Verifier{scheme: s}
	if err := v.prepare(); err != nil {
		return err
	}
	signer := &signer{v: v, r: r}
	if err := signer.fill(key, d); err != nil {
		return err
	}
	if d.Prepare != nil {
		if err := d.Prepare(r); err != nil {
			return err
		}
	}
	text, err := signer.sign(key)
	if err != nil {
		return err
	}
	return signer.place(s.Signature.Field, s.Signature.Prefix+signer.list(text))
}

// signer makes one delivery.
type signer struct {
	v *Verifier
	r *Request
	// elements are the other parts of the signature header.
	elements []namedElement
}

// fill sets everything except the signature.
func (s *signer) fill(key SigningKey, d Draft) error {
	scheme := &s.v.scheme
	s.condition()
	for name, value := range scheme.Require {
		s.r.Header.Set(name, value)
	}
	if t := scheme.Timestamp; t != nil {
		if err := s.place(t.Field, formatTimestamp(t.Format, d.Time)); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Parts)) {
		s.placeElement(name, d.Parts[name])
	}
	for _, named := range []struct {
		field *Field
		value string
	}{{scheme.ID, d.ID}, {scheme.Event, d.Event}, {scheme.KeyID, key.Secret.Label()}} {
		if named.field == nil || named.value == "" {
			continue
		}
		if err := s.place(*named.field, named.value); err != nil {
			return err
		}
	}
	return s.fillSigned("example" + d.ID)
}

// condition makes the request match the scheme's condition.
func (s *signer) condition() {
	c := s.v.scheme.When
	if c == nil || s.v.scheme.Applies(s.r) {
		return
	}
	if len(c.Methods) > 0 {
		s.r.Method = c.Methods[0]
	}
	if c.ContentType != "" {
		s.r.Header.Set("Content-Type", c.ContentType)
	}
}

// fillSigned sets an example for every signed field that is missing.
func (s *signer) fillSigned(example string) error {
	var missing []Field
	vals := s.values()
	for _, p := range s.v.template.parts {
		if p.field.From == "" || p.field.From == "value" {
			continue
		}
		if value, err := vals.get(p.field); err != nil {
			return err
		} else if value == "" {
			missing = append(missing, p.field)
		}
	}
	vals.release()
	for _, f := range missing {
		if err := s.place(f, example); err != nil {
			return err
		}
	}
	if s.v.scheme.WholeForm {
		return s.dropUnsignedFields()
	}
	return nil
}

// dropUnsignedFields removes the form fields that the provider does not send.
func (s *signer) dropUnsignedFields() error {
	form, err := s.r.Form()
	if err != nil {
		return err
	}
	signed := url.Values{}
	for _, name := range s.v.template.signedNames("form") {
		signed[name] = form[name]
	}
	s.r.Body = BytesBody(signed.Encode())
	return nil
}

// values reads the current request.
func (s *signer) values() *values {
	vals := newValues(s.r, s.v)
	vals.turnTo(&signatureList{named: s.elements})
	return vals
}

// sign returns the signature in the scheme's encoding.
func (s *signer) sign(key SigningKey) (string, error) {
	scheme := &s.v.scheme
	switch scheme.Algorithm {
	case Token:
		return string(key.Secret.Reveal()), nil
	case Basic:
		return "Basic " + base64.StdEncoding.EncodeToString(key.Secret.Reveal()), nil
	}
	vals := s.values()
	defer vals.release()
	sig, err := signContent(scheme, s.v.template, vals, key)
	return scheme.Signature.Encoding.Encode(sig), err
}

func signContent(s *Scheme, t *template, vals *values, key SigningKey) ([]byte, error) {
	signing, err := (&Verifier{scheme: *s, template: t}).signing(key)
	if err != nil {
		return nil, err
	}
	return signing.content(vals)
}

// list returns the signature with the other parts of its header.
func (s *signer) list(text string) string {
	f := &s.v.scheme.Signature
	if !f.list() {
		return text
	}
	if f.Layout != "" {
		return s.layOut(f.Layout, text)
	}
	var parts []string
	for i := range f.Positional {
		parts = append(parts, s.element(strconv.Itoa(i+1)))
	}
	for _, e := range s.elements {
		if n, err := strconv.Atoi(e.name); err == nil && n <= f.Positional {
			continue
		}
		parts = append(parts, f.named(e.name, e.value))
	}
	if f.Assign != "" {
		text = f.named(f.Element, text)
	}
	return strings.Join(append(parts, text), f.Separator)
}

// named writes a named part.
func (f *SignatureField) named(name, value string) string {
	if f.Quoted {
		value = `"` + value + `"`
	}
	return name + f.Assign + value
}

// layOut fills in a layout.
func (s *signer) layOut(layout, text string) string {
	values := []string{"{signature}", text}
	for _, e := range s.elements {
		values = append(values, "{"+e.name+"}", e.value)
	}
	return strings.NewReplacer(values...).Replace(layout)
}

func (s *signer) element(name string) string {
	for _, e := range s.elements {
		if e.name == name {
			return e.value
		}
	}
	return ""
}

func formatTimestamp(format string, t time.Time) string {
	switch format {
	case "unix_ms":
		return strconv.FormatInt(t.UnixMilli(), 10)
	case "rfc3339", "iso8601":
		return t.UTC().Format(time.RFC3339)
	case "http_date":
		return t.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
	default:
		return strconv.FormatInt(t.Unix(), 10)
	}
}

// GenerateKey generates a key pair for an asymmetric algorithm, and returns the
// public key in the form of the config.
func GenerateKey(a Algorithm, format KeyFormat) (private crypto.Signer, public string, err error) {
	switch a {
	case Ed25519:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case ECDSAP256SHA256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RSASHA1, RSASHA256, RSASHA512:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("%s has no key pair", a)
	}
	if err != nil {
		return nil, "", err
	}
	public, err = PublicKeyText(private, format)
	return private, public, err
}

// PublicKeyText returns the public key of a private one in the form of the config.
func PublicKeyText(private crypto.Signer, format KeyFormat) (string, error) {
	if public, ok := private.Public().(ed25519.PublicKey); ok {
		return format.Prefix + base64.StdEncoding.EncodeToString(public), nil
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return "", fmt.Errorf("writing public key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// ParsePrivateKey reads a private key in PEM: PKCS #8, PKCS #1 or SEC 1.
func ParsePrivateKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the private key is not PEM")
	}
	var private any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		private, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, errors.New("the private key cannot be parsed: use PKCS #8, PKCS #1 or SEC 1, without a passphrase")
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T cannot sign", private)
	}
	return signer, nil
}
