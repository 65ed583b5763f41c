package signature

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DefaultTolerance is the default maximum difference between a signed timestamp and
// now, in both directions: that of Stripe, Slack and the Standard Webhooks libraries.
const DefaultTolerance = 5 * time.Minute

// maxTolerance is the largest tolerance. Beyond a year a timestamp has no meaning,
// and its number of decimal digits would no longer be fixed.
const maxTolerance = 366 * 24 * time.Hour

// TimestampField is the place of the signed time, and its format.
type TimestampField struct {
	Field
	// The format of the time: `unix` (seconds), `unix_ms` (milliseconds),
	// `rfc3339`, `iso8601` (RFC 3339 with an optional zone, by default UTC) or
	// `http_date`. Default: `unix`.
	Format string `json:"format,omitempty"`
	// How far the time can differ from now, in both directions, in seconds.
	// Default: 300.
	Tolerance int `json:"tolerance_seconds,omitempty"`
	// Accept a delivery without this field, without a check of its age.
	// Default: false.
	Optional bool `json:"optional,omitempty"`
}

func (f TimestampField) check() error {
	switch f.Format {
	case "", "unix", "unix_ms", "rfc3339", "iso8601", "http_date":
	default:
		return fmt.Errorf("unrecognized timestamp format: %q; write unix, unix_ms, rfc3339, iso8601 or http_date", f.Format)
	}
	if f.Tolerance < 0 || f.Tolerance > int(maxTolerance/time.Second) {
		return fmt.Errorf("tolerance %d is not between 1 and %d seconds: write, for example, 300", f.Tolerance, int(maxTolerance/time.Second))
	}
	return f.Field.check()
}

// parseTimestamp parses a time. Numbers are plain decimals: no sign, no fraction, no
// leading zero, and at most the digits of a current time, so that nothing overflows
// and milliseconds are not taken for seconds.
func parseTimestamp(format, text string) (time.Time, error) {
	const longest = 64 // bytes, more than any time has
	if len(text) > longest {
		return time.Time{}, Refuse(Malformed, "the timestamp is longer than %d bytes", longest)
	}
	switch format {
	case "iso8601":
		if !strings.ContainsAny(text, "Z+") && strings.Count(text, "-") == 2 {
			text += "Z"
		}
		return parseRFC3339(text)
	case "rfc3339":
		return parseRFC3339(text)
	case "http_date":
		t, err := time.Parse(http.TimeFormat, text)
		// Go does not check the day of the week.
		if err != nil || t.Year() < 1970 || t.Format(http.TimeFormat) != text {
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

// parseRFC3339 parses the strict format. Go also accepts an hour of one digit, a
// comma before the fraction, and any number of digits after it.
func parseRFC3339(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() < 1970 || len(text) > len(time.RFC3339Nano) || strings.Contains(text, ",") || text[len("2006-01-02T15")] != ':' {
		return time.Time{}, Refuse(Malformed, "the timestamp is not an RFC 3339 time")
	}
	return t, nil
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
	// Sub saturates at 292 years and does not wrap.
	switch age := now.Sub(t); {
	case age > tolerance:
		return Refuse(Stale, "signed %s ago, which is more than the tolerance of %s: a late retry, a replay, or a clock that is ahead", age.Round(time.Second), tolerance)
	case age < -tolerance:
		return Refuse(Stale, "signed %s in the future, which is more than the tolerance of %s: a clock is wrong, here or at the provider", t.Sub(now).Round(time.Second), tolerance)
	}
	return nil
}
