package file

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
	"github.com/verify-webhook/caddy-verify-webhook/queue/internal/record"
)

// The file contains the buckets "clock" with the engine's clock, "bodies" with
// the names of the body files of entries, and "queues" with a bucket for each
// queue name. In that bucket, the key "counts" contains the counts, and these
// buckets are:
//
//	waiting  sequence          → meta
//	dead     sequence          → meta
//	payload  sequence          → the length of the request and the request, then the body unless it is a file
//	due      due, sequence     → nothing: waiting entries, in delivery order
//	deaths   died, sequence    → nothing: dead entries, in removal order
//	keys     key               → 'e' and the sequence of an entry, or 't' and the meta of a tombstone
//	tombs    until, key        → nothing: tombstones, in removal order
//
// An entry keeps its sequence number until it is removed, so that lists are in
// the order of acceptance. Sequences and times are big-endian with 8 bytes;
// times are milliseconds of the engine's clock. Every call reads and writes
// only a few pages, regardless of the size of the queue.
const formatVersion = "verify_webhook queue file 1"

var (
	queuesBucket = []byte("queues")
	bodiesBucket = []byte("bodies")
	clockBucket  = []byte("clock")
	clockKey     = []byte("now")

	countsKey = []byte("counts")
)

// The buckets of a queue, as indexes of shelf.buckets.
const (
	waiting = iota
	dead
	payload
	due
	deaths
	keys
	tombs
	bucketCount
)

var bucketNames = [bucketCount][]byte{[]byte("waiting"), []byte("dead"), []byte("payload"), []byte("due"), []byte("deaths"), []byte("keys"), []byte("tombs")}

const (
	entryMark     = 'e'
	tombstoneMark = 't'
)

// shelf is one queue in a transaction.
type shelf struct {
	tx      *bolt.Tx
	bucket  *bolt.Bucket
	buckets [bucketCount]*bolt.Bucket
	counts  counts
}

// openShelf opens a queue for writing, and creates it if it does not exist.
func openShelf(tx *bolt.Tx, name string) (*shelf, error) {
	if found, err := readShelf(tx, name); found != nil || err != nil {
		return found, err
	}
	bucket, err := tx.Bucket(queuesBucket).CreateBucket([]byte(name))
	if err != nil {
		return nil, err
	}
	for _, name := range bucketNames {
		if _, err := bucket.CreateBucket(name); err != nil {
			return nil, err
		}
	}
	return readShelf(tx, name)
}

// readShelf returns nil if the queue does not exist.
func readShelf(tx *bolt.Tx, name string) (*shelf, error) {
	s := &shelf{tx: tx, bucket: tx.Bucket(queuesBucket).Bucket([]byte(name))}
	if s.bucket == nil {
		return nil, nil
	}
	return s, s.counts.parse(s.bucket.Get(countsKey))
}

// in returns one of the buckets. Buckets with increasing keys are filled,
// because their keys are only appended.
func (s *shelf) in(bucket int) *bolt.Bucket {
	if s.buckets[bucket] == nil {
		b := s.bucket.Bucket(bucketNames[bucket])
		if bucket == waiting || bucket == payload || bucket == due {
			b.FillPercent = 0.9
		}
		s.buckets[bucket] = b
	}
	return s.buckets[bucket]
}

func (s *shelf) save() error { return s.bucket.Put(countsKey, s.counts.encode()) }

// state returns the state of the entry or tombstone that has the key, 0 if
// there is none.
func (s *shelf) state(key string, now int64) queue.State {
	if m, ok := s.tombstone(key); ok {
		if m.until() <= now {
			return 0
		}
		return m.state
	}
	sequence, ok := s.sequence(key)
	switch {
	case !ok:
		return 0
	case s.in(dead).Get(number(sequence)) != nil:
		return queue.Dead
	default:
		return queue.Waiting
	}
}

// tombstone returns the tombstone that has the key, which may have expired.
func (s *shelf) tombstone(key string) (m meta, ok bool) {
	value := s.in(keys).Get([]byte(key))
	if len(value) == 0 || value[0] != tombstoneMark {
		return meta{}, false
	}
	m, err := parseMeta(value[1:])
	return m, err == nil
}

// sequence returns the sequence number of the entry that has the key.
func (s *shelf) sequence(key string) (uint64, bool) {
	value := s.in(keys).Get([]byte(key))
	if len(value) != 9 || value[0] != entryMark {
		return 0, false
	}
	return binary.BigEndian.Uint64(value[1:]), true
}

// find returns the entry with a sequence number and its bucket: waiting or
// dead.
func (s *shelf) find(sequence uint64) (m meta, bucket int, err error) {
	for _, bucket := range []int{waiting, dead} {
		if value := s.in(bucket).Get(number(sequence)); value != nil {
			m, err := parseMeta(value)
			return m, bucket, err
		}
	}
	return meta{}, 0, queue.ErrNotFound
}

