// Package queue stores verified deliveries durably until the app has handled
// them, so that the provider can be answered at once.
//
// An entry is waiting until it is due, in flight while a worker holds its lease,
// and then delivered, waiting again, or dead. An entry whose worker dies is
// waiting again when its lease ends. Delivered and discarded entries leave a
// tombstone, so that a retry of the provider does not queue them a second time.
// The package does not know signatures, replay stores or HTTP servers.
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
	// Waiting: it is delivered when it is due.
	Waiting State = 1 + iota
	// InFlight: a worker holds its lease.
	InFlight
	// Delivered: the app has handled it. Only a tombstone is left.
	Delivered
	// Dead: the retries ended. It is kept with its body, and can be retried.
	Dead
	// Discarded: an operator has given it up. Only a tombstone is left.
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

// ParseState is the opposite of [State.String]. It also takes "in flight".
func ParseState(text string) (State, error) {
	for state := Waiting; state <= Discarded; state++ {
		if text == stateNames[state] || state == InFlight && text == "in flight" {
			return state, nil
		}
	}
	return 0, fmt.Errorf("unknown state %q: use waiting, in_flight, delivered, dead or discarded", text)
}

// Limits of what an entry holds. [Queue.Put] refuses more with [ErrInvalid].
const (
	MaxNameLength  = 128
	MaxKeyLength   = 256
	MaxRequestSize = 2 << 20 // all but the body
	// MaxErrorLength is where the text of a [Result] is cut off.
	MaxErrorLength = 512
)

// Request is the request of a delivery without its body. It never changes.
type Request struct {
	Method string
	// OriginalURI is the request URI as received, URI as it was rewritten
	// where the delivery was queued.
	OriginalURI string
	URI         string
	Proto       string // HTTP/1.1
	Host        string
	RemoteAddr  string
	TLS         bool // received over TLS
	// Header has the identity headers too. The values of a name keep their
	// order.
	Header http.Header
	// Attributes are small values that the caller needs to deliver the
	// request: the trace that it belongs to, for instance.
	Attributes map[string]string
}

// Result is how an attempt ended.
type Result struct {
	Status int    // of the response; 0 without one
	Error  string // cut off after [MaxErrorLength] bytes; empty if there was none
	At     time.Time
}

// Entry is a delivery in a queue. Its queue and its key identify it.
type Entry struct {
	Queue string
	Key   string
	State State
	// Request is zero in the entry of a tombstone, and in entries that
	// [Queue.List] returns.
	Request  Request
	BodySize int64
	// Accepted is when it was put, by the wall clock: for people.
	Accepted time.Time
	// Age is how long ago it was put, RetryAge how long ago it was put or, if
	// that was later, retried by hand. Both are measured by the engine's clock,
	// which steps of the wall clock do not disturb: for decisions.
	Age, RetryAge time.Duration
	// DueIn is how long until it is due; 0 or less means that it is due.
	DueIn time.Duration
	// Attempts counts the attempts to deliver it that the app has seen: refused
	// connections do not count. Failures are those of them that the schedule of
	// retries counts: since it was put or last retried by hand.
	Attempts, Failures int
	// Last is how the last attempt ended; zero before the first one.
	Last Result
}

// Put is what [Queue.Put] stores.
type Put struct {
	Queue string
	// Key identifies the delivery. If it is empty, a random one is made.
	Key     string
	Request Request
	// Body is read once, to its end. It must have exactly BodySize bytes.
	Body     io.Reader
	BodySize int64
	// Accepted is when the delivery was received. Default now.
	Accepted time.Time
	// Delay is how long until the entry is due. Default now.
	Delay time.Duration
	// Remember is how long, counted from the put, its key is remembered once
	// it is delivered or discarded: the window of the replay store.
	Remember time.Duration
	Limits   Limits
}

// Limits bound one queue, which is what a queue name stands for. Zero values
// mean no limit.
type Limits struct {
	// MaxEntries bounds entries that are waiting, in flight or dead.
	MaxEntries int64
	// MaxBytes bounds what they hold: requests and bodies.
	MaxBytes int64
	// MaxTombstones bounds tombstones: the oldest are removed first. Default
	// [DefaultMaxTombstones].
	MaxTombstones int64
}

