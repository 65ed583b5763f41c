// Package queue stores verified deliveries durably until the app has handled
// them, so that Caddy can respond to the provider immediately.
//
// An entry is waiting until it is due, in flight while a worker holds its
// lease, and then delivered, waiting again, or dead. If a worker dies, its
// entry is waiting again when the lease expires. Delivered and discarded
// entries leave a tombstone, so that a retry of the provider is not queued as a
// second entry. The package does not depend on signatures, replay stores or
// HTTP servers.
package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// State is the state of an entry.
type State uint8

// The states of an entry.
const (
	// Waiting: it will be delivered when it is due.
	Waiting State = 1 + iota
	// InFlight: a worker holds the lease.
	InFlight
	// Delivered: the app has handled it. Only a tombstone remains.
	Delivered
	// Dead: retries have ended. It is kept with its body, and can be retried.
	Dead
	// Discarded: an operator has discarded it. Only a tombstone remains.
	Discarded
)

var stateNames = [...]string{Waiting: "waiting", InFlight: "in_flight", Delivered: "delivered", Dead: "dead", Discarded: "discarded"}

// String returns the state in lower case, as the admin API shows it.
func (s State) String() string {
	if s < Waiting || s > Discarded {
		return fmt.Sprintf("state(%d)", uint8(s))
	}
	return stateNames[s]
}

// ParseState is the inverse of [State.String]. It also accepts "in flight".
func ParseState(text string) (State, error) {
	for state := Waiting; state <= Discarded; state++ {
		if text == stateNames[state] || state == InFlight && text == "in flight" {
			return state, nil
		}
	}
	return 0, fmt.Errorf("unknown state %q: use waiting, in_flight, delivered, dead or discarded", text)
}

// Limits of an entry. [Queue.Put] rejects larger ones with [ErrInvalid].
const (
	MaxNameLength  = 128
	MaxKeyLength   = 256
	MaxRequestSize = 2 << 20 // without the body
	// MaxErrorLength is the length to which the error of a [Result] is
	// truncated.
	MaxErrorLength = 512
)

// Request is the request of a delivery without its body. It never changes.
type Request struct {
	Method string
	// OriginalURI is the request URI as received. URI is the rewritten one at
	// the time when the delivery was queued.
	OriginalURI string
	URI         string
	Proto       string // HTTP/1.1
	Host        string
	RemoteAddr  string
	TLS         bool // received over TLS
	// Header includes the identity headers. The values of a name keep their
	// order.
	Header http.Header
	// Attributes are small values that the caller needs to deliver the request,
	// such as its trace ID.
	Attributes map[string]string
}

// Result is the result of an attempt.
type Result struct {
	Status int    // of the response; 0 if there was none
	Error  string // truncated to [MaxErrorLength] bytes; empty if there was none
	At     time.Time
}

// Entry is a delivery in a queue. It is identified by its queue and its key.
type Entry struct {
	Queue string
	Key   string
	State State
	// Request is zero in entries of tombstones and in entries that [Queue.List]
	// returns.
	Request  Request
	BodySize int64
	// Accepted is the wall-clock time of the put. It is for display only.
	Accepted time.Time
	// Age is the time since the put, RetryAge the time since the put or the
	// last manual retry. Both are measured by the engine's clock, which steps
	// of the wall clock do not affect, and are used for decisions.
	Age, RetryAge time.Duration
	// DueIn is the time until it is due; 0 or less means that it is due.
	DueIn time.Duration
	// Attempts counts the attempts that reached the app: refused connections do
	// not count. Failures counts those that the retry schedule counts, since
	// the put or the last manual retry.
	Attempts, Failures int
	// Last is the result of the last attempt; zero before the first one.
	Last Result
}

// Put is the argument of [Queue.Put].
type Put struct {
	Queue string
	// Key identifies the delivery. If it is empty, a random key is generated.
	Key     string
	Request Request
	// Body is read once, to its end. It must have exactly BodySize bytes.
	Body     io.Reader
	BodySize int64
	// Accepted is when the delivery was received. Default now.
	Accepted time.Time
	// Delay is the time until the entry is due. Default 0.
	Delay time.Duration
	// Remember is how long after the put the tombstone is kept once the entry
	// is delivered or discarded: the window of the replay store.
	Remember time.Duration
	Limits   Limits
}

