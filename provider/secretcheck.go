package provider

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// issuesSecrets reports whether the provider issues every secret, so that operators
// never choose one.
func (p *Preset) issuesSecrets() bool {
	if p.NoSecret || p.IssuesSecrets {
		return true
	}
	schemes := p.Schemes
	for _, v := range p.Variants {
		schemes = slices.Concat(schemes, v.Schemes)
	}
	for i := range schemes {
		encoding := schemes[i].Key.Encoding
		if encoding != "hex" && encoding != "base64" && !schemes[i].Algorithm.Asymmetric() {
			return false
		}
	}
	return len(schemes) > 0
}

// checkSecret returns an error for a secret that is certainly a mistake, and logs a
// warning for one that probably is. If the provider issues its secrets, both are
// errors.
func checkSecret(logger *zap.Logger, provider string, configured, value string, issued bool) error {
	doubt, certain := doubtReference(configured, value)
	if doubt == "" {
		doubt = doubtAPIKey(provider, value)
	}
	switch {
	case doubt == "":
		return nil
	case certain || issued:
		return errors.New(doubt)
	}
	logger.Warn("webhook secret looks wrong: "+doubt, zap.String("provider", provider), zap.String("secret", Secret{Secret: configured}.source()))
	return nil
}

// checkText rejects characters that editors or copying add and that no secret
// contains. A public key may have several lines.
func checkText(value string, publicKey bool) error {
	switch {
	case strings.HasPrefix(value, "\ufeff"):
		return errors.New("it begins with a byte order mark: save the file as UTF-8 without BOM")
	case strings.HasPrefix(value, "\xff\xfe"), strings.HasPrefix(value, "\xfe\xff"), strings.ContainsRune(value, 0):
		return errors.New("it is UTF-16 text or binary: save the file as UTF-8 without BOM")
	case publicKey, strings.Contains(value, "-----BEGIN "):
		return nil
	case strings.ContainsAny(value, "\n\r"):
		return errors.New("it has several lines: keep only the secret, on one line")
	case strings.ContainsFunc(value, func(c rune) bool { return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) || invisible(c) }):
		return errors.New("it contains invisible characters: copy it again from the provider, or type it")
	}
	return nil
}

// invisible reports whether c has no width. Some web pages add such characters to
// copied text.
func invisible(c rune) bool { return c == '\u200b' || c == '\u2060' || c == '\ufeff' }

var (
	// namedVariable matches references to variables in the syntax of other tools. Each
	// group is the name.
	namedVariable = regexp.MustCompile(`^(?:(?i:env):(?://)?([A-Za-z_]\w*)|(?:(?i:env)|process\.env|secrets)\.([A-Za-z_]\w*)|\$([A-Za-z_]\w*)|%([A-Za-z_]\w*)%|\$env:([A-Za-z_]\w*)|([A-Z][A-Z0-9]*_[A-Z0-9_]+))$`)
	// namedFile matches references to files in the syntax of other tools.
	namedFile = regexp.MustCompile(`^(?:@|(?i:file):(?://)?|file\.)(\S+)$`)
	// namedElsewhere matches references to vaults, cloud secret stores and URLs.
	namedElsewhere = regexp.MustCompile(`^(?:[a-z][a-z0-9+.-]*://|(?:vault|ssm|sops|op|secret|ref\+[a-z]+):|arn:aws)\S*$`)
	// assignment matches a line of an env file.
	assignment = regexp.MustCompile(`^(?:export )?[A-Z][A-Z0-9_]*=[^=]`)
	// rootedPath matches a path. Base64 can begin with a slash too, but rarely with
	// one of the usual folders.
	rootedPath  = regexp.MustCompile(`^(?:~|\.{1,2})?/\S+$`)
	usualFolder = regexp.MustCompile(`^(?:~|\.|/(?:app|config|data|etc|home|mnt|opt|root|run|secrets|srv|tmp|usr|var|vault)/)`)
)

// quotes are pairs of quotes that may surround a secret by mistake.
var quotes = []string{`""`, `''`, "``", "“”", "‘’", "<>"}

