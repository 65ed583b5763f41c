package diagnose

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// secretPrefixes are what secrets are marked with, and what people leave off
// or put before them.
var secretPrefixes = []string{"whsec_", "whsk_", "whpk_", "sha256=", "Bearer ", "v1,"}

// secretChanges are the ways in which a secret is written wrongly.
func secretChanges(start variant, others []string) []change {
	var changes []change
	for i, secret := range append([]string{start.secret}, others...) {
		which := "the secret"
		if i > 0 {
			which = fmt.Sprintf("other secret %d", i)
		}
		changes = append(changes, spellings(secret, which)...)
	}
	return append(changes, keyReadings(start)...)
}

// spellings are other texts that may be meant by a secret.
func spellings(secret, which string) []change {
	var changes []change
	add := func(kind, text, cause, fix string) {
		if text == "" || text == secret && kind != "secret_wrong" {
			return
		}
		changes = append(changes, change{
			Finding{Kind: kind, Cause: cause, Change: fix},
			func(v variant) variant { v.secret = text; return v },
		})
	}
	trimmed := strings.TrimSpace(secret)
	add("secret_whitespace", trimmed, which+" has white space or a line break at its beginning or end, which does not belong to it",
		"remove it: write the file with `printf %s`, not `echo`, and look for blanks where the secret is set")
	add("secret_quoted", strings.TrimSpace(strings.Trim(trimmed, "\"'`")), which+" stands in quotes, which have become part of it",
		"remove the quotes: systemd's EnvironmentFile, docker's --env-file and Kubernetes do not all take them off")
	for _, end := range []string{"\n", "\r\n", " "} {
		add("secret_whitespace_at_provider", trimmed+end, "the provider signs with the secret and a line break or blank behind it",
			"set the secret anew at the provider: it was pasted or piped in with what stood behind it")
	}
	for _, prefix := range secretPrefixes {
		if rest, found := strings.CutPrefix(trimmed, prefix); found {
			add("secret_prefix_kept", rest, which+" begins with "+prefix+", which is not part of the key here",
				"configure it without "+prefix)
		} else {
			add("secret_prefix_cut", prefix+trimmed, which+" lacks the "+prefix+" at its beginning, which is part of the key here",
				"configure it as the provider shows it, with "+prefix)
		}
	}
	if decoded, err := url.QueryUnescape(trimmed); err == nil {
		add("secret_url_encoded", decoded, which+" is URL-encoded", "configure it as it was before: without % escapes")
	}
	add("secret_case", strings.ToLower(trimmed), which+" has letters in the wrong case", "copy it again; it is in lower case")
	add("secret_case", strings.ToUpper(trimmed), which+" has letters in the wrong case", "copy it again; it is in upper case")
	add("secret_escaped", unescaped(trimmed), which+" has backslash escapes in it", "configure it as it is: without the backslashes of a JSON or shell string")
	return changes
}