// Limits limit one queue, by queue name. Zero values mean no limit.
type Limits struct {
	// MaxEntries limits entries that are waiting, in flight or dead.
	MaxEntries int64
	// MaxBytes limits the total size of their requests and bodies.
	MaxBytes int64
	// MaxTombstones limits tombstones: the oldest are removed first. Default
	// [DefaultMaxTombstones].
	MaxTombstones int64
}

// DefaultMaxTombstones is the default of [Limits.MaxTombstones].
const DefaultMaxTombstones = 4_000_000

// PutResult is the result of [Queue.Put].
type PutResult struct {
	Key string
	// Existing is the state of the entry or tombstone that already had the key;
	// 0 if the entry is new.
	Existing State
}

// Lease is an entry that is leased to the caller until [Queue.Finish], or until
// the lease expires.
type Lease struct {
	Entry Entry
	// Token distinguishes this lease from later leases of the same entry.
	Token string
	// Body can be opened several times, until the lease is finished.
	Body Body
}

// Body is the body of an entry.
type Body interface {
	Size() int64
	// Open returns a stream, which the caller must close. Reading it returns
	// [ErrDamaged] if a byte was changed or is missing.
	Open(ctx context.Context) (io.ReadCloser, error)
}

// Action is what happens to an entry when its lease ends.
type Action uint8

// The actions.
const (
	// Deliver: the app has handled it; the entry becomes [Delivered].
	Deliver Action = 1 + iota
	// Retry: it is waiting again and due after [Outcome.Delay].
	Retry
	// Bury: the entry becomes [Dead].
	Bury
	// Discard: the entry becomes [Discarded].
	Discard
	// PutBack: it is waiting again and due at once; no attempt was made.
	PutBack
)

// Outcome is the outcome of a lease.
type Outcome struct {
	Action Action
	Delay  time.Duration // of Retry
	// Uncounted: the attempt counts neither as an attempt nor as a failure of
	// the schedule, because the app refused the connection.
	Uncounted bool
	// Result is the result of the attempt. PutBack ignores it.
	Result Result
}

// Filter selects entries of one queue. Zero values select all.
type Filter struct {
	Queue string
	// State is Waiting, InFlight or Dead; 0 selects all three. Delivered and
	// discarded entries cannot be listed: use [Queue.Get].
	State State
	// MinAge and MaxAge limit [Entry.Age].
	MinAge, MaxAge time.Duration
	// Status is the status of the last attempt. [NoResponse] selects entries
	// whose last attempt got no response.
	Status int
	// NewestFirst reverses the order. Default: the order of acceptance.
	NewestFirst bool
	// Limit is the maximum number of entries in a page. Default 100, at most
	// 1,000.
	Limit int
	// After is [Page.Next] of the previous page.
	After string
}

// NoResponse is the [Filter.Status] of an attempt that got no response.
const NoResponse = -1

// Page is a part of a list. It can contain fewer entries than its limit, or
// none, and still have a next page, because the search for one page is limited.
type Page struct {
	Entries []Entry
	Next    string // empty on the last page
}

// Stats are the counts of one queue.
type Stats struct {
	Waiting, InFlight, Dead int64
	// Tombstones is the number of delivered and discarded entries whose keys
	// are stored.
	Tombstones int64
	// Bytes is the total size of entries that are waiting, in flight or dead.
	Bytes int64
	// OldestWaiting is the age of the oldest entry that is waiting or in
	// flight; 0 if there is none.
	OldestWaiting time.Duration
	Paused        bool
}

