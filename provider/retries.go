package provider

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Retries says what a provider does when a delivery fails. It matters where a
// time is signed: a retry with the time of the first attempt must be within the
// tolerance.
type Retries struct {
	// Signing says whether a retry is signed with a new time.
	Signing RetrySigning
	// Implied: this is not said in words, but follows, mostly because the
	// provider's own library refuses what is older than the tolerance.
	Implied bool
	// Last is how long after the first attempt the last retry comes, as far as
	// that is documented and matters. 0: it is not, or there are none.
	Last time.Duration
	// Source is where this is written: a page, or the code that was read.
	Source string
}

// RetrySigning says whether a retry is signed with a new time.
type RetrySigning string

// The ways of signing a retry. Empty: not documented.
const (
	// SignedAnew: every attempt is signed with its own time.
	SignedAnew RetrySigning = "anew"
	// SignedOnce: a retry has the time and the signature of the first attempt.
	SignedOnce RetrySigning = "once"
)

// describeRetries says whether retries are signed with a new time, empty if no
// time is signed.
func (p *Preset) describeRetries() string {
	r := &p.Retries
	last := ""
	if r.Last > 0 {
		last = "; the last one comes after " + spoken(r.Last)
	}
	switch {
	case r.Source == "":
		return ""
	case r.Implied:
		return "yes, by implication"
	case r.Signing == SignedAnew:
		return "yes"
	case r.Signing == SignedOnce:
		return "no" + last
	}
	return "not documented" + last
}

// describeTolerance says how far a signed time may be from now by default, empty
// if no time is signed.
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

// spoken is a duration in the largest units that fit.
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
