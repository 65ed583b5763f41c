package diagnose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/textproto"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
)

var (
	placeholderText = regexp.MustCompile(`^(\$\{?[A-Za-z_][A-Za-z0-9_]*\}?|\{[a-z$][^{}]*\}|%[A-Za-z_]+%)$`)
	apiKeyText      = regexp.MustCompile(`^(sk|rk|pk)_(live|test)_|^ghp_|^github_pat_|^xox[abp]-|^shpat_|^SG\.`)
	testEventText   = regexp.MustCompile(`"livemode"\s*:\s*false|"test_mode"\s*:\s*true|"testMode"\s*:\s*true|"is_test"\s*:\s*true|"(environment|mode)"\s*:\s*"(test|sandbox)"`)
	liveEventText   = regexp.MustCompile(`"livemode"\s*:\s*true`)
	redactedText    = regexp.MustCompile(`(?i)redacted|filtered|\*{3}|\[hidden\]|…|\.\.\.`)
)

// guesses are likely causes if no variation reproduces the signature.
func (s *search) guesses() []Finding {
	for _, look := range []func() *Finding{s.refusedForItsForm, s.listedHeader} {
		if found := look(); found != nil {
			return []Finding{*found}
		}
	}
	var found []Finding
	add := func(kind, cause, fix string) {
		found = append(found, Finding{Kind: kind, Cause: cause, Change: fix, Guess: true})
	}
	secret := strings.TrimSpace(s.asConfigured().secret)
	body := s.c.Request.Body[:min(len(s.c.Request.Body), 1<<20)]
	if placeholderText.MatchString(secret) {
		add("secret_placeholder", "the secret is a placeholder that was not replaced", "configure the value; in a Caddyfile write {env.NAME} or {file./path}")
	}
	if apiKeyText.MatchString(secret) {
		add("api_key", "the secret looks like an API key, which is not used to sign webhooks", "copy the signing secret of the webhook endpoint instead")
	}
	if s.reformatted() {
		add("body_reformatted", "the body in the record is pretty-printed JSON, as on a provider's page or in a tool, and differs from what was sent: the secret may be right",
			"record the request as it arrives, byte for byte; if it does arrive like this, remove what parses JSON in transit")
	}
	switch {
	case testEventText.Match(body):
		add("test_mode", "the event is from test mode, which has its own secrets", "configure the signing secret of the endpoint in test mode; a command-line tool that forwards events (`stripe listen`) prints another one")
	case liveEventText.Match(body):
		add("live_mode", "the event is from live mode; secrets of test mode do not match", "configure the signing secret of the live endpoint")
	}
	cause := fmt.Sprintf("none of %d variations of secret, body, URL and headers gives this signature: most likely the provider signs with a different secret, or the record differs from what was sent", s.tried)
	if s.exhausted() {
		cause = fmt.Sprintf("the search stopped after %d variations, none of which gives this signature: the provider may sign with a different secret", s.tried)
	}
	add("secret_unknown", cause,
		"copy the secret of exactly this endpoint from the provider again (every endpoint has its own), or set a new one; pass other secrets that you have with --other"+s.testHelp())
	return found
}

// testHelp describes test buttons and command lines of the provider that have their
// own keys.
func (s *search) testHelp() string {
	if s.tooling.Preset() == nil {
		return ""
	}
	var b strings.Builder
	for _, t := range s.tooling.Preset().Tests {
		if t.Secret == "" && t.WebhookID == "" {
			b.WriteString(". If it is a test, from " + t.From + ": " + t.Help)
		}
	}
	return b.String()
}

// redacted finds a header whose value is masked in the record.
func (s *search) redacted() *Finding {
	for _, scheme := range s.tooling.Schemes {
		f := scheme.Signature
		if f.From != "header" {
			continue
		}
		if value := s.c.Request.Header.Get(f.Name); value != "" && redactedText.MatchString(value) {
			return &Finding{
				Kind: "record_redacted", Guess: true,
				Cause:  "the record has " + f.Name + " masked or truncated, so that it cannot be verified",
				Change: "record the request where headers are not masked: Caddy's own log redacts Authorization unless `log_credentials` is set",
			}
		}
	}
	return nil
}

