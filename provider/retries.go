package provider

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Retries says how a provider signs retries. It matters if a time is signed: a retry
// with the time of the first attempt must be within the tolerance.
type Retries struct {
	// Signing says whether retries are signed with a new time.
	Signing RetrySigning
	// Implied means that this is not documented but follows from other facts, mostly
	// because the provider's own library refuses requests older than the tolerance.
	Implied bool
	// Last is the time from the first attempt to the last retry, as far as it is
	// documented and matters. 0 means unknown or no retries.
	Last time.Duration
	// Source is the page or source code that says so.
	Source string
}

// RetrySigning says whether a retry is signed with a new time.
type RetrySigning string

// The values of RetrySigning. Empty means not documented.
const (
	// SignedPerAttempt: every attempt is signed with its own time.
	SignedPerAttempt RetrySigning = "per attempt"
	// SignedOnce: a retry has the time and the signature of the first attempt.
	SignedOnce RetrySigning = "once"
)

// describeRetries says whether retries are signed with a new time. It returns "" if no
// time is signed.
func (p *Preset) describeRetries() string {
	r := &p.Retries
	last := ""
	if r.Last > 0 {
		last = "; the last retry is sent after " + spoken(r.Last)
	}
	switch {
	case r.Source == "":
		return ""
	case r.Implied:
		return "yes, by implication"
	case r.Signing == SignedPerAttempt:
		return "yes"
	case r.Signing == SignedOnce:
		return "no" + last
	}
	return "not documented" + last
}

// describeTolerance returns the default tolerance, or "" if no time is signed.
func (p *Preset) describeTolerance() string {
	if p.Tolerance > 0 {
		return spoken(p.Tolerance)
	}
	var texts []string
	add := func(schemes []signature.Scheme, suffix string) {
		for i := range schemes {
			t := schemes[i].Covers()
			if text := spoken(t.Tolerance) + suffix; t.TimestampSigned && !slices.Contains(texts, text) {
				texts = append(texts, text)
			}
		}
	}
	add(p.Schemes, "")
	for _, v := range p.Variants {
		suffix := ""
		if len(p.Variants) > 1 {
			suffix = " (scheme `" + v.Name + "`)"
		}
		add(v.Schemes, suffix)
	}
	return strings.Join(texts, ", ")
}

// spoken returns a duration in the largest units that fit.
func spoken(d time.Duration) string {
	switch {
	case d >= 48*time.Hour && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}
