package signing

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// Setup is the configuration with which a receiver accepts a signer's deliveries.
type Setup struct {
	// Secret is the secret or the public key, empty if there are certificates.
	// Label is the key ID, empty if deliveries contain none.
	Secret, Label string
	// Certificates and Roots are in PEM. JWKS is a key set in which each brace is
	// escaped as in the config.
	Certificates, Roots []string
	JWKS                string
	// Generated: the key was generated. LabelGenerated: the key ID was generated.
	Generated, LabelGenerated bool

	name    string
	options json.RawMessage
	tooling *Tooling
	private crypto.Signer
}

// SecretAlone reports whether the receiver needs only the secret.
func (s *Setup) SecretAlone() bool {
	if s.Label != "" || s.Secret == "" {
		return false
	}
	options := s.presetOptions()
	return len(options.Caddyfile()) == 0
}

// presetOptions are the preset's options, with examples for required ones.
func (s *Setup) presetOptions() provider.PresetOptions {
	if s.tooling.module == nil {
		return provider.PresetOptions{}
	}
	o := s.tooling.module.PresetOptions
	if s.Certificates != nil {
		o.Certificates = s.Certificates
	}
	if s.Roots != nil {
		o.Roots = s.Roots
	}
	if s.JWKS != "" {
		o.JWKS = s.JWKS
	}
	return o
}

// JSON returns the provider as in Caddy's config.
func (s *Setup) JSON() (json.RawMessage, error) {
	members := make(map[string]json.RawMessage)
	if len(s.options) > 0 {
		if err := json.Unmarshal(s.options, &members); err != nil {
			return nil, fmt.Errorf("reading the provider's options: %w", err)
		}
	}
	raw, err := json.Marshal(s.presetOptions())
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, err
	}
	for name, value := range map[string]any{"name": s.name, "secrets": []provider.Secret{{Secret: s.Secret, Label: s.Label}}} {
		if name == "secrets" && s.Secret == "" {
			delete(members, name)
			continue
		}
		if members[name], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	return json.Marshal(members)
}

// Caddyfile returns the directive for a receiver. It is for presets; for `custom`,
// the caller has the options.
func (s *Setup) Caddyfile() string {
	options := s.presetOptions()
	lines := options.Caddyfile()
	if s.Secret != "" {
		secret := "secret " + provider.CaddyfileToken(strings.TrimSuffix(s.Secret, "\n")) // of PEM
		if s.Label != "" {
			secret += " " + provider.CaddyfileToken(s.Label)
		}
		lines = append([]string{secret}, lines...)
	}
	var b strings.Builder
	b.WriteString("verify_webhook " + s.name + " {\n")
	for _, line := range lines {
		b.WriteString("\t" + line + "\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// KeyFile returns the content of a key file for later use: a private key in PEM, or
// the secret.
func (s *Setup) KeyFile() ([]byte, error) {
	if s.private == nil {
		return []byte(s.Secret + "\n"), nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(s.private)
	if err != nil {
		return nil, fmt.Errorf("writing the private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Private reports whether the key is a private key.
func (s *Setup) Private() bool { return s.private != nil }

// withoutName returns the options without the provider's name, which is not an
// option of its module.
func withoutName(config json.RawMessage) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(config, &members); err != nil {
		return nil, err
	}
	delete(members, "name")
	return json.Marshal(members)
}
