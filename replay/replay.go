// Package replay records which deliveries are in progress and which were
// handled, so that each delivery reaches the app once.
//
// A delivery is identified by its [Keys]. A [Store] claims either all of its
// blocking keys or none. The owner of the claim commits it when the app has
// succeeded, which marks the keys as handled for a window, or releases it when
// the app has failed, which frees the keys. A claim that is neither committed
// nor released expires with its lease. The package does not depend on
// signatures or HTTP servers.
package replay

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// KeySize is the length of a [Key] in bytes. Among 10^10 keys of 128 bits of a
// SHA-256 digest, the probability of an accidental collision is 1 in 10^19. An
// attacker cannot search for a collision without the secret that signs
// deliveries.
const KeySize = 16

// Key names one property (an ID or a digest) of one delivery.
type Key [KeySize]byte

// String returns the key in unpadded URL-safe base64. The text does not reveal
// the hashed input.
func (k Key) String() string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// Kind is the type of value that a key is derived from. It keeps an ID that
// looks like a digest distinct from that digest.
type Kind byte

// The kinds of key.
const (
	// KindID is a delivery ID.
	KindID Kind = 'i'
	// KindContent is a digest of the signed content.
	KindContent Kind = 'd'
	// KindBoth is a digest of delivery ID and content together, for deliveries
	// that neither identifies alone.
	KindBoth Kind = 'c'
	// KindPass is a one-time redelivery pass: a delivery with this ID is
	// accepted even if its content was handled.
	KindPass Kind = 'p'
	// KindPassUse is claimed while such a pass is used, so that only one of
	// several concurrent copies uses it.
	KindPassUse Kind = 'u'
)

// NewKey derives a key. Every part is hashed with its length, so that two
// different lists of parts never have the same input. secret is an identifier
// of the signing secret, never the secret itself.
func NewKey[Value string | []byte](namespace string, secret []byte, kind Kind, value Value) Key {
	var buf [256]byte // enough for most keys; append allocates for longer ones
	parts := appendPart(buf[:0], "verify_webhook key 1")
	parts = appendPart(parts, namespace)
	parts = appendPart(parts, secret)
	parts = appendPart(parts, string([]byte{byte(kind)}))
	parts = appendPart(parts, value)
	sum := sha256.Sum256(parts)
	return Key(sum[:KeySize])
}

// appendPart appends the length of a part and the part.
func appendPart[Part string | []byte](dst []byte, part Part) []byte {
	return append(binary.BigEndian.AppendUint64(dst, uint64(len(part))), part...)
}

// Keys are the keys of one delivery.
//
// Blocking keys identify the delivery. They are claimed all or none, and if one
// of them was handled, the delivery was handled. There are several while
// several secrets are configured.
//
// Notes are keys that do not identify a delivery, such as an unsigned ID, but
// describe one that was handled. They are written at commit and never block a
// claim.
type Keys struct {
	Blocking []Key
	Notes    []Key
}

// All returns the blocking keys, then the notes.
func (k Keys) All() []Key {
	all := make([]Key, 0, len(k.Blocking)+len(k.Notes))
	return append(append(all, k.Blocking...), k.Notes...)
}

// State is the state of one key in a store.
type State uint8

// The states of a key.
const (
	// Free: never seen, released, forgotten, or expired.
	Free State = iota
	// Claimed: a delivery with this key is in progress.
	Claimed
	// Handled: a delivery with this key was handled within its window.
	Handled
)

// String returns the state in lower case, as logs and the admin API show it.
func (s State) String() string {
	switch s {
	case Free:
		return "free"
	case Claimed:
		return "claimed"
	case Handled:
		return "handled"
	default:
		return "unknown"
	}
}

// Verdict is the result of an attempt to claim a delivery.
type Verdict uint8

// The verdicts.
const (
	// Ours: every blocking key was free and is now claimed by the caller.
	Ours Verdict = iota
	// Duplicate: the delivery was handled before.
	Duplicate
	// Replayed: the content was handled before, under another unsigned ID.
	Replayed
	// InProgress: another claim holds at least one of the blocking keys.
	InProgress
)

// Judge returns the verdict for a delivery from the states that its keys had
// before the attempt. Only a blocking key can stop a delivery. A handled note
// distinguishes a duplicate from a replay under another ID, and means nothing
// alone. Handled keys take precedence over claimed ones, because the delivery
// that claimed a key can still fail.
func Judge(blocking, notes []State) Verdict {
	switch {
	case slices.Contains(blocking, Handled):
		if len(notes) == 0 || slices.Contains(notes, Handled) {
			return Duplicate
		}
		return Replayed
	case slices.Contains(blocking, Claimed):
		return InProgress
	default:
		return Ours
	}
}

