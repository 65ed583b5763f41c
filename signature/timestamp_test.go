package signature

import (
	"math"
	"testing"
	"time"
)

func TestTimestampsAreCanonical(t *testing.T) {
	for _, c := range []struct {
		format, text string
		want         int64 // in milliseconds; 0 means refused
	}{
		{"", "1760000000", 1760000000000},
		{"unix", "99999999999", 99999999999000},
		{"unix", "100000000000", 0},
		{"unix", "1760000000123", 0},
		{"unix", "", 0},
		{"unix_ms", "1760000000123", 1760000000123},
		{"unix_ms", "1760000000", 1760000000}, // seconds: a time in 1970, which is stale
		{"unix_ms", "176000000012345", 0},
		{"unix_ms", "1760000000.123", 0},
		{"unix_ms", "01760000000123", 0},
		{"rfc3339", "2025-10-09T08:53:20Z", 1760000000000},
		{"rfc3339", "2025-10-09T08:53:20.123456789Z", 1760000000123},
		{"rfc3339", "2025-10-09T10:53:20+02:00", 1760000000000},
		{"rfc3339", "2025-10-09T08:53:20,123Z", 0},
		{"rfc3339", "2025-10-09t08:53:20z", 0},
		{"rfc3339", "2025-10-09 08:53:20Z", 0},
		{"rfc3339", "2025-10-09T8:53:20Z", 0},
		{"rfc3339", "2025-10-09T08:53:20", 0},
		{"rfc3339", "2025-10-09T08:53:20+0200", 0},
		{"rfc3339", "2025-10-09T08:53:20+99:00", 0},
		{"rfc3339", "2025-13-09T08:53:20Z", 0},
		{"rfc3339", "2025-02-29T08:53:20Z", 0},
		{"rfc3339", "2025-10-09T24:00:00Z", 0},
		{"rfc3339", "2025-10-09T08:53:60Z", 0},
		{"rfc3339", "1969-12-31T23:59:59Z", 0},
		{"rfc3339", "12025-10-09T08:53:20Z", 0},
		{"rfc3339", "2025-10-09T08:53:20.1234567890123456789Z", 0},
		{"rfc3339", "1760000000", 0},
		{"iso8601", "2025-10-09T08:53:20", 1760000000000},
		{"iso8601", "2025-10-09T08:53:20.5", 1760000000500},
		{"iso8601", "2025-10-09T08:53:20Z", 1760000000000},
		{"iso8601", "2025-10-09T06:53:20-02:00", 1760000000000},
		{"iso8601", "2025-10-09T08:53:20,5", 0},
		{"iso8601", "2025-10-09", 0},
		{"http_date", "Thu, 09 Oct 2025 08:53:20 GMT", 1760000000000},
		{"http_date", "Fri, 09 Oct 2025 08:53:20 GMT", 0}, // it was a Thursday
		{"http_date", "Thu, 09 Oct 2025 08:53:20 PST", 0}, // Go parses it as UTC
		{"http_date", "Thu, 9 Oct 2025 08:53:20 GMT", 0},
		{"http_date", "thu, 09 oct 2025 08:53:20 gmt", 0},
	} {
		got, err := parseTimestamp(c.format, c.text)
		if (err == nil) != (c.want != 0) || err == nil && got.UnixMilli() != c.want {
			t.Errorf("%s %q: got %v, %v", c.format, c.text, got, err)
		}
	}
}

func TestFreshMeansWithinTheTolerance(t *testing.T) {
	const tolerance = 5 * time.Minute
	for _, c := range []struct {
		at    time.Time
		fresh bool
	}{
		{now, true},
		{now.Add(-tolerance), true},
		{now.Add(tolerance), true},
		{now.Add(-tolerance - 1), false},
		{now.Add(tolerance + 1), false},
		{time.Time{}, false},
		{time.Unix(1, 0), false},
		{time.Unix(99999999999, 0), false},
		{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), false}, // beyond the range of a Duration
		{time.Unix(math.MaxInt64>>2, 0), false},
	} {
		if err := checkFresh(c.at, now, tolerance); (err == nil) != c.fresh {
			t.Errorf("%v: %v", c.at, err)
		} else if err != nil && kindOf(t, err) != Stale {
			t.Errorf("%v: %v", c.at, err)
		}
	}
}