// add stores a new entry.
func (s *shelf) add(m *meta, request, body []byte) error {
	if old, ok := s.tombstone(m.key); ok { // expired
		if err := s.forget(&old); err != nil {
			return err
		}
	}
	sequence, err := s.in(waiting).NextSequence()
	if err != nil {
		return err
	}
	value := binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64+len(request)+len(body)), uint64(len(request)))
	value = append(append(value, request...), body...)
	if err := s.in(payload).Put(number(sequence), value); err != nil {
		return err
	}
	if err := s.in(keys).Put([]byte(m.key), append([]byte{entryMark}, number(sequence)...)); err != nil {
		return err
	}
	if m.file != "" {
		if err := s.tx.Bucket(bodiesBucket).Put([]byte(m.file), nil); err != nil {
			return err
		}
	}
	s.counts.bytes += m.size
	return s.enter(sequence, m)
}

// enter adds an entry to the buckets of its state; leave removes it from them.
func (s *shelf) enter(sequence uint64, m *meta) error {
	bucket, index, at := s.place(m, 1)
	if err := s.in(bucket).Put(number(sequence), m.encode()); err != nil {
		return err
	}
	return s.in(index).Put(pair(at, sequence), nil)
}

func (s *shelf) leave(sequence uint64, m *meta) error {
	bucket, index, at := s.place(m, -1)
	if err := s.in(bucket).Delete(number(sequence)); err != nil {
		return err
	}
	return s.in(index).Delete(pair(at, sequence))
}

// place returns the bucket of an entry and counts the entry.
func (s *shelf) place(m *meta, change int64) (bucket, index int, at int64) {
	if m.state == queue.Dead {
		s.counts.dead += change
		return dead, deaths, m.ended
	}
	s.counts.waiting += change
	return waiting, due, m.due
}

// move changes an entry.
func (s *shelf) move(sequence uint64, m *meta, change func(*meta)) error {
	if err := s.leave(sequence, m); err != nil {
		return err
	}
	change(m)
	return s.enter(sequence, m)
}

// remove deletes an entry with all its data except its body file, which the
// caller removes after the transaction.
func (s *shelf) remove(sequence uint64, m *meta) error {
	if err := s.leave(sequence, m); err != nil {
		return err
	}
	if err := s.in(payload).Delete(number(sequence)); err != nil {
		return err
	}
	if m.file != "" {
		if err := s.tx.Bucket(bodiesBucket).Delete([]byte(m.file)); err != nil {
			return err
		}
	}
	s.counts.bytes -= m.size
	return s.in(keys).Delete([]byte(m.key))
}

// bury removes an entry and leaves a tombstone, unless its key need not be
// remembered any longer.
func (s *shelf) bury(sequence uint64, m *meta, state queue.State, now int64, maxTombstones int64) error {
	if err := s.remove(sequence, m); err != nil {
		return err
	}
	if m.until() <= now {
		return nil
	}
	for s.counts.tombstones >= maxTombstones {
		if err := s.removeTombstone(); err != nil {
			return err
		}
	}
	tomb := *m
	tomb.state, tomb.ended, tomb.file = state, now, ""
	if err := s.in(keys).Put([]byte(m.key), append([]byte{tombstoneMark}, tomb.encode()...)); err != nil {
		return err
	}
	s.counts.tombstones++
	return s.in(tombs).Put(append(number(m.until()), m.key...), nil)
}

// forget removes a tombstone.
func (s *shelf) forget(m *meta) error {
	if err := s.in(keys).Delete([]byte(m.key)); err != nil {
		return err
	}
	s.counts.tombstones--
	return s.in(tombs).Delete(append(number(m.until()), m.key...))
}

// removeTombstone removes the tombstone that expires first.
func (s *shelf) removeTombstone() error {
	name, _ := s.in(tombs).Cursor().First()
	if name == nil {
		s.counts.tombstones = 0
		return nil
	}
	name = bytes.Clone(name)
	if err := s.in(keys).Delete(name[8:]); err != nil {
		return err
	}
	s.counts.tombstones--
	return s.in(tombs).Delete(name)
}

// payload returns the request and the body of an entry. They are valid during
// the transaction.
func (s *shelf) payload(sequence uint64) (request, body []byte, err error) {
	value := s.in(payload).Get(number(sequence))
	n, used := binary.Uvarint(value)
	if used <= 0 || n > uint64(len(value)-used) {
		return nil, nil, fmt.Errorf("%w: missing request of an entry", queue.ErrDamaged)
	}
	return value[used : used+int(n)], value[used+int(n):], nil
}

// number encodes a sequence number or a time.
func number[N int64 | uint64](n N) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func pair(at int64, sequence uint64) []byte {
	return binary.BigEndian.AppendUint64(number(at), sequence)
}

func parsePair(name []byte) (at int64, sequence uint64) {
	if len(name) != 16 {
		return math.MaxInt64, 0
	}
	return int64(binary.BigEndian.Uint64(name)), binary.BigEndian.Uint64(name[8:])
}