// Owner is the token of one claim. It is required to end or renew the claim, so
// that a late call by a former owner changes nothing.
type Owner [16]byte

// NewOwner returns a random token.
func NewOwner() Owner {
	var o Owner
	rand.Read(o[:]) // never fails (crypto/rand)
	return o
}

// Resolution is how a claim ended.
type Resolution struct {
	// State is Handled after a commit, Free after a release or an expired
	// lease, and Claimed if the wait ended before the claim did.
	State State
	// Status is the HTTP status of the app's response, 0 if unknown.
	Status int
}

// Errors that a Store returns. Any other error means that the store could not
// perform the operation, or that its result is unknown.
var (
	// ErrNotOwner: the claim has ended or belongs to another owner.
	ErrNotOwner = errors.New("claim is no longer held by this owner")
	// ErrFull: the store has reached its configured limit, and all handled keys
	// are still within their windows.
	ErrFull = errors.New("replay store is full")
	// ErrNoKeys: the delivery has no blocking keys, so it cannot be
	// distinguished from others.
	ErrNoKeys = errors.New("delivery has no blocking keys")
)

// Store stores claims and handled deliveries. Its methods are safe for
// concurrent use and honour ctx. Each one is atomic over all of its keys. The
// same holds for the optional interfaces [Lookuper], [Forgetter] and
// [StatsReporter].
//
// A store uses its own clock. If the store is in this process, steps of the
// wall clock must not affect it.
type Store interface {
	// Claim claims all blocking keys for owner until now+lease if all of them
	// are Free; otherwise it changes nothing. It returns the verdict of [Judge]
	// over the states before the call. It returns ErrFull if the new keys,
	// notes included, would exceed the store's limit. It can be retried with
	// the same owner after an error: a claim of the same owner counts as Free
	// and is renewed.
	Claim(ctx context.Context, keys Keys, owner Owner, lease time.Duration) (Verdict, error)

	// Renew extends the claim to now+lease. It returns ErrNotOwner if any of
	// the blocking keys is not claimed by owner.
	Renew(ctx context.Context, keys Keys, owner Owner, lease time.Duration) error

	// Commit turns the claim into Handled until now+window and writes the
	// notes. A note with a later expiry keeps it. When Commit returns, the
	// result is as durable as the store guarantees. status is that of the app's
	// response, for waiting copies. Commit returns ErrNotOwner, and changes
	// nothing, if any of the blocking keys is not claimed by owner. It can be
	// retried with the same owner after an error: if the first call succeeded,
	// so does the retry. If the store is short of memory, notes can be lost
	// without an error, because they never decide whether a delivery is
	// forwarded.
	Commit(ctx context.Context, keys Keys, owner Owner, window time.Duration, status int) error

	// Release frees every blocking key that owner holds. It leaves other keys
	// and the notes unchanged, without an error. status is that of the app's
	// response, 0 if there is none.
	Release(ctx context.Context, keys Keys, owner Owner, status int) error

	// Wait returns when none of the blocking keys is Claimed, or when ctx ends
	// (State Claimed, no error). If there are several resolutions, it returns
	// the one of the first key in keys.Blocking. The status is set if the store
	// still has it.
	Wait(ctx context.Context, keys Keys) (Resolution, error)
}

// Lookuper is implemented by stores that can look keys up. Without it, delivery
// IDs cannot be looked up and there are no redelivery passes.
type Lookuper interface {
	// Lookup returns the state of every key, in the order given.
	Lookup(ctx context.Context, keys []Key) ([]State, error)
}

// Forgetter is implemented by stores that can forget handled keys. Without it,
// a handled delivery cannot be accepted a second time.
type Forgetter interface {
	// Forget frees every key that is Handled and returns how many it freed. It
	// does not change claims.
	Forget(ctx context.Context, keys []Key) (int, error)
}

// StatsReporter is implemented by stores that have metrics.
type StatsReporter interface {
	// Stats returns the counts of the store. It is cheap.
	Stats() Stats
}

// Stats are the counts of a store.
type Stats struct {
	// Remembered is the number of handled keys, -1 if unknown. Keys whose
	// window has passed may still count for a while.
	Remembered int64
	// Claimed is the number of keys that are claimed now, -1 if unknown.
	Claimed int64
	// Capacity is the maximum number of keys, 0 for no limit, -1 if unknown.
	Capacity int64
}
