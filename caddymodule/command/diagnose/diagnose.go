// Package diagnose finds out why a recorded delivery is refused, by trying the
// usual mistakes: with secrets, with bodies that were changed in transit, with
// URLs, with clocks.
//
// Its results contain no secret and no signature that would be accepted.
package diagnose

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/capture"
	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/internal/nolog"
	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Case is a refused delivery with the receiver's configuration.
type Case struct {
	Provider string
	// Options is the provider's JSON as in the config, without secrets; may
	// be empty.
	Options json.RawMessage
	// Secrets are those of the config, Others are other secrets to try: of
	// another endpoint, of test mode, of before a rotation.
	Secrets, Others []string
	// Labels are the labels of Secrets, in the same order; there may be fewer.
	Labels []string
	// PublicURL is the option of that name.
	PublicURL string
	Request   *capture.Request
	// Received is when the delivery arrived, Now is the current time.
	Received, Now time.Time
	// Limits bound the search.
	Limits Limits
}

// Limits limit the cost of a search, which also ends with its context.
type Limits struct {
	// Bytes is the maximum number of hashed bytes, Tries that of verified
	// variations. 0: a limit that takes seconds.
	Bytes int64
	Tries int
}

// Finding is one mistake.
type Finding struct {
	// Kind identifies the kind of mistake.
	Kind string `json:"kind"`
	// Cause says what is wrong, Change what to do about it.
	Cause  string `json:"cause"`
	Change string `json:"change"`
	// Guess: the signature was not reproduced.
	Guess bool `json:"guess,omitempty"`
}

// Report is the result of an explanation.
type Report struct {
	// Outcome and Reason are the handler's, at the time of the delivery if
	// that is known.
	Outcome caddymodule.Outcome `json:"outcome"`
	Reason  string              `json:"reason,omitempty"`
	// Findings starts with the first thing to change.
	Findings []Finding `json:"findings,omitempty"`
	// Notes list doubts about the record.
	Notes []string `json:"notes,omitempty"`
	// Variations is the number of verified variations.
	Variations int `json:"tried"`
	// Cut: the search ended at its limits, before everything was tried.
	Cut bool `json:"cut,omitempty"`
}

// Accepted reports whether the delivery is accepted as it is.
func (r *Report) Accepted() bool {
	return r.Outcome == caddymodule.Verified || r.Outcome == caddymodule.Handshake
}

// Answer summarizes the report in one line.
func (r *Report) Answer() string {
	switch {
	case r.Accepted():
		return string(r.Outcome) + ": the delivery is accepted as it is"
	case len(r.Findings) == 0:
		return string(r.Outcome) + ": " + r.Reason
	case r.Findings[0].Guess:
		return string(r.Outcome) + ": perhaps " + r.Findings[0].Cause
	}
	return string(r.Outcome) + ": " + r.Findings[0].Cause
}

// Explain finds out why a delivery is refused. It is safe for concurrent use. The
// report contains no secret and no signature that would be accepted.
func Explain(ctx context.Context, c Case) (*Report, error) {
	tooling, err := signing.Inspect(c.Provider, c.Options)
	if err != nil {
		return nil, err
	}
	if c.Received.IsZero() {
		c.Received = c.Request.Received
	}
	if c.PublicURL == "" {
		c.PublicURL = publicURLIn(c.Options)
	}
	report := &Report{Notes: c.Request.Notes}
	tried, err := c.judge(ctx, c.asItCame(), c.judgedAt())
	if err != nil {
		// The config is rejected; the message says why.
		report.Outcome, report.Reason = configError, configReason(err)
	} else {
		report.Outcome, report.Reason = caddymodule.Outcome(tried.Outcome), tried.Reason
	}
	if tried.Handshake {
		report.Findings = []Finding{{
			Kind:   "handshake",
			Cause:  "the request is not a delivery: the provider checks the URL with it",
			Change: "write the option that the reason names (docs/handshakes.md), and make the provider check the URL again",
		}}
		return report, nil
	}
	switch report.Outcome {
	case caddymodule.MissingSignature, caddymodule.InvalidSignature, caddymodule.Malformed, caddymodule.Stale, configError:
	default:
		return report, nil // accepted, or refused for another reason
	}
	s := newSearch(ctx, &c, tooling, report)
	if d := s.rightButForTime(); d != nil && report.Outcome == caddymodule.Stale {
		report.Findings = c.checkClock(d, s.tolerance())
	} else {
		report.Findings = s.run()
	}
	report.Variations, report.Cut = s.tried, s.exhausted()
	return report, nil
}

// publicURLIn returns the public_url in a provider's JSON.
func publicURLIn(options json.RawMessage) string {
	var o struct {
		PublicURL string `json:"public_url"`
	}
	_ = json.Unmarshal(options, &o) // Inspect has reported what is wrong with it
	return o.PublicURL
}

// configError is the outcome of a rejected config.
const configError = caddymodule.Outcome("config_error")

// configReason returns the message of a config error, without the names of the
// modules that Caddy puts before it.
func configReason(err error) string {
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return moduleNames.ReplaceAllString(err.Error(), "")
}

var moduleNames = regexp.MustCompile(`^(?:loading provider: )?(?:loading module '[^']*': )?(?:provision [a-z0-9_.-]+: |decoding module config: [a-z0-9_.-]+: )?`)