// DefaultMaxTombstones is the default of [Limits.MaxTombstones].
const DefaultMaxTombstones = 4_000_000

// PutResult is what [Queue.Put] has done.
type PutResult struct {
	Key string
	// Existing is the state of the entry, or of the tombstone, that already
	// had the key; 0 if the entry is new.
	Existing State
}

// Lease is an entry that the caller holds until [Queue.Finish], or until the
// lease expires.
type Lease struct {
	Entry Entry
	// Token tells this lease from later ones of the same entry.
	Token string
	// Body can be opened more than once, until the lease is finished.
	Body Body
}

// Body is the body of an entry.
type Body interface {
	Size() int64
	// Open returns a stream that the caller closes. Reading it returns
	// [ErrDamaged] if a byte was changed or is missing.
	Open(ctx context.Context) (io.ReadCloser, error)
}

// Action is what becomes of an entry whose lease ends.
type Action uint8

// The actions.
const (
	// Deliver: the app has handled it; the entry becomes [Delivered].
	Deliver Action = 1 + iota
	// Retry: it is waiting again, and due after [Outcome.Delay].
	Retry
	// Bury: the entry becomes [Dead].
	Bury
	// Discard: the entry becomes [Discarded].
	Discard
	// PutBack: it is waiting again and due at once; there was no attempt.
	PutBack
)

// Outcome is how a lease ends.
type Outcome struct {
	Action Action
	Delay  time.Duration // of Retry
	// Uncounted: the attempt counts neither as one nor as a failure of the
	// schedule, because the app refused the connection.
	Uncounted bool
	// Result is how the attempt ended. PutBack ignores it.
	Result Result
}

// Filter selects entries of one queue. Zero values select all.
type Filter struct {
	Queue string
	// State is Waiting, InFlight or Dead; 0 selects all three. Delivered and
	// discarded entries are not listed: look one up with [Queue.Get].
	State State
	// MinAge and MaxAge bound [Entry.Age].
	MinAge, MaxAge time.Duration
	// Status is the status of the last attempt, [NoResponse] selects entries
	// whose last attempt got no response.
	Status int
	// NewestFirst reverses the order, which is the one of acceptance.
	NewestFirst bool
	// Limit is the most entries of a page. Default 100, at most 1,000.
	Limit int
	// After is [Page.Next] of the page before.
	After string
}

// NoResponse is the [Filter.Status] of an attempt without a response.
const NoResponse = -1

// Page is a part of a list. A page may hold fewer entries than its limit, or
// none, and still have a next one: how much is searched for it is bounded.
type Page struct {
	Entries []Entry
	Next    string // empty on the last page
}

// Stats are the counts of one queue.
type Stats struct {
	Waiting, InFlight, Dead int64
	// Tombstones are delivered and discarded entries whose keys are remembered.
	Tombstones int64
	// Bytes are held by entries that are waiting, in flight or dead.
	Bytes int64
	// OldestWaiting is the age of the oldest entry that is waiting or in
	// flight; 0 if there is none.
	OldestWaiting time.Duration
	Paused        bool
}

