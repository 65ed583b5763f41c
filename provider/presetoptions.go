package provider

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
)

// PresetOptions are the options of some providers beyond [Options]. A provider
// takes only those that its documentation lists.
type PresetOptions struct {
	// Which of the provider's ways to sign is in use, if the provider has
	// several and the request does not determine it. Default: the first that
	// the documentation lists.
	Scheme string `json:"scheme,omitempty"`

	// The text that the provider sends in its challenge or expects as the
	// response, as configured or shown there. Use a placeholder, as for a
	// secret. Default: none.
	VerifyToken string `json:"verify_token,omitempty"`

	// The header that has the token, for providers that let you choose it.
	// Default: the provider's.
	Header string `json:"header,omitempty"`

	// The URL parameter that has the token, for providers that let you choose
	// it. Default: the provider's.
	Query string `json:"query,omitempty"`

	// The senders of CloudEvents that are confirmed if they ask with OPTIONS,
	// as in `WebHook-Request-Origin`. Default: none.
	AllowedOrigins []string `json:"allowed_origins,omitempty"`

	// The hash algorithms that a sender can use: `sha1`, `sha256`, `sha384`,
	// `sha512`. Default: all but `sha1`.
	Algorithms []string `json:"algorithms,omitempty"`

	// The topics that are subscribed to: the ARNs for Amazon SNS, the URLs for
	// WebSub. Deliveries of other topics are rejected. Required where the
	// provider has this option.
	Topics []string `json:"topics,omitempty"`

	// The ID of the webhook at the provider, which PayPal signs. Required for
	// PayPal.
	WebhookID string `json:"webhook_id,omitempty"`

	// The audience of a token (`aud`). Required for most providers that send
	// tokens. Default: none.
	Audience string `json:"audience,omitempty"`

	// The accepted issuers of a token (`iss`). Default: the provider's.
	Issuers []string `json:"issuers,omitempty"`

	// The email of the service account that must have signed in (`email`).
	// Required for Google's providers. Default: none.
	ServiceAccount string `json:"service_account,omitempty"`

	// Certificates to use instead of fetching them, as PEM, for example
	// `{file./path}`. Default: they are fetched from the provider.
	Certificates []string `json:"certificates,omitempty"`

	// Root certificates (PEM) that a certificate must lead to. Default: those
	// of the system, or the provider's own if it has one.
	Roots []string `json:"roots,omitempty"`

	// A JSON Web Key Set to use instead of fetching it, for example
	// `{file./path}`. Default: it is fetched from the provider.
	JWKS string `json:"jwks,omitempty"`

	// The bundle ID of the app. Required for Apple.
	BundleID string `json:"bundle_id,omitempty"`

	// The number of the app at Apple. Required for production. Default: none.
	AppID string `json:"app_id,omitempty"`

	// The provider's environment: `production` or `sandbox`, or for some
	// providers a region. Default: `production`.
	Environment string `json:"environment,omitempty"`

	// What a signature must cover, as RFC 9421 names it: `@method`,
	// `@target-uri`, `content-digest`. Default: these three.
	Components []string `json:"components,omitempty"`

	// The ID of the account at the provider, to fetch keys. Default: none.
	ClientID string `json:"client_id,omitempty"`

	// The secret of the account at the provider, to fetch keys. Use a
	// placeholder, as for a secret. Default: none.
	ClientSecret string `json:"client_secret,omitempty"`

	// Respond to the provider's unsigned handshake, and keep the secret that it
	// can contain for `caddy verify-webhook handshakes`. Set it only while you
	// set up the webhook. If the provider sends its secret in or after the
	// handshake, the endpoint starts without one. Default: false.
	AcceptHandshake bool `json:"accept_handshake,omitempty"`
}

// presetOption is one of the PresetOptions: its name in the Caddyfile, and where its
// value goes. Exactly one of text, list and flag is set.
type presetOption struct {
	name, value, help string
	text              func(*PresetOptions) *string
	list              func(*PresetOptions) *[]string
	flag              func(*PresetOptions) *bool
	// secret: its value must not be written out in the config.
	secret bool
}

