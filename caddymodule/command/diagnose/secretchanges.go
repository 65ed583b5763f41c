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
	for _, pair := range quotePairs {
		add("secret_quoted_at_provider", pair[0]+strings.Trim(trimmed, "\"'`")+pair[1], "the provider signs with the secret in quotes: they were pasted in there with it",
			"set the secret anew at the provider, without quotes")
	}
	for _, text := range unsetTexts {
		add("secret_unset_at_provider", text, "the sender signs with the text "+text+" instead of a secret: its own variable is not set",
			"set the secret where the sender reads it")
	}
	if name := assignedName.FindString(trimmed); name != "" {
		add("secret_assignment", strings.Trim(strings.TrimPrefix(trimmed, name), "\"'`"), which+" is a line NAME=VALUE", "leave only the value")
	}
	if half := trimmed[:len(trimmed)/2]; half+half == trimmed {
		add("secret_doubled", half, which+" is there twice, one copy behind the other", "paste it once")
	}
	add("secret_invisible", strings.Map(visible, trimmed), which+" has characters that cannot be seen", "copy it again from the provider, or type it in")
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
	add("secret_encoded_at_provider", url.QueryEscape(trimmed), "the provider signs with the secret URL-encoded", "set the secret anew at the provider as it is, or choose one of letters and digits")
	add("secret_case", strings.ToLower(trimmed), which+" has letters in the wrong case", "copy it again; it is in lower case")
	add("secret_case", strings.ToUpper(trimmed), which+" has letters in the wrong case", "copy it again; it is in upper case")
	add("secret_escaped", unescaped(trimmed), which+" has backslash escapes in it", "configure it as it is: without the backslashes of a JSON or shell string")
	return changes
}

// quotePairs are what surrounds a secret that was pasted in with its quotes.
var quotePairs = [][2]string{{`"`, `"`}, {"'", "'"}, {"`", "`"}, {"“", "”"}, {"‘", "’"}, {"<", ">"}}

// unsetTexts are what programs make of a variable that is not set.
var unsetTexts = []string{"undefined", "null", "None", "nil", "<nil>", "false", "[object Object]"}

var assignedName = regexp.MustCompile(`^(?:export )?[A-Za-z_][A-Za-z0-9_]*=`)

// visible drops characters without a width.
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
	if want == "utf8" {
		changes = append(changes, change{
			Finding{Kind: "secret_encoded_at_provider", Cause: "the provider signs with the secret encoded in base64", Change: "set the secret anew at the provider as it is; it was encoded before it was set there"},
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
