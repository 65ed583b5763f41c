package option

import (
	"fmt"
	"regexp"
	"strings"
)

// Shown returns text for an error or a log: as it is or, if it can be a secret that was
// written in the wrong place, only its length.
func Shown(text string) string {
	if LooksSecret(text) || hasLogin(text) {
		return fmt.Sprintf("(a text of %d characters that may be a secret)", len([]rune(text)))
	}
	return text
}

// placeholder matches the placeholders that a config can have in place of a secret.
var placeholder = regexp.MustCompile(`\{(?:env|file)\.[^{}]+\}`)

// Plaintext reports whether a config value contains a secret, and not only placeholders
// with the fixed text around them that some providers' secrets have, as in
// hmac-sha256:{env.NAME}.
func Plaintext(text string) bool {
	return text != "" && (!placeholder.MatchString(text) || LooksSecret(placeholder.ReplaceAllString(text, "")))
}

// shortSecret is the length from which a text is checked. Secrets are longer.
const shortSecret = 16

// secretPrefix matches the prefixes of secrets of Standard Webhooks and of API keys.
var secretPrefix = regexp.MustCompile(`^(?:whsec|whsk|[sr]k|gh[pousr]|github_pat|xox[a-z]|glpat)[_-]\w`)

// parts are the long parts of a text between the characters that separate words.
var parts = regexp.MustCompile(`[A-Za-z0-9]{6,}`)

// runs are what a part of a name consists of: words and numbers.
var runs = regexp.MustCompile(`[A-Z]?[a-z]+|[A-Z]+|[0-9]+`)

var uuid = regexp.MustCompile(`(?i)^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// shortRuns is the average length of the runs below which a text is random. Those of
// random hex and base64 have 2 characters, of random base32 3, and of names 5.
const shortRuns = 4

// LooksSecret reports whether a text, which may be a name in logs, is a secret or a
// password: it has a known prefix, or looks random. Names, dates and UUIDs do not.
func LooksSecret(text string) bool {
	if len(text) < shortSecret || uuid.MatchString(text) {
		return false
	}
	if secretPrefix.MatchString(text) {
		return true
	}
	length, count := 0, 0
	for _, part := range parts.FindAllString(text, -1) {
		length += len(part)
		count += len(runs.FindAllString(part, -1))
	}
	return length >= shortSecret && length < shortRuns*count
}

// hasLogin reports whether a text is a URL with a password.
func hasLogin(text string) bool {
	_, rest, found := strings.Cut(text, "://")
	return found && strings.Contains(rest, "@")
}
