package provider

import (
	"crypto"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Signing says how to generate deliveries of a provider whose schemes are not enough
// to do so. It is for tools and tests; verification does not use it.
type Signing struct {
	// Example has a value for each option that the provider requires, used if the
	// operator has set none.
	Example PresetOptions
	// Algorithm is the signature algorithm of the private key. Empty means that the
	// secret is shared, unless NewKey generates a private key.
	Algorithm signature.Algorithm
	// NewKey generates a private key if its kind has no Algorithm.
	NewKey func() (crypto.Signer, error)
	// NewSecret generates a shared secret. Nil means 64 hex digits.
	NewSecret func() string
	// ID and Event are the places of the ID and the event type in a request before it
	// is signed. Nil means none.
	ID, Event *signature.Field
	// KeyID means that deliveries name the key, so that the secret has a label.
	// NewKeyID generates one; nil means a UUID.
	KeyID    bool
	NewKeyID func() string
	// InBody are the members and fields of the body that contain signatures or links
	// that work without one. Tools hide them in recorded requests.
	InBody []string
	// Trust returns the config that a receiver needs to accept signatures of a private
	// key. Nil means its public key, in PEM, as a secret.
	Trust func(m *Module, key signature.SigningKey) (Trust, error)
	// Sign signs a request as the provider does. Fields that the draft leaves empty
	// are not changed.
	Sign func(m *Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error
}

// Trust is the config that a receiver needs to accept signatures of a key: a secret,
// certificates in PEM, or a key set.
type Trust struct {
	Secret              string
	Certificates, Roots []string
	JWKS                string
}

// Signing returns how to generate deliveries of the preset, or nil if its schemes are
// enough.
func (m *Module) Signing() *Signing { return m.preset.Signing }

// addExamples sets the required options that are not set.
func (m *Module) addExamples() {
	if m.preset.Signing == nil {
		return
	}
	for i := range presetOptions {
		t := &presetOptions[i]
		if !slices.Contains(m.preset.Needs, t.name) || t.isSet(&m.PresetOptions) {
			continue
		}
		switch {
		case t.text != nil:
			*t.text(&m.PresetOptions) = *t.text(&m.preset.Signing.Example)
		case t.list != nil:
			*t.list(&m.PresetOptions) = *t.list(&m.preset.Signing.Example)
		}
	}
}

// Caddyfile returns the options as lines of a provider's block.
func (s *PresetOptions) Caddyfile() []string {
	var lines []string
	for i := range presetOptions {
		t := &presetOptions[i]
		if !t.isSet(s) {
			continue
		}
		switch {
		case t.text != nil:
			lines = append(lines, t.name+" "+CaddyfileToken(*t.text(s)))
		case t.list != nil:
			for _, value := range *t.list(s) {
				lines = append(lines, t.name+" "+CaddyfileToken(value))
			}
		default:
			lines = append(lines, t.name)
		}
	}
	return lines
}

// CaddyfileToken quotes a value for a Caddyfile if necessary. A value with a line
// break becomes one token between backquotes.
func CaddyfileToken(value string) string {
	if value != "" && !strings.ContainsAny(value, " \t\r\n\"`{}#\\") {
		return value
	}
	if !strings.Contains(value, "`") {
		return "`" + value + "`"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}