// truncated finds a body whose end is missing: no signature can match then,
// whatever the secret.
func (s *search) truncated() *Finding {
	body := s.c.Request.Body
	declared, err := strconv.Atoi(s.c.Request.Header.Get("Content-Length"))
	short := err == nil && declared > len(body)
	if !short && !endsEarly(body) {
		return nil
	}
	cause := fmt.Sprintf("the body is truncated: it ends after %d bytes", len(body))
	switch {
	case short:
		cause += fmt.Sprintf(", and its Content-Length is %d", declared)
	default:
		cause += ", in the middle of a JSON document"
	}
	return &Finding{
		Kind: "body_truncated", Guess: true,
		Cause:  cause + ". The secret may be right",
		Change: "record the whole body: terminals, log lines and web pages truncate long ones; if the request arrived like this, a proxy limits the size of bodies",
	}
}

// endsEarly reports whether a body is the beginning of a JSON document.
func endsEarly(body []byte) bool {
	start := bytes.TrimLeft(body, " \t\r\n")
	if len(start) == 0 || start[0] != '{' && start[0] != '[' {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(start))
	for {
		_, err := d.Token()
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return true
		case errors.Is(err, io.EOF):
			// The decoder reports the end between two tokens like this.
			return !json.Valid(start)
		case err != nil:
			return strings.Contains(err.Error(), "unexpected end")
		}
	}
}

// listedHeader finds a missing header that the request lists as signed: some
// providers list the signed headers in a header.
func (s *search) listedHeader() *Finding {
	for _, name := range slices.Sorted(maps.Keys(s.c.Request.Header)) {
		if !listsHeaders.MatchString(name) {
			continue
		}
		for _, listed := range headerName.FindAllString(s.c.Request.Header.Get(name), 20) {
			if s.c.Request.Header.Get(listed) == "" {
				return &s.headerMissing(textproto.CanonicalMIMEHeaderKey(listed))[0]
			}
		}
	}
	return nil
}

var (
	listsHeaders = regexp.MustCompile(`(?i)signature|signed-headers`)
	headerName   = regexp.MustCompile(`(?i)\bx(-[a-z]+)+\b`)
)

// refusedForItsForm reports a refusal that is independent of the secret.
func (s *search) refusedForItsForm() *Finding {
	switch s.report.Outcome {
	case caddymodule.Malformed, caddymodule.MissingSignature:
		return &Finding{
			Kind: "malformed", Guess: true,
			Cause:  s.report.Reason + ". The secret may be right",
			Change: "compare the request with the provider's documentation: it was changed in transit, the record is incomplete, or it is from another sender",
		}
	case configError:
		if !strings.Contains(s.report.Reason, "secret") {
			return &Finding{Kind: "config_error", Cause: "the config is rejected: " + s.report.Reason, Change: "correct the config: Caddy does not start with it"}
		}
	case caddymodule.Stale:
		if s.coded() {
			return &Finding{
				Kind: "late", Guess: true,
				Cause:  s.report.Reason,
				Change: "add when it arrived (--received), or use a HAR file, which contains the time; if it was refused then, set the host's clock by NTP",
			}
		}
	}
	return nil
}

// indenting are the providers that send pretty-printed JSON.
var indenting = []string{"stripe"}

// reformatted reports whether the body of the record is likely to have been
// pretty-printed after it was sent.
func (s *search) reformatted() bool {
	if slices.Contains(indenting, s.c.Provider) || !isIndented(s.c.Request.Body) {
		return false
	}
	declared := s.c.Request.Header.Get("Content-Length")
	return declared == "" || declared != strconv.Itoa(len(s.c.Request.Body))
}

// isIndented reports whether a body is JSON on several lines.
func isIndented(body []byte) bool {
	trimmed := bytes.TrimSpace(body)
	return len(trimmed) > 2 && (trimmed[0] == '{' || trimmed[0] == '[') && bytes.ContainsAny(trimmed, "\n") && json.Valid(trimmed)
}