// Queue is a durable store of named queues. Its methods are safe for concurrent
// use. Names are 1 to [MaxNameLength] bytes long.
type Queue interface {
	// Put stores an entry durably before it returns. If an entry or a tombstone
	// already has the key, Put changes nothing and returns its state, even if
	// the queue is full. It returns [ErrFull] if a limit is reached and
	// [ErrInvalid] if the entry can never be stored. After any other error a
	// retry can succeed. The entry may have been stored despite the error; a
	// second Put then returns its state.
	Put(ctx context.Context, put Put) (PutResult, error)

	// Lease leases up to n due entries of a queue, in the order in which they
	// are due, for the duration lease. It returns the time until the next entry
	// is due: 0 if one is due now, negative if none is waiting or the queue is
	// paused. Entries that are put later, also by another process, are not
	// announced.
	Lease(ctx context.Context, name string, n int, lease time.Duration) (leases []Lease, next time.Duration, err error)

	// Renew extends a lease to at least now+lease. It returns [ErrNotLeased] if
	// the entry was leased to another caller meanwhile or no longer exists.
	Renew(ctx context.Context, l Lease, lease time.Duration) error

	// Finish ends a lease, durably before it returns. An expired lease can be
	// finished as long as the entry has not been leased again; otherwise Finish
	// returns [ErrNotLeased]. So does a second call, except that Deliver and
	// Discard succeed if the entry already has that state.
	Finish(ctx context.Context, l Lease, outcome Outcome) error

	// Get returns an entry with its request, or the contents of its tombstone.
	// It returns [ErrNotFound] if there is neither.
	Get(ctx context.Context, name, key string) (Entry, error)
	// Body returns the body of an entry. It returns [ErrNotFound] if there is
	// none.
	Body(ctx context.Context, name, key string) (Body, error)
	// List returns a page of entries, without their requests.
	List(ctx context.Context, filter Filter) (Page, error)
	// Retry makes entries that are dead or waiting due now. Their schedule and
	// RetryAge restart; Attempts are kept. It returns how many entries it
	// changed, and ignores other keys. It accepts at most 1,000 keys.
	Retry(ctx context.Context, name string, keys []string) (int, error)
	// Discard discards entries that are dead or waiting, like Retry.
	Discard(ctx context.Context, name string, keys []string) (int, error)
	// Forget removes tombstones, so that the same deliveries can be queued
	// again. It returns how many it removed. It accepts at most 1,000 keys.
	Forget(ctx context.Context, name string, keys []string) (int, error)
	// SetPaused durably pauses or resumes a queue. Lease returns no entries of
	// a paused queue. Existing leases are not ended.
	SetPaused(ctx context.Context, name string, paused bool) error

	// Stats returns the counts of a queue; zero if the name is unknown.
	Stats(ctx context.Context, name string) (Stats, error)
	// Names returns the sorted names of all queues that are not empty or are
	// paused.
	Names(ctx context.Context) ([]string, error)
	// Expire removes expired tombstones and entries that have been dead for
	// keep, a limited number per call. It reports whether there may be more.
	Expire(ctx context.Context, name string, keep time.Duration) (more bool, err error)

	// Close completes pending calls. Entries in flight are waiting again when
	// the queue is opened next, or when their leases expire.
	Close() error
}

// Warner is implemented by engines that can detect settings that endanger
// entries.
type Warner interface {
	// Warnings returns warnings for the log, or an empty list.
	Warnings(ctx context.Context) []string
}

// Errors of all engines. Errors that wrap them have more details.
var (
	// ErrFull: a limit is reached; see [FullError].
	ErrFull = errors.New("queue is full")
	// ErrUnavailable: the engine cannot read or write at the moment.
	ErrUnavailable = errors.New("queue is unavailable")
	// ErrInvalid: the entry can never be stored.
	ErrInvalid = errors.New("invalid entry")
	// ErrNotLeased: the entry is leased to another caller, or the lease has
	// ended.
	ErrNotLeased = errors.New("entry is not leased to this caller")
	// ErrNotFound: there is no such entry.
	ErrNotFound = errors.New("no such entry")
	// ErrDamaged: the stored data is not what was put.
	ErrDamaged = errors.New("damaged")
	// ErrClosed: the queue is closed.
	ErrClosed = errors.New("queue is closed")
)

// Values of [FullError.What].
const (
	FullEntries = "max_entries"
	FullBytes   = "max_bytes"
	FullDisk    = "disk"
	FullMemory  = "maxmemory"
)

// FullError is an [ErrFull] that names the limit.
type FullError struct {
	What  string // one of the Full constants
	Limit int64  // 0 if unknown
}

// Error implements error.
func (e *FullError) Error() string {
	switch {
	case e.What == FullDisk && e.Limit == 0:
		return fmt.Sprintf("%v: its disk is full", ErrFull)
	case e.What == FullDisk:
		return fmt.Sprintf("%v: less than %d bytes would remain free on its disk", ErrFull, e.Limit)
	case e.What == FullMemory:
		return fmt.Sprintf("%v: redis has reached maxmemory", ErrFull)
	default:
		return fmt.Sprintf("%v: %s %d is reached", ErrFull, e.What, e.Limit)
	}
}

// Unwrap returns [ErrFull].
func (e *FullError) Unwrap() error { return ErrFull }
