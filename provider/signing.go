package provider

import (
	"crypto"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Signing is how deliveries are made of a provider whose signatures its schemes
// alone do not describe. It is for tools and tests; receiving deliveries does
// not use it.
type Signing struct {
	// Example has a value for each option that the provider needs, for use
	// where the operator has set none.
	Example PresetOptions
	// Algorithm is what a private key signs with. Empty: the secret is shared,
	// unless NewKey makes up a private key.
	Algorithm signature.Algorithm
	// NewKey makes up a private key where no algorithm of the schemes has one of
	// its kind.
	NewKey func() (crypto.Signer, error)
	// NewSecret makes up a shared secret. Nil: 64 hex digits.
	NewSecret func() string
	// ID and Event are where a request says them before it is signed; nil: it
	// does not.
	ID, Event *signature.Field
	// KeyID: deliveries name the key, so that the secret has a label. NewKeyID
	// makes one up; nil: a UUID.
	KeyID    bool
	NewKeyID func() string
	// Trust returns what a receiver must be told to accept what a private key
	// signs. Nil: its public key, in PEM, as a secret.
	Trust func(m *Module, key signature.SigningKey) (Trust, error)
	// Sign makes a request a genuine delivery. What a draft does not say is
	// left as the request has it.
	Sign func(m *Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error
}

// Trust is what a receiver must be told to accept what a key signs: a secret,
// certificates in PEM, or a key set.
type Trust struct {
	Secret              string
	Certificates, Roots []string
	JWKS                string
}

// Signing returns how deliveries of the preset are made, nil if its schemes say
// it all.
func (m *Module) Signing() *Signing { return m.preset.Signing }

// addExamples sets the options that the provider needs and that are not set.
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

// CaddyfileToken quotes a value for a Caddyfile, if need be. A value with a
// line break is one token between backquotes.
func CaddyfileToken(value string) string {
	if value != "" && !strings.ContainsAny(value, " \t\r\n\"`{}#\\") {
		return value
	}
	if !strings.Contains(value, "`") {
		return "`" + value + "`"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}
