// Package diagnose finds out why a recorded delivery is refused, by trying
// what people get wrong: with secrets, with bodies that something on the way
// has rewritten, with URLs, with clocks.
//
// Nothing that it returns holds a secret or a signature that would be
// accepted.
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
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/capture"
	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/internal/nolog"
	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Case is a delivery that was refused, and what the receiver was told.
type Case struct {
	Provider string
	// Options is the provider's JSON as in the config, without secrets; may
	// be empty.
	Options json.RawMessage
	// Secrets are those of the config, Others are secrets that could be
	// meant: of another endpoint, of test mode, of before a rotation.
	Secrets, Others []string
	// PublicURL is the option of that name.
	PublicURL string
	Request   *capture.Request
	// Received is when the delivery came, Now when somebody asks.
	Received, Now time.Time
}

// Finding is one thing that is wrong.
type Finding struct {
	// Kind is a word for it.
	Kind string
	// Cause says what is wrong, Change what to do about it.
	Cause, Change string
	// Guess: the signature was not reproduced.
	Guess bool
}

// Report is what was found out.
type Report struct {
	// Outcome and Reason are the handler's, at the time when the delivery
	// came as far as that is known.
	Outcome caddymodule.Outcome
	Reason  string
	// Findings begins with the first thing to change.
	Findings []Finding
	// Notes say what makes the record doubtful.
	Notes []string
	// Tried is how many variations were verified.
	Tried int
}

// Explain finds out why a delivery is refused.
func Explain(ctx context.Context, c Case) (*Report, error) {
	inspection, err := signing.Inspect(c.Provider, c.Options)
	if err != nil {
		return nil, err
	}
	if c.Received.IsZero() {
		c.Received = c.Request.Received
	}
	report := &Report{Notes: c.Request.Notes}
	if err := c.judge(ctx, report); err != nil {
		// The config is not even accepted; the message says why.
		report.Outcome, report.Reason = "config_error", innermost(err).Error()
	}
	if len(inspection.Schemes) == 0 {
		return report, nil // nothing to vary: code verifies
	}
	if report.Outcome == caddymodule.Verified || report.Outcome == caddymodule.Handshake || len(report.Findings) > 0 {
		return report, nil
	}
	s := newSearch(&c, inspection)
	if d := s.rightButForTime(); d != nil && report.Outcome == caddymodule.Stale {
		report.Findings = c.checkClock(d, s.tolerance())
	} else {
		report.Findings = s.run()
	}
	report.Tried = s.tried
	return report, nil
}

// innermost returns the error that says what is wrong, without where.
func innermost(err error) error {
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return err
}

// judge has the real handler judge the delivery as it is.
func (c *Case) judge(ctx context.Context, report *Report) error {
	options := map[string]any{}
	if len(c.Options) > 0 {
		if err := json.Unmarshal(c.Options, &options); err != nil {
			return fmt.Errorf("reading the provider's options: %w", err)
		}
	}
	options["name"] = c.Provider
	var secrets []map[string]string
	for _, secret := range c.Secrets {
		// A brace of its own must not be taken for a placeholder's.
		secrets = append(secrets, map[string]string{"secret": strings.ReplaceAll(secret, "{", `\{`)})
	}
	options["secrets"] = secrets
	if c.PublicURL != "" {
		options["public_url"] = c.PublicURL
	}
	config, err := json.Marshal(options)
	if err != nil {
		return err
	}
	r, err := c.httpRequest(ctx)
	if err != nil {
		return err
	}
	tried, err := dryrun.Once(nolog.Context(ctx), config, func() time.Time { return c.judgedAt() }, r)
	if err != nil {
		return err
	}
	report.Outcome, report.Reason = caddymodule.Outcome(tried.Outcome), tried.Reason
	if tried.Handshake {
		report.Findings = []Finding{{
			Kind:   "handshake",
			Cause:  "the request is not a delivery: with it, the provider checks the URL",
			Change: "write the option that the reason names (docs/handshakes.md), and have the provider check the URL again",
		}}
	}
	return nil
}

// judgedAt is the time that the handler judged by, as far as it is known.
func (c *Case) judgedAt() time.Time {
	if c.Received.IsZero() {
		return c.Now
	}
	return c.Received
}

// httpRequest is the record as a server would get it. A record can have what no
// server accepts, such as control characters in the host.
func (c *Case) httpRequest(ctx context.Context) (*http.Request, error) {
	u, err := url.ParseRequestURI(c.Request.RequestURI)
	if err != nil {
		return nil, errors.New("the URL of the record cannot be parsed")
	}
	base := "https://localhost/"
	if c.Request.Scheme == "http" {
		base = "http://localhost/"
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, base, bytes.NewReader(c.Request.Body))
	r.Method, r.Host, r.URL = c.Request.Method, c.host(), u
	r.Header = c.Request.Header.Clone()
	r.RequestURI = c.Request.RequestURI
	return r, nil
}

func (c *Case) host() string {
	if c.Request.Host == "" {
		return "localhost"
	}
	return c.Request.Host
}

// checkClock looks at the time of a delivery whose signature is right.
func (c *Case) checkClock(d *signature.Delivery, tolerance time.Duration) []Finding {
	if !d.TimestampSigned || d.Timestamp.IsZero() {
		return nil
	}
	if c.Received.IsZero() {
		if age := c.Now.Sub(d.Timestamp); age > tolerance || age < -tolerance {
			return []Finding{{
				Kind: "recorded", Guess: true,
				Cause:  fmt.Sprintf("the signature is right; the delivery was signed at %s. Had it come within %s of that, it would have been accepted: by now it is too old", d.Timestamp.UTC().Format(time.RFC3339), tolerance),
				Change: "say when it came (--received, or take a HAR file, which knows). If the handler called it stale then, the clock of the host or of the provider is wrong, or the delivery was late",
			}}
		}
		return nil
	}
	return clockFindings(c.Received.Sub(d.Timestamp), tolerance)
}

// clockFindings explains a time that is too far from the one of receipt.
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
			Cause:  fmt.Sprintf("the signature is right, but the clock of the host was %s %s of the provider's: as much as time zones or summer time differ", whole.Abs(), off),
			Change: "set the host's clock by NTP and let its hardware clock run in UTC (`timedatectl`); in a virtual machine, look at the host machine's",
		}}
	}
	if age < 0 {
		return []Finding{{
			Kind:   "clock",
			Cause:  fmt.Sprintf("the signature is right, but the delivery was signed %s after it came: the clock of the host is behind", age.Abs().Round(time.Second)),
			Change: "set the host's clock by NTP",
		}}
	}
	return []Finding{{
		Kind:   "late",
		Cause:  fmt.Sprintf("the signature is right, but the delivery was signed %s before it came, which is more than the tolerance of %s", age.Round(time.Second), tolerance),
		Change: "if all deliveries are that old, set the host's clock by NTP; if some are, something holds them up (a queue, a tunnel), or the provider does not sign retries anew: then write a longer `tolerance`",
	}}
}