// doubtReference returns the reason why a secret looks like a reference to the secret
// instead of the secret, or "". certain reports whether it is certainly a mistake.
func doubtReference(configured, value string) (doubt string, certain bool) {
	if inner, ok := unquoted(configured); ok && isPlaceholder(inner) {
		return fmt.Sprintf("quotes surround the placeholder and would be part of the secret: write %s without them", inner), true
	}
	if strings.HasPrefix(configured, "$") && isPlaceholder(configured[1:]) {
		return "a dollar sign is in front of the placeholder and would be part of the secret: write " + configured[1:], true
	}
	name := withoutLoneBrace(value)
	if match := namedVariable.FindStringSubmatch(name); match != nil {
		name := strings.Join(match[1:], "")
		_, set := os.LookupEnv(name)
		if bare := match[len(match)-1] != ""; set || !bare {
			return "it looks like a variable name, which is not replaced: write {env.NAME}", set
		}
		return "", false
	}
	if match := namedFile.FindStringSubmatch(name); match != nil {
		return "it looks like a file name, which is not read: write {file./path}", exists(match[1])
	}
	if rootedPath.MatchString(value) && (exists(value) || usualFolder.MatchString(value)) {
		return "it looks like a file path, which is not read: write {file./path}", exists(value)
	}
	switch inner, quoted := unquoted(value); {
	case namedElsewhere.MatchString(value):
		return "it looks like a reference, which is not resolved: write {env.NAME} or {file./path}", false
	case isPlaceholder(strings.TrimPrefix(value, "$")):
		return "it looks like a placeholder inside a variable or file, which is not replaced: put the secret itself there", false
	case quoted && inner != "":
		return "quotes surround it and would be part of the secret: remove them", false
	case assignment.MatchString(value):
		return "it looks like NAME=VALUE: keep only the value", false
	case strings.HasSuffix(value, "…"), strings.HasSuffix(value, "..."):
		return "it ends with an ellipsis: copy the whole secret", false
	}
	return "", false
}

// withoutLoneBrace removes the brace of a placeholder whose other brace is missing.
func withoutLoneBrace(s string) string {
	if isPlaceholder(s) {
		return s
	}
	return strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}")
}

func exists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func unquoted(s string) (inner string, ok bool) {
	for _, pair := range quotes {
		runes := []rune(pair)
		begin, end := string(runes[0]), string(runes[1])
		if len(s) >= len(begin)+len(end) && strings.HasPrefix(s, begin) && strings.HasSuffix(s, end) {
			return s[len(begin) : len(s)-len(end)], true
		}
	}
	return "", false
}

// keyFormat is a well-known format of an API key or token.
type keyFormat struct {
	begins string
	what   string
	// only are the providers for which the format is checked. Nil means all. Short
	// prefixes can be part of valid secrets elsewhere.
	only []string
}

// apiKeys are the formats that providers document or that their own tools recognize. A
// secret chosen by a person can still look like one.
var apiKeys = []keyFormat{
	{"sk_live_", "secret API key", nil},
	{"sk_test_", "secret API key", nil},
	{"rk_live_", "restricted API key", nil},
	{"rk_test_", "restricted API key", nil},
	{"pk_live_", "publishable API key", nil},
	{"pk_test_", "publishable API key", nil},
	{"sk_", "API key", []string{"stripe", "clerk"}},
	{"rk_", "API key", []string{"stripe"}},
	{"pk_", "API key", []string{"stripe", "clerk"}},
	{"github_pat_", "GitHub token", nil},
	{"ghp_", "GitHub token", nil},
	{"gho_", "GitHub token", nil},
	{"ghu_", "GitHub token", nil},
	{"ghs_", "GitHub token", nil},
	{"ghr_", "GitHub token", nil},
	{"glpat-", "GitLab access token", nil},
	{"xoxb-", "Slack token", nil},
	{"xoxp-", "Slack token", nil},
	{"xoxa-", "Slack token", nil},
	{"xoxe-", "Slack token", nil},
	{"xoxe.", "Slack token", nil},
	{"xapp-", "Slack token", nil},
	{"sk-proj-", "OpenAI API key", nil},
	{"sk-svcacct-", "OpenAI API key", nil},
	{"sk-admin-", "OpenAI API key", nil},
	{"sk-", "OpenAI API key", []string{"openai"}},
	{"shpat_", "Shopify access token", nil},
	{"shpca_", "Shopify access token", nil},
	{"shppa_", "Shopify access token", nil},
	{"SG.", "SendGrid API key", []string{"sendgrid"}},
	{"pat-", "HubSpot access token", []string{"hubspot"}},
	{"lin_api_", "Linear API key", nil},
	{"lin_oauth_", "Linear access token", nil},
	{"re_", "Resend API key", []string{"resend"}},
	{"rnd_", "Render API key", []string{"render"}},
	{"r8_", "Replicate API token", []string{"replicate"}},
	{"EZAK", "EasyPost API key", []string{"easypost"}},
	{"EZTK", "EasyPost API key", []string{"easypost"}},
	{"pdl_live_apikey_", "Paddle API key", nil},
	{"pdl_sdbx_apikey_", "Paddle API key", nil},
	{"EAAA", "Square access token", []string{"square"}},
	{"sq0atp-", "Square access token", nil},
	{"sq0csp-", "Square application secret", nil},
	{"ntn_", "Notion integration token", nil},
	{"polar_oat_", "Polar access token", nil},
	{"polar_pat_", "Polar access token", nil},
	{"sntrys_", "Sentry token", nil},
	{"sntryu_", "Sentry token", nil},
	{"xkeysib-", "Brevo API key", nil},
	{"npm_", "npm access token", []string{"npm"}},
	{"pul-", "Pulumi access token", []string{"pulumi"}},
	{"rzp_live_", "Razorpay key ID", nil},
	{"rzp_test_", "Razorpay key ID", nil},
	{"CCIPAT_", "CircleCI API token", nil},
	{"tfp_", "Typeform access token", []string{"typeform"}},
	{"cal_live_", "Cal.com API key", nil},
	{"eyJ", "personal access token", []string{"calendly"}},
	{"dG9rO", "Intercom access token", []string{"intercom"}},
	{"CFPAT-", "Contentful access token", nil},
	{"live_", "API key", []string{"mollie", "gocardless"}},
	{"test_", "API key", []string{"mollie"}},
	{"sandbox_", "API key", []string{"gocardless"}},
	{"AIzaSy", "Google API key", nil},
	{"QN_", "QuickNode API key", []string{"quicknode"}},
}