// counts are updated in the transactions that change what they count.
type counts struct {
	waiting, dead, tombstones, bytes int64
	maxTombstones                    int64 // set by the last put
	paused                           bool
}

func (c *counts) encode() []byte {
	b := make([]byte, 0, 48)
	for _, n := range []int64{c.waiting, c.dead, c.tombstones, c.bytes, c.maxTombstones} {
		b = record.AppendInt(b, n)
	}
	if c.paused {
		return append(b, 1)
	}
	return append(b, 0)
}

func (c *counts) parse(b []byte) error {
	if b == nil {
		return nil
	}
	d := record.NewDecoder(b)
	*c = counts{waiting: d.Int(), dead: d.Int(), tombstones: d.Int(), bytes: d.Int(), maxTombstones: d.Int(), paused: d.Uint() != 0}
	if !d.Done() {
		return fmt.Errorf("%w: cannot decode the counts of a queue", queue.ErrDamaged)
	}
	return nil
}

// room returns an error if a limit leaves no room for an entry of this size.
func (c *counts) room(limits *queue.Limits, size int64) error {
	if limits.MaxEntries > 0 && c.waiting+c.dead >= limits.MaxEntries {
		return &queue.FullError{What: queue.FullEntries, Limit: limits.MaxEntries}
	}
	if limits.MaxBytes > 0 && c.bytes+size > limits.MaxBytes {
		return &queue.FullError{What: queue.FullBytes, Limit: limits.MaxBytes}
	}
	c.maxTombstones = limits.MaxTombstones
	return nil
}

func (c *counts) tombstoneLimit() int64 {
	if c.maxTombstones <= 0 {
		return queue.DefaultMaxTombstones
	}
	return c.maxTombstones
}

func (c *counts) empty() bool { return c.waiting+c.dead+c.tombstones == 0 && !c.paused }

// meta is the part of an entry that changes, and the contents of a tombstone.
// Times are milliseconds of the engine's clock unless stated otherwise.
type meta struct {
	state              queue.State
	key                string
	accepted           int64 // by the wall clock
	put, since, due    int64
	ended              int64 // when it became dead, delivered or discarded
	remember           int64
	attempts, failures int
	status             int
	error              string
	at                 int64 // of the last attempt, by the wall clock; 0 before it
	bodySize, size     int64
	file               string // of the body; empty if the body is in the payload
	sum                uint32 // CRC-32C of the body
}

// until is when the tombstone of this entry expires.
func (m *meta) until() int64 { return m.put + m.remember }

func (m *meta) encode() []byte {
	b := make([]byte, 1, 96+len(m.key)+len(m.error)+len(m.file))
	b[0] = byte(m.state)
	b = record.AppendString(b, m.key)
	for _, n := range []int64{
		m.accepted, m.put, m.since, m.due, m.ended, m.remember, int64(m.attempts), int64(m.failures), int64(m.status), m.at, m.bodySize, m.size, int64(m.sum),
	} {
		b = record.AppendInt(b, n)
	}
	return record.AppendString(record.AppendString(b, m.error), m.file)
}

func parseMeta(b []byte) (meta, error) {
	d := record.NewDecoder(b)
	m := meta{
		state: queue.State(d.Uint()), key: d.String(),
		accepted: d.Int(), put: d.Int(), since: d.Int(), due: d.Int(), ended: d.Int(), remember: d.Int(),
		attempts: int(d.Int()), failures: int(d.Int()), status: int(d.Int()), at: d.Int(), bodySize: d.Int(), size: d.Int(), sum: uint32(d.Int()),
		error: d.String(), file: d.String(),
	}
	if !d.Done() || m.state < queue.Waiting || m.state > queue.Discarded {
		return meta{}, fmt.Errorf("%w: cannot decode an entry", queue.ErrDamaged)
	}
	return m, nil
}

// attempt records the result of an attempt.
func (m *meta) attempt(o *queue.Outcome, wall time.Time) {
	if !o.Uncounted {
		m.attempts++
		m.failures++
	}
	if o.Result.At.IsZero() {
		o.Result.At = wall
	}
	m.status, m.error, m.at = o.Result.Status, queue.Shorten(o.Result.Error), o.Result.At.UnixMilli()
}

// entry returns the queue.Entry of m, without the request.
func (m *meta) entry(name string, now int64) queue.Entry {
	e := queue.Entry{
		Queue: name, Key: m.key, State: m.state, BodySize: m.bodySize, Accepted: time.UnixMilli(m.accepted),
		Age: duration(max(now-m.put, 0)), RetryAge: duration(max(now-m.since, 0)), Attempts: m.attempts, Failures: m.failures,
		Last: queue.Result{Status: m.status, Error: m.error},
	}
	if m.state == queue.Waiting {
		e.DueIn = duration(m.due - now)
	}
	if m.at != 0 {
		e.Last.At = time.UnixMilli(m.at)
	}
	return e
}
