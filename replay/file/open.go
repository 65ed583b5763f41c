package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/verify-webhook/caddy-verify-webhook/replay/internal/ledger"
)

// Open opens the file, or creates it if there is none, and reads what is
// handled into memory. It never replaces a file that it cannot read.
func Open(o Options) (*Store, error) {
	if o.LockTimeout <= 0 {
		o.LockTimeout = DefaultLockTimeout
	}
	if o.wall == nil {
		o.wall = time.Now
	}
	s, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("opening replay file %s: %w", o.Path, explain(err))
	}
	return s, nil
}

func open(o Options) (*Store, error) {
	if err := create(o); err != nil {
		return nil, err
	}
	s := &Store{
		ledger:  ledger.New(o.MaxEntries, unixSecond(o.wall())),
		wall:    o.wall,
		wake:    make(chan struct{}, 1),
		stopped: make(chan struct{}),
		oldest:  noPeriod,
	}
	if err := s.openFile(o); err != nil {
		return nil, err
	}
	go s.write()
	return s, nil
}

// minFileSize is what bbolt makes of a new file: four pages.
const minFileSize = 4 * 4096

// openFile opens the existing file and loads it. bbolt panics, or touches
// memory beyond the end of the file, where a damaged page leads it astray.
func (s *Store) openFile(o Options) (err error) {
	var handle *os.File
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
		switch {
		case err == nil:
		case s.db != nil:
			_ = s.db.Close()
		case handle != nil: // bbolt has closed it, unless it panicked
			unlock(handle)
			_ = handle.Close()
		}
	}()
	s.db, err = bolt.Open(o.Path, 0o600, &bolt.Options{
		Timeout:        o.LockTimeout,
		FreelistType:   bolt.FreelistMapType,
		NoStatistics:   true,
		NoFreelistSync: false, // without it, opening and rolling back visit every page
		OpenFile: func(path string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(path, flag&^os.O_CREATE, mode) //nolint:gosec // the path is the operator's own setting
			if err != nil {
				return nil, err
			}
			handle = f
			info, err := f.Stat()
			if err != nil {
				return nil, err
			}
			if info.Size() < minFileSize { // bbolt would take an empty one for new
				return nil, fmt.Errorf("%w: the file has only %d bytes", ErrDamaged, info.Size())
			}
			return f, nil
		},
	})
	if err != nil {
		return err
	}
	return s.db.View(func(tx *bolt.Tx) error { return s.load(tx, handle) })
}

// load checks the file and reads it into the ledger.
func (s *Store) load(tx *bolt.Tx, handle *os.File) error {
	info, err := handle.Stat()
	if err != nil {
		return err
	}
	if info.Size() < tx.Size() {
		return fmt.Errorf("%w: the file ends after %d of %d bytes", ErrDamaged, info.Size(), tx.Size())
	}
	if err := checkVersion(tx); err != nil {
		return err
	}
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

// readAhead reads the file from beginning to end: bbolt maps it for random
// access, so that loading it from a cold disk would fetch page after page.
func readAhead(handle *os.File, size int64) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.NewSectionReader(handle, 0, size), make([]byte, 1<<20))
	return err
}

// survey returns the periods that are not over yet, and how many records they
// hold.
func (s *Store) survey(tx *bolt.Tx) (periods []uint32, records int, err error) {
	now := s.ledger.Now()
	cursor := tx.Cursor()
	for name, value := cursor.First(); name != nil; name, value = cursor.Next() {
		if bytes.Equal(name, formatBucket) {
			continue
		}
		period, ok := parsePeriodName(name)
		if !ok || value != nil {
			return nil, 0, fmt.Errorf("%w: it has an unknown bucket %q", ErrDamaged, name)
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
// the number of the last chunk that says so. They undo records of their own
// period only: the same key may be in another, with the expiry of a commit
// before or after.
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

func checkVersion(tx *bolt.Tx) error {
	bucket := tx.Bucket(formatBucket)
	if bucket == nil {
		return errors.New("this is not a replay file but another bbolt file; choose another path")
	}
	if v := bucket.Get(versionKey); string(v) != formatVersion {
		return fmt.Errorf("its format is %q, this version of Caddy's verify_webhook reads %q; use the version that wrote it, or choose another path", v, formatVersion)
	}
	return nil
}

// create makes a new file if there is none. It is made under another name and
// then linked, so that a crash never leaves a file that is half made: an
// empty or short one is damaged.
func create(o Options) error {
	if _, err := os.Stat(o.Path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(o.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, "."+filepath.Base(o.Path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	if err := temp.Close(); err != nil {
		return err
	}
	if err := initialise(temp.Name(), o.LockTimeout); err != nil {
		return err
	}
	// Unlike a rename, a link never replaces what another process made.
	if err := os.Link(temp.Name(), o.Path); err != nil && !errors.Is(err, fs.ErrExist) {
		if err := os.Rename(temp.Name(), o.Path); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

func initialise(path string, timeout time.Duration) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: timeout})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		bucket, err := tx.CreateBucket(formatBucket)
		if err != nil {
			return err
		}
		return bucket.Put(versionKey, []byte(formatVersion))
	})
	return errors.Join(err, db.Close())
}

// syncDir makes a new name in dir durable, where the system can.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the path is the operator's own setting
	if err != nil {
		return err
	}
	_ = d.Sync() // not every system can
	return d.Close()
}

// explain says what to do about an error of opening.
func explain(err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%w; use `caddy reload` to change the configuration of the Caddy that runs, or give this instance a path of its own", ErrLocked)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	case readOnly(err):
		return fmt.Errorf("%w; the file and its folder must be writable for the user that runs Caddy, on a disk that is not read-only", err)
	case diskFull(err):
		return fmt.Errorf("%w; free some space on its disk", err)
	}
	if errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%w; what it remembered cannot be trusted, and it is not replaced without you: restore it, or move it away to start afresh, knowing that deliveries handled before can then be replayed", err)
	}
	return err
}

// unixSecond returns the second of t on the scale of expiries.
func unixSecond(t time.Time) uint32 {
	return uint32(min(max(t.Unix(), 1), 1<<32-1))
}
