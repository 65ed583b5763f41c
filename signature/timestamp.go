package signature

import (
	"fmt"
	"strconv"
	"time"
)

// DefaultTolerance is how far a signed timestamp may be from now, either way,
// where neither scheme nor operator says otherwise: what Stripe, Slack and the
// Standard Webhooks libraries use.
const DefaultTolerance = 5 * time.Minute

// TimestampField says where the time of signing stands and how it is written.
type TimestampField struct {
	Field
	// How the time is written: `unix` (seconds), `unix_ms` (milliseconds),
	// `rfc3339`, `iso8601` (RFC 3339 whose zone may be missing and is UTC
	// then) or `http_date`. Default: `unix`.
	Format string `json:"format,omitempty"`
	// How far the time may be from now, either way, in seconds. Default: 300.
	Tolerance int `json:"tolerance_seconds,omitempty"`
	// A delivery without this field is accepted, without a check of its age.
	Optional bool `json:"optional,omitempty"`
}

func (f TimestampField) check() error {
	switch f.Format {
	case "", "unix", "unix_ms", "rfc3339", "iso8601", "http_date":
	default:
		return fmt.Errorf("unknown timestamp format %q: write unix, unix_ms, rfc3339, iso8601 or http_date", f.Format)
	}
	if f.Tolerance < 0 {
		return fmt.Errorf("a tolerance of %d seconds is negative", f.Tolerance)
	}
	return f.Field.check()
}

// parseTimestamp reads a time. Numbers are plain decimals: no sign, no
// fraction, no leading zero, no more digits than a time of this era has, so
// nothing overflows and milliseconds are not taken for seconds.
func parseTimestamp(format, text string) (time.Time, error) {
	switch format {
	case "iso8601":
		if t, err := time.Parse("2006-01-02T15:04:05.999999999", text); err == nil && t.Year() >= 1970 {
			return t, nil
		}
		return parseTimestamp("rfc3339", text)
	case "rfc3339":
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || t.Year() < 1970 {
			return time.Time{}, Refuse(Malformed, "the timestamp is not an RFC 3339 time")
		}
		return t, nil
	case "http_date":
		t, err := time.Parse(time.RFC1123, text)
		if err != nil || t.Year() < 1970 {
			return time.Time{}, Refuse(Malformed, "the timestamp is not an HTTP date")
		}
		return t, nil
	case "unix_ms":
		n, ok := plainDecimal(text, 14)
		if !ok {
			return time.Time{}, Refuse(Malformed, "the timestamp is not a number of milliseconds")
		}
		return time.UnixMilli(n), nil
	default:
		n, ok := plainDecimal(text, 11)
		if !ok {
			return time.Time{}, Refuse(Malformed, "the timestamp is not a number of seconds")
		}
		return time.Unix(n, 0), nil
	}
}

func plainDecimal(text string, maxDigits int) (int64, bool) {
	if text == "" || len(text) > maxDigits || text[0] < '1' || text[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// checkFresh refuses a time that is more than tolerance from now.
func checkFresh(t, now time.Time, tolerance time.Duration) error {
	age := now.Sub(t)
	switch {
	case age > tolerance:
		return Refuse(Stale, "signed %s ago, which is more than the tolerance of %s: a late retry, a replay, or a clock that is ahead", age.Round(time.Second), tolerance)
	case age < -tolerance:
		return Refuse(Stale, "signed %s in the future, which is more than the tolerance of %s: a clock is wrong, here or at the provider", (-age).Round(time.Second), tolerance)
	}
	return nil
}