// asItCame is the unchanged delivery, with the configured secrets.
func (c *Case) asItCame() attempt {
	return attempt{secrets: c.Secrets, labels: c.Labels, header: c.Request.Header, body: c.Request.Body, publicURL: c.PublicURL}
}

// attempt is the input of the handler: a delivery and a config.
type attempt struct {
	secrets, labels []string
	header          http.Header
	body            []byte
	publicURL       string
}

// judge runs the real handler on a delivery at a given time.
func (c *Case) judge(ctx context.Context, a attempt, now time.Time) (dryrun.Result, error) {
	options := map[string]any{}
	if len(c.Options) > 0 {
		if err := json.Unmarshal(c.Options, &options); err != nil {
			return dryrun.Result{}, fmt.Errorf("reading the provider's options: %w", err)
		}
	}
	options["name"] = c.Provider
	delete(options, "secrets")
	var secrets []map[string]string
	for i, secret := range a.secrets {
		// A literal brace must not be taken for a placeholder.
		configured := map[string]string{"secret": strings.ReplaceAll(secret, "{", `\{`)}
		if i < len(a.labels) && a.labels[i] != "" {
			configured["label"] = a.labels[i]
		}
		secrets = append(secrets, configured)
	}
	if len(secrets) > 0 {
		options["secrets"] = secrets
	}
	if a.publicURL != "" {
		options["public_url"] = a.publicURL
	}
	config, err := json.Marshal(options)
	if err != nil {
		return dryrun.Result{}, err
	}
	r, err := c.httpRequest(ctx, a)
	if err != nil {
		return dryrun.Result{}, err
	}
	return dryrun.Once(dryrun.Aside(nolog.Context(ctx)), config, func() time.Time { return now }, r)
}

// judgedAt is the time that the handler used, if it is known.
func (c *Case) judgedAt() time.Time {
	if c.Received.IsZero() {
		return c.Now
	}
	return c.Received
}

// httpRequest is the record as a request to a server. A record can contain what no
// server accepts, such as control characters in the host.
func (c *Case) httpRequest(ctx context.Context, a attempt) (*http.Request, error) {
	u, err := url.ParseRequestURI(c.Request.RequestURI)
	if err != nil {
		return nil, errors.New("the URL of the record cannot be parsed")
	}
	base := "https://localhost/"
	if c.Request.Scheme == "http" {
		base = "http://localhost/"
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, base, bytes.NewReader(a.body))
	r.Method, r.Host, r.URL = c.Request.Method, c.host(), u
	r.Header = a.header.Clone()
	r.RequestURI = c.Request.RequestURI
	return r, nil
}

func (c *Case) host() string {
	if c.Request.Host == "" {
		return "localhost"
	}
	return c.Request.Host
}

// checkClock checks the time of a delivery whose signature is valid.
func (c *Case) checkClock(d *signature.Delivery, tolerance time.Duration) []Finding {
	if !d.TimestampSigned || d.Timestamp.IsZero() {
		return nil
	}
	if c.Received.IsZero() {
		if age := c.Now.Sub(d.Timestamp); age > tolerance || age < -tolerance {
			return []Finding{{
				Kind: "recorded", Guess: true,
				Cause:  fmt.Sprintf("the signature is right; the delivery was signed at %s. It would have been accepted within %s of that time, but is too old now", d.Timestamp.UTC().Format(time.RFC3339), tolerance),
				Change: "add when it arrived (--received, or use a HAR file, which contains the time). If the handler refused it as stale then, the clock of the host or of the provider is wrong, or the delivery was late",
			}}
		}
		return nil
	}
	return clockFindings(c.Received.Sub(d.Timestamp), tolerance)
}

// clockFindings explains a signed time that is too far from the time of arrival.
func clockFindings(age, tolerance time.Duration) []Finding {
	if age >= -tolerance && age <= tolerance {
		return nil
	}
	off := "ahead"
	if age < 0 {
		off = "behind"
	}
	whole := age.Round(30 * time.Minute)
	if rest := age - whole; whole != 0 && whole.Abs() <= 14*time.Hour && rest.Abs() <= tolerance {
		return []Finding{{
			Kind:   "clock_zone",
			Cause:  fmt.Sprintf("the signature is right, but the clock of the host was %s %s of the provider's, which is a difference of time zones or summer time", whole.Abs(), off),
			Change: "set the host's clock by NTP and its hardware clock to UTC (`timedatectl`); in a virtual machine, check the host machine's clock",
		}}
	}
	if age < 0 {
		return []Finding{{
			Kind:   "clock",
			Cause:  fmt.Sprintf("the signature is right, but the delivery was signed %s after it arrived: the clock of the host is behind", age.Abs().Round(time.Second)),
			Change: "set the host's clock by NTP",
		}}
	}
	return []Finding{{
		Kind:   "late",
		Cause:  fmt.Sprintf("the signature is right, but the delivery was signed %s before it arrived, which is more than the tolerance of %s", age.Round(time.Second), tolerance),
		Change: "if all deliveries are that old, set the host's clock by NTP; if only some are, something delays them (a queue, a tunnel), or the provider does not sign retries with a new time: then write a longer `tolerance`",
	}}
}
