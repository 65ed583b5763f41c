package diagnose

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// secretPrefixes are the prefixes of secrets, which users omit or add by mistake.
var secretPrefixes = []string{"whsec_", "whsk_", "whpk_", "sha256=", "Bearer ", "v1,"}

// secretChanges are the usual mistakes in secrets.
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

// spellings are possible corrections of a secret.
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
	add("secret_whitespace", trimmed, which+" has white space or a line break before or after it",
		"remove it: write the file with `printf %s`, not `echo`, and check for blanks where the secret is set")
	add("secret_quoted", strings.TrimSpace(strings.Trim(trimmed, "\"'`")), which+" is in quotes, which have become part of it",
		"remove the quotes: systemd's EnvironmentFile, docker's --env-file and Kubernetes do not all remove them")
	for _, end := range []string{"\n", "\r\n", " "} {
		add("secret_whitespace_at_provider", trimmed+end, "the provider signs with the secret and a line break or blank after it",
			"set the secret at the provider again: it was pasted or piped in with extra white space")
	}
	for _, pair := range quotePairs {
		add("secret_quoted_at_provider", pair[0]+strings.Trim(trimmed, "\"'`")+pair[1], "the provider signs with the secret in quotes, which were pasted together with it",
			"set the secret at the provider again, without quotes")
	}
	for _, text := range unsetTexts {
		add("secret_unset_at_provider", text, "the sender signs with the text "+text+" instead of a secret: its variable is not set",
			"set the variable of the sender")
	}
	if name := assignedName.FindString(trimmed); name != "" {
		add("secret_assignment", strings.Trim(strings.TrimPrefix(trimmed, name), "\"'`"), which+" is a line NAME=VALUE", "leave only the value")
	}
	if half := trimmed[:len(trimmed)/2]; half+half == trimmed {
		add("secret_doubled", half, which+" is duplicated, one copy after the other", "paste it once")
	}
	add("secret_invisible", strings.Map(visible, trimmed), which+" has invisible characters", "copy it again from the provider, or type it")
	for _, prefix := range secretPrefixes {
		if rest, found := strings.CutPrefix(trimmed, prefix); found {
			add("secret_prefix_kept", rest, which+" has the prefix "+prefix+", which is not part of the key",
				"configure it without "+prefix)
		} else {
			add("secret_prefix_cut", prefix+trimmed, which+" is missing the prefix "+prefix+", which is part of the key",
				"configure it as the provider shows it, with "+prefix)
		}
	}
	if decoded, err := url.QueryUnescape(trimmed); err == nil {
		add("secret_url_encoded", decoded, which+" is URL-encoded", "configure it without % escapes")
	}
	add("secret_encoded_at_provider", url.QueryEscape(trimmed), "the provider signs with the secret URL-encoded", "set the unencoded secret at the provider, or choose one of letters and digits")
	add("secret_case", strings.ToLower(trimmed), which+" has letters in the wrong case", "copy it again; it is in lower case")
	add("secret_case", strings.ToUpper(trimmed), which+" has letters in the wrong case", "copy it again; it is in upper case")
	add("secret_escaped", unescaped(trimmed), which+" has backslash escapes in it", "configure it without the backslashes of a JSON or shell string")
	return changes
}

// quotePairs are the quotes around a secret that was pasted with its quotes.
var quotePairs = [][2]string{{`"`, `"`}, {"'", "'"}, {"`", "`"}, {"“", "”"}, {"‘", "’"}, {"<", ">"}}

// unsetTexts are the texts that programs use for an unset variable.
var unsetTexts = []string{"undefined", "null", "None", "nil", "<nil>", "false", "[object Object]"}

var assignedName = regexp.MustCompile(`^(?:export )?[A-Za-z_][A-Za-z0-9_]*=`)

// visible drops invisible characters.
func visible(c rune) rune {
	if c == '\u200b' || c == '\u200c' || c == '\u200d' || c == '\u2060' || c == '\ufeff' || unicode.IsControl(c) {
		return -1
	}
	return c
}

func unescaped(text string) string {
	var out string
	if !strings.Contains(text, `\`) || json.Unmarshal([]byte(`"`+text+`"`), &out) != nil {
		return strings.ReplaceAll(text, `\`, "")
	}
	return out
}

// keyReadings are the ways to decode a secret into key bytes.
func keyReadings(start variant) []change {
	var changes []change
	scheme := hmacOf(start)
	if scheme == nil || scheme.Key.Encoding == "pair" {
		return nil // a pair has only one reading
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
				what = "the text after " + prefix + " in the secret"
			}
			changes = append(changes, change{
				Finding{
					Kind:   "secret_read_as_" + names[want],
					Cause:  fmt.Sprintf("the sender decodes %s as %s, but the provider's documentation says %s", what, names[encoding], names[want]),
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
	if want == "utf8" {
		changes = append(changes, change{
			Finding{Kind: "secret_encoded_at_provider", Cause: "the provider signs with the secret encoded in base64", Change: "set the unencoded secret at the provider; it was encoded before it was set there"},
			func(v variant) variant {
				v.secret = base64.StdEncoding.EncodeToString([]byte(strings.TrimSpace(v.secret)))
				return v
			},
		})
	}
	return changes
}

func readingFix(encoding, want string) string {
	if want == "utf8" {
		return "the configured secret is encoded, as in a Kubernetes Secret or after `openssl`: configure the decoded text; if it is not text, use `custom` with `key " + encoding + "`"
	}
	return "if the sender is your own, derive the key as the provider does (`" + want + "` decoded); otherwise use `custom` with `key " + encoding + "`"
}

// wrongSecret finds which of several secrets has signed.
func (s *search) wrongSecret(secret string) []Finding {
	if i := slices.Index(s.c.Secrets, secret); i >= 0 {
		return []Finding{{Kind: "secret_wrong", Cause: fmt.Sprintf("secret %d has signed it, not secret 1", i+1), Change: fmt.Sprintf("configure secret %d (both, while rotating)", i+1)}}
	}
	i := slices.Index(s.c.Others, secret)
	return []Finding{{
		Kind:   "secret_wrong",
		Cause:  fmt.Sprintf("other secret %d has signed it, not the configured one", i+1),
		Change: fmt.Sprintf("configure other secret %d; every endpoint has its own, and so do test and live mode (keep both while rotating)", i+1),
	}}
}
