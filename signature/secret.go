package signature

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Identity distinguishes secrets without revealing them: a digest of the key and,
// for people, its label or position.
type Identity struct {
	Label       string
	Fingerprint [32]byte
}

// String returns the label: with a fingerprint, readers of a log could guess weak
// secrets.
func (i Identity) String() string { return i.Label }

// GoString implements fmt.GoStringer.
func (i Identity) GoString() string { return i.Label }

// Format implements fmt.Formatter, so that no verb prints the fingerprint.
func (i Identity) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(i.Label)) }

// MarshalText implements encoding.TextMarshaler, and with it JSON.
func (i Identity) MarshalText() ([]byte, error) { return []byte(i.Label), nil }

// fingerprint returns a digest that identifies a key.
func fingerprint(key []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte("verify_webhook secret 1\x00"))
	h.Write(key)
	return [32]byte(h.Sum(nil))
}

// Secret is a shared secret or a public key with its label. It always prints and
// marshals as "REDACTED", and cannot be compared with ==, which would not take
// constant time.
type Secret struct {
	_     [0]func()
	label string
	// A function, because fmt and similar packages print the content of an
	// unexported field without calling its methods: for a function, an address.
	value func() []byte
}

// NewSecret wraps the text of a secret as the provider shows it. The label is
// optional and appears in logs. An empty or blank secret, and one with white space
// around it, is an error: anyone can sign with an empty key.
func NewSecret(value, label string) (Secret, error) {
	if strings.TrimSpace(value) == "" {
		return Secret{}, errors.New("the secret is empty: set the environment variable or file that it comes from")
	}
	if value != strings.TrimSpace(value) && !strings.Contains(value, "-----BEGIN ") {
		return Secret{}, errors.New("the secret begins or ends with white space: remove it (a file may end with one line break)")
	}
	if strings.ContainsFunc(label, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return Secret{}, errors.New("the label of a secret contains unprintable characters: remove them")
	}
	return Secret{label: label, value: func() []byte { return []byte(value) }}, nil
}

// uncheckedSecret wraps text without the checks of NewSecret.
func uncheckedSecret(value string) Secret {
	return Secret{value: func() []byte { return []byte(value) }}
}

// Label returns the label, which may be empty.
func (s Secret) Label() string { return s.label }

// Reveal returns the secret itself, only for computing signatures.
func (s Secret) Reveal() []byte {
	if s.value == nil {
		return nil
	}
	return s.value()
}

// Equal compares two secrets in constant time.
func (s Secret) Equal(t Secret) bool { return subtle.ConstantTimeCompare(s.Reveal(), t.Reveal()) == 1 }

// Identity returns the identity of the secret as it is written. Deliveries are
// remembered under the key's identity, [Verifier.Secrets], which does not depend on
// the encoding.
func (s Secret) Identity() Identity {
	return Identity{Label: s.label, Fingerprint: fingerprint(s.Reveal())}
}

const redacted = "REDACTED"

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return redacted }

// Format implements fmt.Formatter, so that no verb prints the secret.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText implements encoding.TextMarshaler, and with it JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// KeyFormat is how the text of a secret is decoded to key bytes.
type KeyFormat struct {
	// The encoding of the secret: `utf8` (none), `hex`, `base64` (standard
	// or URL-safe, padded or not) or `pair` (the name of the key, a colon and the
	// key as it is). Default: `utf8`.
	Encoding string `json:"encoding,omitempty"`
	// A prefix that is removed before decoding, if present, such as `whsec_`.
	// Default: none.
	Prefix string `json:"prefix,omitempty"`
	// Require the prefix: a secret without it belongs to another scheme.
	// Default: false.
	PrefixRequired bool `json:"prefix_required,omitempty"`
	// OtherPrefix is the prefix of another scheme's secrets.
	OtherPrefix string `json:"-"`
}

func (f KeyFormat) check() error {
	switch f.Encoding {
	case "", "utf8", "hex", "base64", "pair":
	default:
		return fmt.Errorf("unrecognized key encoding: %q; write utf8, hex, base64 or pair", f.Encoding)
	}
	if f.PrefixRequired && f.Prefix == "" {
		return errors.New("prefix required needs a prefix: write prefix <text>")
	}
	return nil
}

// matches reports whether a secret can belong to this format.
func (f KeyFormat) matches(s Secret) bool {
	text := string(s.Reveal())
	if f.OtherPrefix != "" && strings.HasPrefix(text, f.OtherPrefix) {
		return false
	}
	return !f.PrefixRequired || strings.HasPrefix(text, f.Prefix)
}

// Decode returns the key bytes of a secret.
func (f KeyFormat) Decode(s Secret) ([]byte, error) {
	text, found := strings.CutPrefix(string(s.Reveal()), f.Prefix)
	if f.PrefixRequired && !found {
		return nil, fmt.Errorf("the secret must start with %s", f.Prefix)
	}
	var key []byte
	var err error
	switch f.Encoding {
	case "", "utf8":
		key = []byte(text)
	case "hex":
		key, err = hex.DecodeString(text)
	case "base64":
		key, err = decodeKeyBase64(text)
	case "pair":
		name, of, _ := strings.Cut(text, ":")
		if name == "" || of == "" {
			return nil, errors.New("the secret must be the name of the key, a colon and the key (NAME:KEY)")
		}
		key = []byte(of)
	default:
		return nil, f.check()
	}
	if err != nil {
		// The decoder's own error would quote a byte of the secret.
		return nil, fmt.Errorf("the secret is not valid %s: copy it again from the provider", f.Encoding)
	}
	if len(key) == 0 {
		return nil, errors.New("the secret is empty after decoding: copy it again from the provider")
	}
	return key, CheckShared(text, key)
}

// name returns the name of the key, if the secret has one.
func (f KeyFormat) name(s Secret) string {
	if f.Encoding != "pair" {
		return ""
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(string(s.Reveal()), f.Prefix), ":")
	return name
}

// decodeKeyBase64 accepts either alphabet, with or without padding: secrets come
// from the operator, so this does not help an attacker.
func decodeKeyBase64(text string) ([]byte, error) {
	text = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(text), "=")
	return base64.RawStdEncoding.DecodeString(text)
}
