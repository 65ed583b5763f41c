package file

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/verify-webhook/caddy-verify-webhook/internal/boltfile"
	"github.com/verify-webhook/caddy-verify-webhook/replay/internal/ledger"
)

// Open opens the file, or creates it if it does not exist, and reads the
// handled keys into memory. It never replaces a file that it cannot read.
func Open(o Options) (*Store, error) {
	if o.LockTimeout <= 0 {
		o.LockTimeout = DefaultLockTimeout
	}
	if o.wall == nil {
		o.wall = time.Now
	}
	s := &Store{
		ledger:  ledger.New(o.MaxEntries, unixSecond(o.wall())),
		wall:    o.wall,
		wake:    make(chan struct{}, 1),
		stopped: make(chan struct{}),
		oldest:  noPeriod,
	}
	var err error
	s.db, err = boltfile.Open(boltfile.Options{
		Path: o.Path, LockTimeout: o.LockTimeout, Kind: "replay file", Format: formatVersion, Load: s.load,
		Loss:   "deliveries that were handled before can then be replayed",
		Impact: "deliveries are rejected until it can be written",
	})
	if err != nil {
		return nil, err
	}
	go s.write()
	return s, nil
}

// load reads the file into the ledger.
func (s *Store) load(tx *bolt.Tx, handle *os.File) error {
	if err := readAhead(handle, tx.Size()); err != nil {
		return err
	}
	periods, expected, err := s.survey(tx)
	if err != nil {
		return err
	}
	loader := s.ledger.NewLoader(expected)
	defer loader.Finish()
	for _, period := range periods {
		if err := loadPeriod(tx.Bucket(periodName(period)), loader); err != nil {
			return fmt.Errorf("%w, in period %d", err, period)
		}
	}
	return nil
}

// readAhead reads the file from beginning to end. bbolt maps it for random
// access, so that loading it from a cold disk would read one page at a time.
func readAhead(handle *os.File, size int64) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.NewSectionReader(handle, 0, size), make([]byte, 1<<20))
	return err
}

// survey returns the periods that are not over yet, and how many records they
// contain.
func (s *Store) survey(tx *bolt.Tx) (periods []uint32, records int, err error) {
	now := s.ledger.Now()
	cursor := tx.Cursor()
	for name, value := cursor.First(); name != nil; name, value = cursor.Next() {
		if bytes.Equal(name, boltfile.FormatBucket) {
			continue
		}
		period, ok := parsePeriodName(name)
		if !ok || value != nil {
			return nil, 0, fmt.Errorf("%w: unknown bucket %q", ErrDamaged, name)
		}
		s.oldest = min(s.oldest, period)
		if periodOver(period, now) {
			continue
		}
		periods = append(periods, period)
		chunks := tx.Bucket(name).Cursor()
		for key, value := chunks.First(); key != nil; key, value = chunks.Next() {
			records += len(value) / recordSize
		}
	}
	return periods, records, nil
}

func loadPeriod(bucket *bolt.Bucket, loader *ledger.Loader) error {
	forgotten, err := forgottenIn(bucket)
	if err != nil {
		return err
	}
	var records []record
	var kind byte
	count := uint64(0)
	cursor := bucket.Cursor()
	for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
		count++
		if !bytes.Equal(key, sequenceKey(count)) {
			return fmt.Errorf("%w: chunk %d is missing", ErrDamaged, count)
		}
		if kind, records, err = parseChunk(value, records); err != nil {
			return err
		}
		if kind != kindHandled {
			continue
		}
		for _, r := range records {
			if forgotten[r] < count {
				loader.Add(r.key, r.expiry)
			}
		}
	}
	if count != bucket.Sequence() {
		return fmt.Errorf("%w: %d of %d chunks are missing", ErrDamaged, bucket.Sequence()-count, bucket.Sequence())
	}
	return nil
}

// forgottenIn returns the records that were forgotten in a period, each with
// the number of the last chunk that cancels it. These cancel records of their
// own period only: another period can contain the same key with the expiry of
// an earlier or later commit.
func forgottenIn(bucket *bolt.Bucket) (map[record]uint64, error) {
	var forgotten map[record]uint64
	count := uint64(0)
	cursor := bucket.Cursor()
	for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
		count++
		if len(value) == 0 || value[0] != kindForgotten {
			continue
		}
		_, records, err := parseChunk(value, nil)
		if err != nil {
			return nil, err
		}
		if forgotten == nil {
			forgotten = map[record]uint64{}
		}
		for _, r := range records {
			forgotten[r] = count
		}
	}
	return forgotten, nil
}

// unixSecond returns the second of t on the scale of expiries.
func unixSecond(t time.Time) uint32 {
	return uint32(min(max(t.Unix(), 1), 1<<32-1))
}
