package queue

import (
	"fmt"
	"strconv"
)

const (
	// MaxKeys is the maximum number of keys in one call.
	MaxKeys = 1000

	defaultPage = 100
	maxPage     = 1000
)

// Check sets the defaults of the filter and returns the position at which the
// page begins. It fails with [ErrInvalid].
func (f *Filter) Check() (after uint64, err error) {
	if err := CheckName(f.Queue); err != nil {
		return 0, err
	}
	switch f.State {
	case 0, Waiting, InFlight, Dead:
	default:
		return 0, fmt.Errorf("%w: entries in state %v cannot be listed: use waiting, in_flight or dead", ErrInvalid, f.State)
	}
	if f.Limit <= 0 {
		f.Limit = defaultPage
	}
	f.Limit = min(f.Limit, maxPage)
	if f.After == "" {
		return 0, nil
	}
	after, err = strconv.ParseUint(f.After, 36, 63)
	if err != nil || after == 0 {
		return 0, fmt.Errorf("%w: invalid page cursor %q", ErrInvalid, f.After)
	}
	return after, nil
}

// CheckKeys returns an [ErrInvalid] if there are too many keys for one call.
func CheckKeys(name string, keys []string) error {
	if len(keys) > MaxKeys {
		return fmt.Errorf("%w: too many keys: %d, expected at most %d", ErrInvalid, len(keys), MaxKeys)
	}
	return CheckName(name)
}

// Cursor returns the [Page.Next] of an entry from its position in the order of
// acceptance. [Filter.Check] reads it.
func Cursor(sequence uint64) string { return strconv.FormatUint(sequence, 36) }

// Matches reports whether the filter selects an entry.
func (f *Filter) Matches(e *Entry) bool {
	switch {
	case f.State != 0 && e.State != f.State,
		f.MinAge > 0 && e.Age < f.MinAge,
		f.MaxAge > 0 && e.Age > f.MaxAge:
		return false
	case f.Status == NoResponse:
		return e.Attempts > 0 && e.Last.Status == 0
	default:
		return f.Status == 0 || e.Last.Status == f.Status
	}
}