// Queue is a durable store of queues by name. Its methods can be used
// concurrently. Names are 1 to [MaxNameLength] bytes long.
type Queue interface {
	// Put stores an entry durably before it returns. If its key is known, as
	// an entry or as a tombstone, it changes nothing and returns its state,
	// even if the queue is full.
	// It fails with [ErrFull] if there is no room, [ErrInvalid] if the entry
	// cannot be stored, and any other error if it may work later; the entry
	// may then be stored all the same, which a second Put finds out.
	Put(ctx context.Context, put Put) (PutResult, error)

	// Lease takes up to n due entries of a queue, in the order in which they
	// are due, for as long as lease. It returns how long until the next one is
	// due: 0 if one is due now, negative if nothing is waiting or the queue is
	// paused. Entries that are put later, also by another process, are not
	// announced.
	Lease(ctx context.Context, name string, n int, lease time.Duration) (leases []Lease, next time.Duration, err error)

	// Renew lets a lease expire no earlier than after lease from now. It fails
	// with [ErrNotLeased] if the entry was leased to another caller meanwhile,
	// or is no longer there.
	Renew(ctx context.Context, l Lease, lease time.Duration) error

	// Finish ends a lease, durably before it returns. A lease that has expired
	// can still be finished while the entry was not leased again; otherwise it
	// fails with [ErrNotLeased]. Finishing it a second time fails so too,
	// except that Deliver and Discard then succeed if the entry has become that.
	Finish(ctx context.Context, l Lease, outcome Outcome) error

	// Get returns an entry, with its request, or what its tombstone holds.
	// It fails with [ErrNotFound].
	Get(ctx context.Context, name, key string) (Entry, error)
	// Body returns the body of an entry. It fails with [ErrNotFound].
	Body(ctx context.Context, name, key string) (Body, error)
	// List returns a page of entries, without their requests.
	List(ctx context.Context, filter Filter) (Page, error)
	// Retry makes entries that are dead or waiting due now. Their schedule and
	// their RetryAge begin anew; Attempts are kept. It returns how many there
	// were. Other keys are ignored. At most 1,000 keys at a time.
	Retry(ctx context.Context, name string, keys []string) (int, error)
	// Discard gives up entries that are dead or waiting, like Retry.
	Discard(ctx context.Context, name string, keys []string) (int, error)
	// Forget removes tombstones, so that the same deliveries can be queued
	// again. It returns how many there were. At most 1,000 keys at a time.
	Forget(ctx context.Context, name string, keys []string) (int, error)
	// SetPaused durably stops Lease from taking entries, or lets it do so
	// again. Leases are not ended.
	SetPaused(ctx context.Context, name string, paused bool) error

	// Stats returns the counts of a queue; zero if the name is unknown.
	Stats(ctx context.Context, name string) (Stats, error)
	// Names returns the names of all queues that hold something or are paused,
	// sorted.
	Names(ctx context.Context) ([]string, error)
	// Expire removes tombstones whose time is over and entries that have been
	// dead for keep, a bounded number at a time. It reports whether there may
	// be more.
	Expire(ctx context.Context, name string, keep time.Duration) (more bool, err error)

	// Close finishes calls that are under way. What is in flight is waiting
	// again when the queue is opened next, or when its lease expires.
	Close() error
}

// Warner is an engine that knows what about its surroundings endangers entries.
type Warner interface {
	// Warnings returns sentences for the log, the empty list if all is well.
	Warnings(ctx context.Context) []string
}

// Errors of all engines. What they wrap says more.
var (
	// ErrFull: a limit is reached; see [FullError].
	ErrFull = errors.New("queue is full")
	// ErrUnavailable: the engine cannot read or write now.
	ErrUnavailable = errors.New("queue is unavailable")
	// ErrInvalid: the entry can never be stored.
	ErrInvalid = errors.New("invalid entry")
	// ErrNotLeased: the lease was lost to another caller, or has ended.
	ErrNotLeased = errors.New("the entry is not leased to this caller")
	// ErrNotFound: there is no such entry.
	ErrNotFound = errors.New("no such entry")
	// ErrDamaged: what is stored is not what was put.
	ErrDamaged = errors.New("damaged")
	// ErrClosed: the queue is closed.
	ErrClosed = errors.New("queue is closed")
)

// What a [FullError] can name.
const (
	FullEntries = "max_entries"
	FullBytes   = "max_bytes"
	FullDisk    = "disk"
	FullMemory  = "maxmemory"
)

// FullError is an [ErrFull] that says what is full.
type FullError struct {
	What  string // one of the Full constants
	Limit int64  // 0 if it is not known
}

// Error implements error.
func (e *FullError) Error() string {
	switch {
	case e.What == FullDisk && e.Limit == 0:
		return fmt.Sprintf("%v: its disk is full", ErrFull)
	case e.What == FullDisk:
		return fmt.Sprintf("%v: less than %d bytes would be free on its disk", ErrFull, e.Limit)
	case e.What == FullMemory:
		return fmt.Sprintf("%v: redis has reached maxmemory", ErrFull)
	default:
		return fmt.Sprintf("%v: %s %d is reached", ErrFull, e.What, e.Limit)
	}
}

// Unwrap makes it an [ErrFull].
func (e *FullError) Unwrap() error { return ErrFull }
