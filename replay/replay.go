// Package replay remembers which deliveries are being handled and which have
// been, so that one delivery reaches the app once.
//
// A delivery is identified by its [Keys]. A [Store] claims the blocking ones all
// or none; the owner of the claim commits it when the app has succeeded, which
// makes the keys "handled" for a window, or releases it when the app has
// failed, which makes them free again. A claim that is neither committed nor
// released expires with its lease. The package does not know signatures or
// HTTP servers.
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

// KeySize is the length of a [Key] in bytes. 128 bits of a SHA-256 digest
// leave an accidental collision among 10^10 keys at odds of 1 to 10^19; nobody
// can search for one without the secret that signs deliveries.
const KeySize = 16

// Key names one property (an ID or a digest) of one delivery.
type Key [KeySize]byte

// String returns the key in unpadded URL-safe base64. It reveals nothing of
// what was hashed.
func (k Key) String() string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// Kind says what a key is made of, so that an ID which looks like a digest is
// still another key.
type Kind byte

// The kinds of key.
const (
	// KindID is a delivery ID.
	KindID Kind = 'i'
	// KindContent is a digest of the signed content.
	KindContent Kind = 'd'
	// KindBoth is a digest of delivery ID and content together, where
	// neither alone identifies a delivery.
	KindBoth Kind = 'c'
	// KindPass is a one-time redelivery pass: a delivery with this ID is
	// accepted although its content was handled.
	KindPass Kind = 'p'
	// KindPassUse is claimed while such a pass is used, so that one of
	// several concurrent copies uses it.
	KindPassUse Kind = 'u'
)

// NewKey derives a key. Every part goes in with its length, so that no two
// different lists of parts are ever hashed alike. secret is an identity of the
// secret that signed, never the secret itself.
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
// Blocking keys identify it: they are claimed all or none, and one that was
// handled means that the delivery was. There is more than one while several
// secrets are configured.
//
// Notes are keys that do not identify a delivery (an unsigned ID), but say
// something about one that was handled. They are written at commit and never
// block a claim.
type Keys struct {
	Blocking []Key
	Notes    []Key
}

// All returns the blocking keys, then the notes.
func (k Keys) All() []Key {
	all := make([]Key, 0, len(k.Blocking)+len(k.Notes))
	return append(append(all, k.Blocking...), k.Notes...)
}

// State is what a store knows of one key.
type State uint8

// The states of a key.
const (
	// Free: never seen, released, or forgotten after its window or lease.
	Free State = iota
	// Claimed: a delivery with this key is being handled at this moment.
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

// Judge turns the states of a delivery's keys, as they were before the
// attempt, into a verdict. Only a blocking key can stop a delivery; a note
// that was handled distinguishes a duplicate from a replay under another ID,
// and means nothing alone. A key that is claimed comes last: the delivery
// that holds it may still fail.
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

// Owner is the token of one claim. Whoever ends or renews a claim shows it, so
// that a former owner, late, changes nothing.
type Owner [16]byte

// NewOwner returns a random token.
func NewOwner() Owner {
	var o Owner
	rand.Read(o[:]) // never fails (crypto/rand)
	return o
}

// Resolution says how a claim ended.
type Resolution struct {
	// State is Handled after a commit, Free after a release or when the
	// lease ran out, Claimed if the wait ended before the claim did.
	State State
	// Status is the HTTP status that the app answered with, 0 if unknown.
	Status int
}

// Errors that a Store returns. Any other error means that the store could not
// do what was asked, or cannot say whether it did.
var (
	// ErrNotOwner: the claim has ended or is held by somebody else now.
	ErrNotOwner = errors.New("claim is not held by this owner any more")
	// ErrFull: the store is at its configured limit and forgets nothing
	// that its window still covers.
	ErrFull = errors.New("replay store is full")
	// ErrNoKeys: the delivery has no blocking keys, so nothing could tell it
	// from any other.
	ErrNoKeys = errors.New("delivery has no blocking keys")
)

// Store keeps claims and handled deliveries. Its methods are safe for
// concurrent use, honour ctx, and each is atomic over all keys given. So are
// those of the interfaces that a store may implement as well: [Lookuper],
// [Forgetter] and [StatsReporter].
//
// Stores read the time from a clock of their own, which must survive steps of
// the wall clock where the store lives in this process.
type Store interface {
	// Claim claims all blocking keys for owner until now+lease, if every one
	// of them is Free; otherwise it changes nothing. It returns the verdict
	// of [Judge] over the states that it found. ErrFull if the new keys,
	// notes included, would exceed the store's limit. Called again after an
	// error, with the same owner, it may find its own work done: a claim of
	// the same owner counts as Free and is renewed.
	Claim(ctx context.Context, keys Keys, owner Owner, lease time.Duration) (Verdict, error)

	// Renew makes the claim live until now+lease. ErrNotOwner if any of the
	// blocking keys is not claimed by owner.
	Renew(ctx context.Context, keys Keys, owner Owner, lease time.Duration) error

	// Commit turns the claim into Handled, remembered until now+window, and
	// writes the notes; a note that is remembered for longer already stays
	// so. On return it is as durable as the store promises. status is the
	// app's, for copies that wait. ErrNotOwner if any of the blocking keys is
	// not claimed by owner; then nothing has changed. Called again after an
	// error, with the same owner, it may find its own work done: that is
	// success. Notes may be lost without an error where the store is short
	// of memory, as they never decide whether a delivery is forwarded.
	Commit(ctx context.Context, keys Keys, owner Owner, window time.Duration, status int) error

	// Release frees every blocking key that owner still holds; others, and
	// the notes, it leaves alone, without an error. status is the app's, 0
	// if there is none.
	Release(ctx context.Context, keys Keys, owner Owner, status int) error

	// Wait returns when none of the blocking keys is Claimed any more, at
	// once if none is, or when ctx ends (State Claimed, no error). Of several
	// resolutions it returns the one that comes first in keys.Blocking. The
	// status is set if the store still knows it.
	Wait(ctx context.Context, keys Keys) (Resolution, error)
}

// Lookuper is implemented by stores that can look keys up. Without it nothing
// can be asked about a delivery ID, and there are no redelivery passes.
type Lookuper interface {
	// Lookup returns the state of every key, in the order given.
	Lookup(ctx context.Context, keys []Key) ([]State, error)
}

// Forgetter is implemented by stores that can forget handled keys. Without it
// no handled delivery can be made acceptable again.
type Forgetter interface {
	// Forget makes every key Free that is Handled and returns how many were.
	// It does not touch claims.
	Forget(ctx context.Context, keys []Key) (int, error)
}

// StatsReporter is implemented by stores that have metrics.
type StatsReporter interface {
	// Stats returns what the store holds, cheaply.
	Stats() Stats
}

// Stats is what a store holds.
type Stats struct {
	// Remembered is the number of handled keys, -1 if the store does not
	// know. Keys whose window has passed may still count for a while.
	Remembered int64
	// Claimed is the number of keys that are claimed now, -1 if unknown.
	Claimed int64
	// Capacity is the most keys that the store will hold, 0 for no limit, -1
	// if unknown.
	Capacity int64
}
