package provider

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Options are the options of every provider that verifies with configured keys.
type Options struct {
	// The secrets, or the public keys, of the provider. A delivery must match
	// one of them; configure several during rotation. Required, unless the
	// provider publishes its keys.
	Secrets []Secret `json:"secrets,omitempty"`

	// How far a signed timestamp can differ from now, in both directions.
	// Default: the provider's, mostly 5m.
	Tolerance caddy.Duration `json:"tolerance,omitempty"`

	// The URL of the endpoint as it is configured at the provider, for
	// providers that sign the URL, if proxies or rewrites in front of Caddy
	// change it. Without a path, the path of the request is used, and without a
	// query the query of the request. Default: the URL of the request.
	PublicURL string `json:"public_url,omitempty"`
}

// Secret is a shared secret or a public key in the config.
type Secret struct {
	// The secret as the provider shows it. Use a placeholder, which is resolved
	// when Caddy starts: `{env.NAME}` or `{file./path}`. A plaintext secret can
	// be read in Caddy's config API. Required.
	Secret string `json:"secret,omitempty"`
	// The name of the secret in logs and in `{http.verify_webhook.secret}`.
	// Default: its position, from 1.
	Label string `json:"label,omitempty"`
}

// optionNames are the Caddyfile options that readOption reads.
var optionNames = []string{"secret", "public_key", "tolerance", "public_url"}

// readOption reads an option that every provider has. It returns false for any other
// option.
func (o *Options) readOption(r *option.Reader, d *caddyfile.Dispenser) bool {
	switch name := r.Name(); name {
	case "secret", "public_key":
		args := r.Arguments("{env.NAME}")
		if len(args) > 2 {
			r.Fail("too many arguments: write %s {env.NAME} [<label>]", name)
		}
		if !r.Failed() {
			r.Keep(o.addSecret(d, args))
		}
	case "tolerance":
		r.Duration(&o.Tolerance)
	case "public_url":
		r.Text(&o.PublicURL)
	default:
		return false
	}
	return true
}

// addSecret reads the arguments of a secret: its value and an optional label.
func (o *Options) addSecret(d *caddyfile.Dispenser, args []string) error {
	if strings.TrimSpace(args[0]) == "" {
		return d.Err("the secret is empty: if you wrote {$NAME}, the variable is not set; write {env.NAME} and set NAME in Caddy's environment")
	}
	s := Secret{Secret: args[0]}
	if len(args) == 2 {
		s.Label = args[1]
	}
	o.Secrets = append(o.Secrets, s)
	return nil
}

