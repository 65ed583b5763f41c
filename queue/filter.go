package queue

import (
	"fmt"
	"strconv"
)

const (
	// MaxKeys is the most keys of one call.
	MaxKeys = 1000

	defaultPage = 100
	maxPage     = 1000
)

// Check sets the defaults of the filter and returns where the page begins. It
// fails with [ErrInvalid].
func (f *Filter) Check() (after uint64, err error) {
	if err := CheckName(f.Queue); err != nil {
		return 0, err
	}
	switch f.State {
	case 0, Waiting, InFlight, Dead:
	default:
		return 0, fmt.Errorf("%w: entries that are %v are not listed: use waiting, in_flight or dead", ErrInvalid, f.State)
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
		return 0, fmt.Errorf("%w: %q is not the end of a page", ErrInvalid, f.After)
	}
	return after, nil
}

// CheckKeys returns an [ErrInvalid] if an operation cannot take so many keys of
// a queue.
func CheckKeys(name string, keys []string) error {
	if len(keys) > MaxKeys {
		return fmt.Errorf("%w: %d keys at a time, at most %d", ErrInvalid, len(keys), MaxKeys)
	}
	return CheckName(name)
}

// Cursor is the opposite of what [Filter.Check] reads: the position of an entry
// in the order of acceptance, as [Page.Next].
func Cursor(sequence uint64) string { return strconv.FormatUint(sequence, 36) }

// Matches reports whether an entry is selected.
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
