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

// presetOption describes one of the PresetOptions: its name in the Caddyfile and its
// field. Exactly one of text, list and flag is set.
type presetOption struct {
	name, value, help string
	text              func(*PresetOptions) *string
	list              func(*PresetOptions) *[]string
	flag              func(*PresetOptions) *bool
	// secret means that a plaintext value in the config causes a warning.
	secret bool
}

// presetOptions lists all options, in the order of the documentation.
var presetOptions = []presetOption{
	{name: "scheme", value: "<name>", help: "how the provider signs", text: func(s *PresetOptions) *string { return &s.Scheme }},
	{name: "verify_token", value: "{env.NAME}", help: "the text that the provider sends in its challenge or expects as the response, as entered or shown there", text: func(s *PresetOptions) *string { return &s.VerifyToken }, secret: true},
	{name: "header", value: "<name>", help: "the header that contains the token, as configured at the provider", text: func(s *PresetOptions) *string { return &s.Header }},
	{name: "query", value: "<name>", help: "the URL parameter that contains the token, as configured at the provider", text: func(s *PresetOptions) *string { return &s.Query }},
	{name: "allowed_origin", value: "<name>", help: "a sender that can send CloudEvents here, as in WebHook-Request-Origin", list: func(s *PresetOptions) *[]string { return &s.AllowedOrigins }},
	{name: "algorithm", value: "<hash>", help: "a hash algorithm that the sender can use", list: func(s *PresetOptions) *[]string { return &s.Algorithms }},
	{name: "topic", value: "<topic>", help: "a topic that you subscribe to; deliveries of other topics are refused", list: func(s *PresetOptions) *[]string { return &s.Topics }},
	{name: "webhook_id", value: "<id>", help: "the ID of the webhook at the provider", text: func(s *PresetOptions) *string { return &s.WebhookID }},
	{name: "audience", value: "<text>", help: "the required audience of a token (`aud`)", text: func(s *PresetOptions) *string { return &s.Audience }},
	{name: "issuer", value: "<text>", help: "an accepted issuer of a token (`iss`)", list: func(s *PresetOptions) *[]string { return &s.Issuers }},
	{name: "service_account", value: "<email>", help: "the email of the service account in the token", text: func(s *PresetOptions) *string { return &s.ServiceAccount }},
	{name: "certificate", value: "{file./path}", help: "a certificate, instead of fetching it", list: func(s *PresetOptions) *[]string { return &s.Certificates }},
	{name: "root", value: "{file./path}", help: "a root certificate to trust", list: func(s *PresetOptions) *[]string { return &s.Roots }},
	{name: "jwks", value: "{file./path}", help: "a JSON Web Key Set, instead of fetching it", text: func(s *PresetOptions) *string { return &s.JWKS }},
	{name: "bundle_id", value: "<id>", help: "the bundle ID of the app", text: func(s *PresetOptions) *string { return &s.BundleID }},
	{name: "app_id", value: "<number>", help: "the number of the app at Apple", text: func(s *PresetOptions) *string { return &s.AppID }},
	{name: "environment", value: "production|sandbox", help: "the provider's environment", text: func(s *PresetOptions) *string { return &s.Environment }},
	{name: "component", value: "<name>", help: "a component that a signature must cover; without content-digest the body is not signed", list: func(s *PresetOptions) *[]string { return &s.Components }},
	{name: "client_id", value: "<id>", help: "the account's ID, for fetching keys", text: func(s *PresetOptions) *string { return &s.ClientID }},
	{name: "client_secret", value: "{env.NAME}", help: "the account's secret, for fetching keys", text: func(s *PresetOptions) *string { return &s.ClientSecret }, secret: true},
	{name: "accept_handshake", help: "answer the unsigned handshake; set it only while you set up the webhook", flag: func(s *PresetOptions) *bool { return &s.AcceptHandshake }},
}

func presetOptionNamed(name string) *presetOption {
	i := slices.IndexFunc(presetOptions, func(o presetOption) bool { return o.name == name })
	if i < 0 {
		return nil
	}
	return &presetOptions[i]
}

// isSet reports whether the option has a value in s.
func (t *presetOption) isSet(s *PresetOptions) bool {
	switch {
	case t.text != nil:
		return *t.text(s) != ""
	case t.list != nil:
		return len(*t.list(s)) > 0
	}
	return *t.flag(s)
}

// read reads the arguments of the option.
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

// check returns an error if an option is set that the provider does not have, or if a
// required option is missing.
func (s *PresetOptions) check(takes, needs []string) error {
	for i := range presetOptions {
		t := &presetOptions[i]
		if t.isSet(s) && !slices.Contains(takes, t.name) && !slices.Contains(needs, t.name) {
			return fmt.Errorf("%s is not an option of this provider: remove it%s", t.name, ownOptions(takes, needs))
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

// ownOptions lists the provider's own options, for an error.
func ownOptions(takes, needs []string) string {
	own := slices.Concat(needs, takes)
	if len(own) == 0 {
		return "; its options are secret, tolerance and public_url"
	}
	return "; its options are secret, tolerance, public_url, " + strings.Join(own, ", ")
}

// joined matches several values in one. The URL of a topic can contain commas.
var joined = map[string]*regexp.Regexp{
	"topic":          regexp.MustCompile(`,\s*(?:arn:|https?://|$)`),
	"algorithm":      regexp.MustCompile(`,`),
	"issuer":         regexp.MustCompile(`,`),
	"allowed_origin": regexp.MustCompile(`,`),
	"component":      regexp.MustCompile(`,`),
}

// checkCommas returns an error for a list value that is several values joined with
// commas.
func (t *presetOption) checkCommas(s *PresetOptions) error {
	pattern := joined[t.name]
	if pattern == nil {
		return nil
	}
	for _, value := range *t.list(s) {
		if pattern.MatchString(value) {
			parts := strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == ' ' })
			return fmt.Errorf("%s %q contains commas: separate values with spaces: %s %s", t.name, value, t.name, strings.Join(parts, " "))
		}
	}
	return nil
}

// resolved returns the options with their placeholders replaced, as for secrets.
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

// warnPlaintext warns about plaintext secrets among the options.
func (s *PresetOptions) warnPlaintext(logger *zap.Logger, provider string) {
	for i := range presetOptions {
		t := &presetOptions[i]
		if t.secret && t.isSet(s) && option.Plaintext(*t.text(s)) {
			logger.Warn("a plaintext secret is in the config, where the config API and autosave.json show it: write {env.NAME} or {file./path} instead",
				zap.String("provider", provider), zap.String("option", t.name))
		}
	}
}
