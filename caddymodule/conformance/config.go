package conformance

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
)

// providerOf returns the provider that a vector means, where the vectors have
// other names for a provider's modes than we do.
func (v Vector) providerOf() (name string, mode string) {
	switch v.Provider {
	case "buildkite-token":
		return "buildkite", "token"
	case "brevo-bearer":
		return "brevo", "bearer"
	case "front-channel":
		return "front", ""
	}
	return v.Provider, ""
}

// key is a secret or public key in a vector's config.
type key struct {
	ID     string `json:"kid"`
	KeyID  string `json:"keyid"`
	PEM    string `json:"pem"`
	Alg    string `json:"alg"`
	Secret string `json:"secret_b64"`
}

// providerJSON turns the config of a vector into that of the provider's
// module. The config has the names of the options, and some of its own:
//
//	secrets, tolerance_s, public_url     the options of all
//	key_id, key_ids, public_key          labels for the secrets
//	public_keys, token, keys             secrets under another name
//	username and password                a secret for HTTP Basic
//	certs                                certificates by URL
//	trust_anchors, root_certificates_der_b64, jwks, topic_arns …
func (v Vector) providerJSON() (json.RawMessage, error) {
	name, mode := v.providerOf()
	c := &configMap{in: v.Config, out: map[string]any{"name": name}}
	if mode != "" {
		c.out["mode"] = mode
	}
	c.secrets()
	c.settings()
	for name := range c.in {
		if !slices.Contains(c.used, name) {
			return nil, fmt.Errorf("the config has %q, which is no option", name)
		}
	}
	if c.err != nil {
		return nil, c.err
	}
	return json.Marshal(c.out)
}

// configMap translates; the first mistake is kept.
type configMap struct {
	in   map[string]json.RawMessage
	out  map[string]any
	used []string
	err  error
}

// read decodes the member name, if it is there.
func (c *configMap) read(name string, to any) bool {
	c.used = append(c.used, name)
	raw, ok := c.in[name]
	if !ok {
		return false
	}
	if err := json.Unmarshal(raw, to); err != nil && c.err == nil {
		c.err = fmt.Errorf("config %s: %w", name, err)
	}
	return true
}

func (c *configMap) secrets() {
	var values, labels []string
	c.read("secrets", &values)
	c.read("key_ids", &labels)
	for _, name := range []string{"key_id", "public_key"} {
		var label string
		if c.read(name, &label) {
			labels = append(labels, label)
		}
	}
	var token, user, password string
	if c.read("token", &token) {
		values = append(values, token)
	}
	c.read("password", &password)
	if c.read("username", &user) {
		values = append(values, user+":"+password)
	}
	var secrets []map[string]string
	for i, value := range values {
		secret := map[string]string{"secret": escape(value)}
		if i < len(labels) {
			secret["label"] = labels[i]
		}
		secrets = append(secrets, secret)
	}
	secrets = append(secrets, c.publicKeys()...)
	if len(secrets) > 0 {
		c.out["secrets"] = secrets
	}
}

// publicKeys reads keys that are texts, or objects with an ID.
func (c *configMap) publicKeys() []map[string]string {
	var raw, more []json.RawMessage
	c.read("public_keys", &raw)
	c.read("keys", &more)
	var out []map[string]string
	for _, r := range append(raw, more...) {
		var text string
		if json.Unmarshal(r, &text) == nil {
			out = append(out, map[string]string{"secret": text})
			continue
		}
		var k key
		if err := json.Unmarshal(r, &k); err != nil {
			c.err = fmt.Errorf("config public_keys: %w", err)
			continue
		}
		value := k.PEM
		if k.Secret != "" {
			value = k.Secret
		}
		if k.KeyID != "" && k.Alg != "" {
			value = k.Alg + ":" + value
		}
		secret := map[string]string{"secret": value}
		if id := k.ID + k.KeyID; id != "" {
			secret["label"] = id
		}
		out = append(out, secret)
	}
	return out
}

// settingNames are the names in vectors whose option has another name.
var settingNames = map[string]string{
	"version": "mode", "use": "mode", "topic_arns": "topics", "service_account_email": "service_account",
	"trust_anchors": "roots", "required_components": "components",
}

// ignored are names in vectors that say how something is, not how to set it
// up: key_encoding repeats the facts, revocation and skew_s what a library does.
var ignored = []string{"key_encoding", "revocation", "skew_s", "seen_tokens", "channel_ids", "required_params"}

func (c *configMap) settings() {
	c.used = append(c.used, ignored...)
	for _, name := range []string{"tolerance_s", "max_age_s"} {
		var seconds int
		if c.read(name, &seconds) && seconds > 0 {
			c.out["tolerance"] = fmt.Sprintf("%ds", seconds)
		}
	}
	c.environment()
	c.keyMaterial()
	for name := range c.in {
		if slices.Contains(c.used, name) {
			continue
		}
		var value any
		c.read(name, &value)
		option := name
		if other, ok := settingNames[name]; ok {
			option = other
		}
		if name == "issuer" {
			option, value = "issuers", []any{value}
		}
		c.out[option] = value
	}
}

func (c *configMap) environment() {
	var environment string
	var sandbox, batch bool
	var appID int64
	if c.read("environment", &environment) {
		c.out["environment"] = strings.ToLower(environment)
	}
	if c.read("sandbox", &sandbox) && sandbox {
		c.out["environment"] = "sandbox"
	}
	if c.read("app_apple_id", &appID) {
		c.out["app_id"] = fmt.Sprint(appID)
	}
	if c.read("batch_first_event", &batch) && batch {
		c.out["mode"] = "batch"
	}
}

func (c *configMap) keyMaterial() {
	var certs map[string]string
	if c.read("certs", &certs) {
		var list []string
		for _, text := range certs {
			list = append(list, text)
		}
		c.out["certificates"] = list
	}
	var roots []string
	if c.read("root_certificates_der_b64", &roots) {
		for i, text := range roots {
			der, err := base64.StdEncoding.DecodeString(text)
			if err != nil && c.err == nil {
				c.err = fmt.Errorf("config root_certificates_der_b64: %w", err)
			}
			roots[i] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		}
		c.out["roots"] = roots
	}
	var jwks json.RawMessage
	if c.read("jwks", &jwks) {
		c.out["jwks"] = escape(string(jwks))
	}
}

// escape keeps Caddy from taking braces for placeholders.
func escape(text string) string { return strings.ReplaceAll(text, "{", `\{`) }
