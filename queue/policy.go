package queue

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Defaults of [Policy].
const (
	DefaultJitter        = 0.2
	DefaultGiveUp        = 3 * 24 * time.Hour
	DefaultMaxRetryAfter = time.Hour
)

// DefaultSchedule returns the default of [Policy.Schedule].
func DefaultSchedule() []time.Duration {
	return []time.Duration{
		5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	}
}

// Policy determines when a failed delivery is retried.
type Policy struct {
	// Schedule contains the delays before the second attempt, the third attempt
	// and so on. The last delay is repeated.
	Schedule []time.Duration
	// Jitter is the maximum random change of a delay: 0.2 means up to 20 % more
	// or less.
	Jitter float64
	// GiveUp is the age at which retries end.
	GiveUp time.Duration
	// MaxRetryAfter limits the delay that a Retry-After header can request.
	MaxRetryAfter time.Duration
}

// DefaultPolicy returns the default policy of a queue.
func DefaultPolicy() Policy {
	return Policy{Schedule: DefaultSchedule(), Jitter: DefaultJitter, GiveUp: DefaultGiveUp, MaxRetryAfter: DefaultMaxRetryAfter}
}

// Check returns an error if the policy is invalid.
func (p Policy) Check() error {
	switch {
	case len(p.Schedule) == 0:
		return errors.New("missing retry delays: use for example 5s 30s 2m")
	case slices.Min(p.Schedule) <= 0:
		return fmt.Errorf("invalid retry delay %v: use a duration above 0", slices.Min(p.Schedule))
	case p.Jitter < 0 || p.Jitter >= 1:
		return fmt.Errorf("invalid jitter %v: use at least 0 and less than 1", p.Jitter)
	case p.GiveUp <= 0:
		return fmt.Errorf("invalid give_up %v: use a duration above 0", p.GiveUp)
	case p.MaxRetryAfter < 0:
		return fmt.Errorf("invalid maximum of Retry-After %v: use 0 or more", p.MaxRetryAfter)
	}
	return nil
}

// Next returns how long to wait before the next attempt, or false to give up.
// failures is the number of counted failures, including the latest one if it
// counts ([Entry.Failures] excludes it). age is the current [Entry.RetryAge],
// retryAfter the delay that the app requested, and random returns a number of
// at least 0 and less than 1.
//
// The last attempt is made at the age GiveUp, even if the delay would be
// longer.
func (p Policy) Next(failures int, age, retryAfter time.Duration, random func() float64) (time.Duration, bool) {
	left := p.GiveUp - age
	if left <= 0 {
		return 0, false
	}
	delay := p.Schedule[min(max(failures-1, 0), len(p.Schedule)-1)]
	delay = time.Duration(float64(delay) * (1 + p.Jitter*(2*random()-1)))
	return min(max(delay, min(retryAfter, p.MaxRetryAfter)), left), true
}

// ParseRetryAfter parses the Retry-After header of a response: a number of
// seconds, or an HTTP date. The result is at least 0 and at most bound. It
// reports whether the header is valid.
func ParseRetryAfter(value string, now time.Time, bound time.Duration) (time.Duration, bool) {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0, false
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds := int64(0)
		for _, digit := range value {
			seconds = 10*seconds + int64(digit-'0')
			if seconds > int64(bound/time.Second) {
				return bound, true
			}
		}
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), bound), true
}

// NewKey returns a random key, for an entry whose delivery has no key.
func NewKey() string {
	var random [16]byte
	_, _ = rand.Read(random[:])
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// Check returns an [ErrInvalid] if the entry can never be stored. Engines call
// it before they store anything.
func (p *Put) Check() error {
	switch {
	case CheckName(p.Queue) != nil:
		return CheckName(p.Queue)
	case len(p.Key) > MaxKeyLength:
		return fmt.Errorf("%w: its key has %d bytes: expected at most %d", ErrInvalid, len(p.Key), MaxKeyLength)
	case p.BodySize < 0:
		return fmt.Errorf("%w: its body has an unknown size", ErrInvalid)
	case p.BodySize > 0 && p.Body == nil:
		return fmt.Errorf("%w: missing body of %d bytes", ErrInvalid, p.BodySize)
	}
	return nil
}

// CheckName returns an [ErrInvalid] if name is not a valid queue name.
func CheckName(name string) error {
	if name == "" || len(name) > MaxNameLength {
		return fmt.Errorf("%w: invalid queue name: expected 1 to %d bytes", ErrInvalid, MaxNameLength)
	}
	return nil
}

// Shorten truncates the text of an error to [MaxErrorLength] bytes and makes it
// valid UTF-8.
func Shorten(text string) string {
	if len(text) > MaxErrorLength {
		text = text[:MaxErrorLength]
	}
	return strings.ToValidUTF8(text, "")
}