// ResolveSecrets checks the options and returns the configured secrets with their
// placeholders replaced. Providers in code call it in Provision and in Renew. It warns
// about plaintext secrets and likely mistakes. name is the name of the provider.
// asymmetric means that the secrets are public keys.
func (o *Options) ResolveSecrets(logger *zap.Logger, name string, asymmetric bool) ([]signature.Secret, error) {
	if err := o.checkMeant(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	secrets, err := o.resolve(logger, name, asymmetric, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return secrets, nil
}

// resolve returns the configured secrets with their placeholders replaced. It does so
// at provisioning, so that the config never contains the values.
//
// issued reports whether the provider issues its secrets.
func (o *Options) resolve(logger *zap.Logger, provider string, asymmetric, issued bool) ([]signature.Secret, error) {
	if len(o.Secrets) == 0 {
		return nil, fmt.Errorf("missing secret: write `verify_webhook %s {env.NAME}`, or `secret {env.NAME}` in its block; if you wrote {$NAME}, the variable is not set", provider)
	}
	var secrets []signature.Secret
	for i, s := range o.Secrets {
		secret, err := s.resolve(logger, provider, asymmetric, issued)
		if err != nil {
			return nil, fmt.Errorf("secret %d (%s): %w", i+1, s.source(), err)
		}
		if !asymmetric && option.Plaintext(s.Secret) {
			logger.Warn("plaintext webhook secret in the config, where the config API and autosave.json show it: write {env.NAME} or {file./path} instead",
				zap.String("provider", provider), zap.Int("secret", i+1))
		}
		secrets = append(secrets, secret)
	}
	return secrets, checkLabels(provider, secrets)
}

// resolve returns the value of the secret after checking it.
func (s Secret) resolve(logger *zap.Logger, provider string, asymmetric, issued bool) (signature.Secret, error) {
	value, err := Resolve(s.Secret)
	if err != nil {
		return signature.Secret{}, err
	}
	secret, err := signature.NewSecret(value, s.Label)
	if err != nil {
		return signature.Secret{}, err
	}
	if err := checkText(value, asymmetric); err != nil {
		return signature.Secret{}, err
	}
	return secret, checkSecret(logger, provider, s.Secret, value, issued)
}

// source describes the source of a secret without revealing it.
func (s Secret) source() string {
	if isPlaceholder(s.Secret) && quotePlaceholder(s.Secret) != "" {
		return s.Secret
	}
	return "written in the config"
}

// isPlaceholder reports whether a config value is one placeholder and nothing else, so
// that it contains no part of a secret.
func isPlaceholder(s string) bool {
	return strings.HasPrefix(s, "{") && strings.IndexByte(s, '}') == len(s)-1 && strings.LastIndexByte(s, '{') == 0
}

// named matches placeholders whose name an error can quote. A secret can be in braces
// too.
var named = regexp.MustCompile(`^\{[\w$]+(?:[.:][^{}]*)?\}$`)

// quotePlaceholder returns a placeholder for an error, after a colon, or nothing if it
// may be a secret in braces.
func quotePlaceholder(s string) string {
	if !named.MatchString(s) || option.LooksSecret(strings.Trim(s, "{}")) && !strings.ContainsAny(s, ".:") {
		return ""
	}
	return ": " + s
}

// Resolve replaces the placeholders in a config value, `{env.NAME}` and
// `{file./path}`. It returns an error if one is unknown, unset or empty: anyone could
// sign with an empty secret.
func Resolve(text string) (string, error) {
	value, err := caddy.NewReplacer().ReplaceOrErr(text, true, true)
	if err == nil {
		return value, nil
	}
	if strings.HasPrefix(text, "${") || strings.HasPrefix(text, "{$") {
		return "", errors.New("it looks like a shell or Caddyfile variable, which is not replaced here: write {env.NAME}")
	}
	if match := almostPlaceholder.FindStringSubmatch(text); match != nil && !strings.HasPrefix(text, "{env.") && !strings.HasPrefix(text, "{file.") {
		return "", fmt.Errorf("unrecognized placeholder: %s; write {env.NAME} or {file./path}, here {%s.%s}", text, strings.ToLower(match[1]), match[2])
	}
	if isPlaceholder(text) && !strings.HasPrefix(text, "{env.") && !strings.HasPrefix(text, "{file.") {
		return "", fmt.Errorf("unrecognized placeholder%s; write {env.NAME} or {file./path}; write \\{ for a brace that is part of the secret", quotePlaceholder(text))
	}
	if isPlaceholder(text) {
		return "", fmt.Errorf("%s is unset, empty or unreadable: set it in Caddy's environment", text)
	}
	// The error would quote a part of the secret.
	return "", errors.New(`it contains braces that are not a placeholder: write \{ for a brace that is part of the secret`)
}

// almostPlaceholder matches misspellings of {env.NAME} and {file./path}.
var almostPlaceholder = regexp.MustCompile(`^\{\s*(?i:(env|file))[:. $]+([^{}\s]+)\s*\}$`)

// checkMeant rejects options that are certainly mistakes.
func (o *Options) checkMeant() error {
	if o.Tolerance != 0 && time.Duration(o.Tolerance) < time.Second {
		return fmt.Errorf(`tolerance %s is shorter than 1s: write, for example, tolerance 5m; in JSON a number is nanoseconds: write "tolerance": "5m"`, time.Duration(o.Tolerance))
	}
	return o.checkPublicURL()
}

// verifyURLs verifies a request for the URL in public_url. If that has no path and the
// request is for "/", it also tries the URL with this path: providers differ in which
// of the two they sign.
func verifyURLs(ctx context.Context, v Verifier, r *signature.Request) (*signature.Delivery, error) {
	d, err := v.Verify(ctx, r)
	other := r.WithRootPath()
	if other == "" || !isRefusal(err, signature.InvalidSignature) {
		return d, err
	}
	written := r.PublicURL
	r.PublicURL = other
	defer func() { r.PublicURL = written }()
	return v.Verify(ctx, r)
}

// checkPublicURL rejects a URL that cannot have been signed.
func (o *Options) checkPublicURL() error {
	if o.PublicURL == "" {
		return nil
	}
	u, err := url.Parse(o.PublicURL)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return fmt.Errorf("invalid public_url: %q; copy the URL from the provider, beginning with https://", option.Shown(o.PublicURL))
	}
	return nil
}

func (o *Options) tolerance() time.Duration { return time.Duration(o.Tolerance) }