func unescaped(text string) string {
	var out string
	if !strings.Contains(text, `\`) || json.Unmarshal([]byte(`"`+text+`"`), &out) != nil {
		return strings.ReplaceAll(text, `\`, "")
	}
	return out
}

// keyReadings are the ways to make key bytes of a secret.
func keyReadings(start variant) []change {
	var changes []change
	scheme := hmacOf(start)
	if scheme == nil || scheme.Key.Encoding == "pair" {
		return nil // a pair can be read in one way only
	}
	names := map[string]string{"utf8": "text", "hex": "hex", "base64": "base64"}
	want := scheme.Key.Encoding
	if want == "" {
		want = "utf8"
	}
	for _, prefix := range append([]string{""}, secretPrefixes...) {
		if prefix != "" && !strings.HasPrefix(strings.TrimSpace(start.secret), prefix) {
			continue
		}
		for _, encoding := range []string{"utf8", "hex", "base64"} {
			format := signature.KeyFormat{Encoding: encoding, Prefix: prefix}
			if encoding == want && prefix == scheme.Key.Prefix {
				continue
			}
			what := "the secret"
			if prefix != "" {
				what = "what stands behind " + prefix + " in the secret"
			}
			changes = append(changes, change{
				Finding{
					Kind:   "secret_read_as_" + names[want],
					Cause:  fmt.Sprintf("the sender makes the key by reading %s as %s, where the provider's documentation says %s", what, names[encoding], names[want]),
					Change: readingFix(encoding, want),
				},
				func(v variant) variant {
					v.secret = strings.TrimSpace(v.secret)
					v.schemes = slices.Clone(v.schemes)
					for i := range v.schemes {
						v.schemes[i].Key = format
					}
					return v
				},
			})
		}
	}
	return changes
}

func readingFix(encoding, want string) string {
	if want == "utf8" {
		return "the secret that is configured is an encoding of the real one, as in a Kubernetes Secret or after `openssl`: configure the decoded text; if it is not text, use `custom` with `key " + encoding + "`"
	}
	return "if the sender is yours, make the key as the provider does (`" + want + "` decoded); otherwise use `custom` with `key " + encoding + "`"
}

// wrongSecret says which of several secrets has signed.
func (s *search) wrongSecret(secret string) []Finding {
	if i := slices.Index(s.c.Secrets, secret); i >= 0 {
		return []Finding{{Kind: "secret_wrong", Cause: fmt.Sprintf("secret %d has signed it, not secret 1", i+1), Change: fmt.Sprintf("configure secret %d (both, while rotating)", i+1)}}
	}
	i := slices.Index(s.c.Others, secret)
	return []Finding{{
		Kind:   "secret_wrong",
		Cause:  fmt.Sprintf("other secret %d has signed it, not the configured one", i+1),
		Change: fmt.Sprintf("configure other secret %d; every endpoint, and each of test and live mode, has its own (keep both while rotating)", i+1),
	}}
}

var (
	placeholderText = regexp.MustCompile(`^(\$\{?[A-Za-z_][A-Za-z0-9_]*\}?|\{[a-z$][^{}]*\}|%[A-Za-z_]+%)$`)
	apiKeyText      = regexp.MustCompile(`^(sk|rk|pk)_(live|test)_|^ghp_|^github_pat_|^xox[abp]-|^shpat_|^SG\.`)
	testEventText   = regexp.MustCompile(`"livemode"\s*:\s*false|"test_mode"\s*:\s*true|"testMode"\s*:\s*true|"is_test"\s*:\s*true|"(environment|mode)"\s*:\s*"(test|sandbox)"`)
	liveEventText   = regexp.MustCompile(`"livemode"\s*:\s*true`)
)

// guesses are what can be said without having found the secret.
func (s *search) guesses() []Finding {
	var found []Finding
	add := func(kind, cause, fix string) {
		found = append(found, Finding{Kind: kind, Cause: cause, Change: fix, Guess: true})
	}
	secret := strings.TrimSpace(s.asConfigured().secret)
	body := s.c.Request.Body[:min(len(s.c.Request.Body), 1<<20)]
	if placeholderText.MatchString(secret) {
		add("secret_placeholder", "the secret is a placeholder that nobody has replaced", "give the value; in a Caddyfile write {env.NAME} or {file./path}")
	}
	if apiKeyText.MatchString(secret) {
		add("api_key", "the secret looks like an API key, which signs no webhooks", "copy the signing secret of the webhook endpoint instead")
	}
	switch {
	case testEventText.Match(body):
		add("test_mode", "the event is one of test mode, which has secrets of its own", "configure the signing secret of the endpoint in test mode; a command-line tool that forwards events (`stripe listen`) prints yet another")
	case liveEventText.Match(body):
		add("live_mode", "the event is a live one; secrets of test mode do not fit", "configure the signing secret of the live endpoint")
	}
	add("secret_unknown", fmt.Sprintf("none of %d variations of secret, body, URL and headers gives this signature: most likely the provider signs with quite another secret, or the record is not what was sent", s.tried),
		"copy the secret of this very endpoint again from the provider (every endpoint has its own), or set a new one; give other secrets that you have to --other")
	return found
}