// presetOptions are all there are, in the order of the documentation.
var presetOptions = []presetOption{
	{name: "scheme", value: "<name>", help: "which of the provider's ways to sign is in use", text: func(s *PresetOptions) *string { return &s.Scheme }},
	{name: "verify_token", value: "{env.NAME}", help: "what the provider sends in its challenge or expects as the answer, as typed in or shown there", text: func(s *PresetOptions) *string { return &s.VerifyToken }, secret: true},
	{name: "header", value: "<name>", help: "the header that holds the token, as chosen at the provider", text: func(s *PresetOptions) *string { return &s.Header }},
	{name: "query", value: "<name>", help: "the parameter of the URL that holds the token, as chosen at the provider", text: func(s *PresetOptions) *string { return &s.Query }},
	{name: "allowed_origin", value: "<name>", help: "who may send CloudEvents here, as WebHook-Request-Origin names it", list: func(s *PresetOptions) *[]string { return &s.AllowedOrigins }},
	{name: "algorithm", value: "<hash>", help: "a hash algorithm that the sender may name", list: func(s *PresetOptions) *[]string { return &s.Algorithms }},
	{name: "topic", value: "<topic>", help: "what is subscribed to; others are refused", list: func(s *PresetOptions) *[]string { return &s.Topics }},
	{name: "webhook_id", value: "<id>", help: "the ID of the webhook at the provider", text: func(s *PresetOptions) *string { return &s.WebhookID }},
	{name: "audience", value: "<text>", help: "whom a token must be issued for", text: func(s *PresetOptions) *string { return &s.Audience }},
	{name: "issuer", value: "<text>", help: "who must have issued a token", list: func(s *PresetOptions) *[]string { return &s.Issuers }},
	{name: "service_account", value: "<email>", help: "the service account that must have signed in", text: func(s *PresetOptions) *string { return &s.ServiceAccount }},
	{name: "certificate", value: "{file./path}", help: "a certificate to use instead of fetching it", list: func(s *PresetOptions) *[]string { return &s.Certificates }},
	{name: "root", value: "{file./path}", help: "a root certificate that a certificate must lead to", list: func(s *PresetOptions) *[]string { return &s.Roots }},
	{name: "jwks", value: "{file./path}", help: "a key set to use instead of fetching it", text: func(s *PresetOptions) *string { return &s.JWKS }},
	{name: "bundle_id", value: "<id>", help: "the bundle ID of the app", text: func(s *PresetOptions) *string { return &s.BundleID }},
	{name: "app_id", value: "<number>", help: "the number of the app", text: func(s *PresetOptions) *string { return &s.AppID }},
	{name: "environment", value: "production|sandbox", help: "the provider's environment", text: func(s *PresetOptions) *string { return &s.Environment }},
	{name: "component", value: "<name>", help: "what a signature must cover; without content-digest the body is not signed", list: func(s *PresetOptions) *[]string { return &s.Components }},
	{name: "client_id", value: "<id>", help: "the account's ID, for fetching keys", text: func(s *PresetOptions) *string { return &s.ClientID }},
	{name: "client_secret", value: "{env.NAME}", help: "the account's secret, for fetching keys", text: func(s *PresetOptions) *string { return &s.ClientSecret }, secret: true},
	{name: "accept_handshake", help: "answer the unsigned handshake, while you set up the webhook", flag: func(s *PresetOptions) *bool { return &s.AcceptHandshake }},
}

func presetOptionNamed(name string) *presetOption {
	i := slices.IndexFunc(presetOptions, func(o presetOption) bool { return o.name == name })
	if i < 0 {
		return nil
	}
	return &presetOptions[i]
}

// isSet reports whether s has a value for this option.
func (t *presetOption) isSet(s *PresetOptions) bool {
	switch {
	case t.text != nil:
		return *t.text(s) != ""
	case t.list != nil:
		return len(*t.list(s)) > 0
	}
	return *t.flag(s)
}

// read reads the option's arguments.
func (t *presetOption) read(r *option.Reader, s *PresetOptions) {
	switch {
	case t.text != nil:
		r.Text(t.text(s))
	case t.list != nil:
		*t.list(s) = append(*t.list(s), r.Arguments(t.value)...)
	default:
		r.Flag(t.flag(s))
	}
}

// check refuses options that the provider does not take and asks for those
// that it needs.
func (s *PresetOptions) check(takes, needs []string) error {
	for i := range presetOptions {
		t := &presetOptions[i]
		if t.isSet(s) && !slices.Contains(takes, t.name) && !slices.Contains(needs, t.name) {
			return fmt.Errorf("%s is no option of this provider: remove it%s", t.name, ownOptions(takes, needs))
		}
		if err := t.checkCommas(s); err != nil {
			return err
		}
	}
	for _, name := range needs {
		if t := presetOptionNamed(name); !t.isSet(s) {
			return fmt.Errorf("missing %s, %s: write `%s`", t.name, t.help, strings.TrimSpace(t.name+" "+t.value))
		}
	}
	return nil
}

// ownOptions says which options a provider has, for an error.
func ownOptions(takes, needs []string) string {
	own := slices.Concat(needs, takes)
	if len(own) == 0 {
		return "; it has secret, tolerance and public_url only"
	}
	return "; beside secret, tolerance and public_url it has " + strings.Join(own, ", ")
}

// joined are several values in one. The URL of a topic may have commas in it.
var joined = map[string]*regexp.Regexp{
	"topic":          regexp.MustCompile(`,\s*(?:arn:|https?://|$)`),
	"algorithm":      regexp.MustCompile(`,`),
	"issuer":         regexp.MustCompile(`,`),
	"allowed_origin": regexp.MustCompile(`,`),
	"component":      regexp.MustCompile(`,`),
}

// checkCommas refuses a value of a list that is several, joined by commas.
func (t *presetOption) checkCommas(s *PresetOptions) error {
	pattern := joined[t.name]
	if pattern == nil {
		return nil
	}
	for _, value := range *t.list(s) {
		if pattern.MatchString(value) {
			parts := strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == ' ' })
			return fmt.Errorf("%s %q is one value, not several: separate values with spaces: %s %s", t.name, value, t.name, strings.Join(parts, " "))
		}
	}
	return nil
}

// resolved replaces the placeholders of every option, now, as with secrets.
func (s PresetOptions) resolved() (PresetOptions, error) {
	for i := range presetOptions {
		t := &presetOptions[i]
		var err error
		switch {
		case t.text != nil && *t.text(&s) != "":
			*t.text(&s), err = Resolve(*t.text(&s))
		case t.list != nil:
			list := slices.Clone(*t.list(&s))
			for j := range list {
				if list[j], err = Resolve(list[j]); err != nil {
					break
				}
			}
			*t.list(&s) = list
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return s, nil
}

// warnPlaintext warns of options that are secrets and written out in the
// config.
func (s *PresetOptions) warnPlaintext(logger *zap.Logger, provider string) {
	for i := range presetOptions {
		t := &presetOptions[i]
		if t.secret && t.isSet(s) && !isPlaceholder(*t.text(s)) {
			logger.Warn("a plaintext secret is in the config, where the config API and autosave.json show it: write {env.NAME} or {file./path} instead",
				zap.String("provider", provider), zap.String("option", t.name))
		}
	}
}