var (
	// twilioSID matches the SID of an account or key, which is not a secret.
	twilioSID = regexp.MustCompile(`^(?:AC|SK)[0-9a-fA-F]{32}$`)
	awsKeyID  = regexp.MustCompile(`^A(?:KIA|SIA)[0-9A-Z]{16}$`)
	// telegramBot matches the token of a bot. The secret of a webhook has no colon.
	telegramBot = regexp.MustCompile(`^[0-9]{6,}:[A-Za-z0-9_-]{30,}$`)
)

// doubtAPIKey returns the reason why a secret looks like an API key, or "".
func doubtAPIKey(provider, value string) string {
	if p := presetNamed(provider); p != nil && p.SecretIsAPIKey {
		return ""
	}
	if twilioSID.MatchString(value) {
		return "it is the SID of an account or API key (AC… or SK…), not a secret" + whereSecret(provider)
	}
	if awsKeyID.MatchString(value) {
		return "it is the ID of an AWS access key, not a secret" + whereSecret(provider)
	}
	if telegramBot.MatchString(value) {
		return "it is the token of a Telegram bot, not a secret" + whereSecret(provider)
	}
	for _, k := range apiKeys {
		if strings.HasPrefix(value, k.begins) && (k.only == nil || slices.Contains(k.only, provider)) {
			return fmt.Sprintf("it begins with %s, the prefix of another kind of secret (%s)%s", k.begins, k.what, whereSecret(provider))
		}
	}
	return ""
}

// whereSecret says where to find the provider's secret.
func whereSecret(provider string) string {
	p := presetNamed(provider)
	if p == nil || p.SecretHelp == "" {
		return ""
	}
	return ": use the " + strings.TrimPrefix(p.SecretHelp, "the ")
}

// checkSecretOptions checks the options that contain secrets or IDs issued by the
// provider, in the same way as secrets.
func (m *Module) checkSecretOptions() error {
	for _, name := range []string{"verify_token", "client_secret", "webhook_id"} {
		text := presetOptionNamed(name).text
		configured, value := *text(&m.PresetOptions), *text(&m.set)
		if configured == "" {
			continue
		}
		if err := checkText(value, false); err != nil {
			return fmt.Errorf("%s (%s): %w", name, Secret{Secret: configured}.source(), err)
		}
		if err := checkSecret(m.logger, m.preset.Name, configured, value, name != "verify_token"); err != nil {
			return fmt.Errorf("%s (%s): %w", name, Secret{Secret: configured}.source(), err)
		}
	}
	return nil
}

// labelIsKeyID reports whether a provider can send the label of a secret as its key ID,
// which can look like a secret.
func labelIsKeyID(name string) bool {
	p := presetNamed(name)
	if p == nil || p.Code != nil || p.Signing != nil && p.Signing.KeyID {
		return name != "webhook_sign"
	}
	return slices.ContainsFunc(p.allSchemes(), func(s signature.Scheme) bool { return s.KeyID != nil || strings.Contains(s.Signed, "{label}") })
}

// checkLabels rejects labels that look like secrets, as when two secrets are on one
// line, and duplicate labels: logs could not distinguish them, and only one would be
// found by the key ID that a provider sends.
func checkLabels(provider string, secrets []signature.Secret) error {
	seen := make(map[string]int)
	free := !labelIsKeyID(provider)
	for i, s := range secrets {
		if free && option.LooksSecret(s.Label()) || isPlaceholder(s.Label()) || strings.HasPrefix(s.Label(), "whsec_") || doubtAPIKey("", s.Label()) != "" {
			return fmt.Errorf("the label of secret %d looks like a secret, and labels appear in logs: write each secret on its own line: secret {env.NAME}", i+1)
		}
		label := cmp.Or(s.Label(), strconv.Itoa(i+1))
		if first, ok := seen[label]; ok {
			return fmt.Errorf("duplicate label: secret %d and secret %d are both %s; give each a different label (the default is the position)", first, i+1, label)
		}
		seen[label] = i + 1
	}
	return nil
}
