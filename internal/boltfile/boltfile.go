// Package boltfile opens and writes the bbolt files of this module. A [Writer]
// groups writes: concurrent writes share one transaction and its fsync, and a
// single write does not wait for others.
//
// A file that is damaged, or becomes unreadable while in use, results in an
// error, never a panic. bbolt itself panics, or accesses memory beyond the end
// of the file, when a damaged page misleads it.
package boltfile

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Errors of opening and using a file. Errors that wrap them have more details.
var (
	// ErrLocked: another process has the file open.
	ErrLocked = errors.New("already in use by another process")
	// ErrDamaged: the contents of the file are not what was written.
	ErrDamaged = errors.New("damaged")
	// ErrUnwritable: the last write failed and none has succeeded since.
	ErrUnwritable = errors.New("cannot be written")
	// ErrClosed: the file is closed.
	ErrClosed = errors.New("closed")
)

// Options are the settings of a [DB].
type Options struct {
	// Path is the file. It is created with mode 0600 if it does not exist,
	// and its folder with mode 0700.
	Path string
	// LockTimeout is how long Open waits for another process, or for a file of
	// this process that is closing, to unlock the file.
	LockTimeout time.Duration
	// Kind is the name of the file in messages, such as "replay file".
	Kind string
	// Format is stored in a new file. An existing file must have the same
	// format.
	Format string
	// Loss states what is lost if the operator moves a damaged file away.
	Loss string
	// Impact states, for the log, what happens while the file cannot be
	// written.
	Impact string
	// Load, if set, reads an existing file before Open returns. A panic in it
	// becomes [ErrDamaged].
	Load func(tx *bolt.Tx, handle *os.File) error
}

// DB is an open file. One goroutine at a time may write to it.
type DB struct {
	bolt       *bolt.DB
	options    Options
	logger     atomic.Pointer[slog.Logger]
	writeError atomic.Pointer[writeError]
	views      atomic.Uint64 // number of read transactions
}

// minFileSize is the size of a new bbolt file: four pages.
const minFileSize = 4 * 4096

var (
	// FormatBucket contains the format. Load also sees it among the buckets.
	FormatBucket = []byte("format")
	versionKey   = []byte("version")
	probeKey     = []byte("probe")
)

// Open opens the file, or creates it if it does not exist. It never replaces a
// file that it cannot read.
func Open(o Options) (*DB, error) {
	d := &DB{options: o}
	err := create(o)
	if err == nil {
		err = d.open()
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s %s: %w", o.Kind, o.Path, o.Explain(err))
	}
	return d, nil
}

func (d *DB) open() (err error) {
	var handle *os.File
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
		switch {
		case err == nil:
		case d.bolt != nil:
			_ = d.bolt.Close()
		case handle != nil: // bbolt closes it, unless it panics
			unlock(handle)
			_ = handle.Close()
		}
	}()
	d.bolt, err = bolt.Open(d.options.Path, 0o600, &bolt.Options{
		Timeout:        d.options.LockTimeout,
		FreelistType:   bolt.FreelistMapType,
		NoFreelistSync: false, // changed by chooseFreelistSync
		OpenFile: func(path string, flag int, mode os.FileMode) (*os.File, error) {
			opened, err := os.OpenFile(path, flag&^os.O_CREATE, mode)
			if err != nil {
				return nil, err
			}
			handle = opened
			info, err := opened.Stat()
			if err != nil {
				return nil, err
			}
			if info.Size() < minFileSize { // bbolt would initialize an empty file
				return nil, fmt.Errorf("%w: the file has only %d bytes", ErrDamaged, info.Size())
			}
			return opened, nil
		},
	})
	if err != nil {
		return err
	}
	return d.bolt.View(func(tx *bolt.Tx) error {
		info, err := handle.Stat()
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return fmt.Errorf("%w: the file is truncated to %d of %d bytes", ErrDamaged, info.Size(), tx.Size())
		}
		if err := d.options.checkFormat(tx); err != nil || d.options.Load == nil {
			return err
		}
		return d.options.Load(tx, handle)
	})
}

func (o *Options) checkFormat(tx *bolt.Tx) error {
	bucket := tx.Bucket(FormatBucket)
	if bucket == nil {
		return fmt.Errorf("not a %s but another bbolt file; choose another path", o.Kind)
	}
	if v := bucket.Get(versionKey); string(v) != o.Format {
		return fmt.Errorf("unsupported format %q, expected %q; use the version that wrote it, or choose another path", v, o.Format)
	}
	return nil
}

// create creates a new file if none exists. It writes the file under another
// name and then links it, so that a crash never leaves an incomplete file.
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
	if err := initialise(temp.Name(), o); err != nil {
		return err
	}
	// Unlike a rename, a link never replaces a file that another process
	// created.
	if err := os.Link(temp.Name(), o.Path); err != nil && !errors.Is(err, fs.ErrExist) {
		if err := os.Rename(temp.Name(), o.Path); err != nil {
			return err
		}
	}
	return SyncDir(dir)
}

func initialise(path string, o Options) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: o.LockTimeout})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		bucket, err := tx.CreateBucket(FormatBucket)
		if err != nil {
			return err
		}
		return bucket.Put(versionKey, []byte(o.Format))
	})
	return errors.Join(err, db.Close())
}

// SyncDir makes a new name in dir durable if the system supports it.
func SyncDir(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = folder.Sync() // not supported on every system
	return folder.Close()
}

// Explain adds to an error of opening what to do about it.
func (o *Options) Explain(err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%w; use `caddy reload` to change the configuration of the running Caddy, or configure another path for this instance", ErrLocked)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	case readOnly(err):
		return fmt.Errorf("%w; the file and its folder must be writable by the user that runs Caddy, on a disk that is not read-only", err)
	case DiskFull(err):
		return fmt.Errorf("%w; free up space on its disk", err)
	}
	if errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%w; it is not replaced automatically: restore a backup, or move the file away to start with an empty one; %s", err, o.Loss)
	}
	return err
}

// SetLogger sets the logger that reports when the file becomes unwritable and
// when it can be written again. nil, the default, logs nothing.
func (d *DB) SetLogger(l *slog.Logger) { d.logger.Store(l) }

// unmapEvery is the number of read transactions after which the pages of the
// file are removed from the memory of this process. Reading a random key maps
// up to 64 KiB around it. Without this the process would seem to use as much
// memory as the size of the file. The pages remain in the system's cache.
const unmapEvery = 1024

// View runs a read transaction.
func (d *DB) View(do func(*bolt.Tx) error) (err error) {
	if d.Broken() {
		return d.writeError.Load().err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %w: %v", d.options.Kind, ErrDamaged, p)
		}
	}()
	err = d.bolt.View(func(tx *bolt.Tx) error {
		if d.views.Add(1)%unmapEvery == 0 {
			defer unmapPages(d.bolt.Info().Data, tx.Size()) // the transaction keeps the mapping in place
		}
		return do(tx)
	})
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return d.closedError()
	}
	return err
}

func (d *DB) closedError() error { return fmt.Errorf("%s is %w", d.options.Kind, ErrClosed) }

// WriteError returns the error of the last write, nil if it succeeded.
func (d *DB) WriteError() error {
	if t := d.writeError.Load(); t != nil {
		return t.err
	}
	return nil
}

// Bolt returns the underlying database, for tests.
func (d *DB) Bolt() *bolt.DB { return d.bolt }

// Close closes the file after its last write has ended. Later calls fail with
// [ErrClosed].
func (d *DB) Close() error {
	wasBroken := d.Broken()
	if !wasBroken && d.bolt.NoFreelistSync {
		d.bolt.NoFreelistSync = false // so that opening the file is fast
		_ = d.Update(func(*bolt.Tx) error { return nil })
	}
	d.writeError.Store(&writeError{err: d.closedError(), final: true})
	if wasBroken {
		return nil // bbolt may still hold its locks, and Close would block forever
	}
	if err := d.bolt.Close(); err != nil {
		return fmt.Errorf("closing %s: %w", d.options.Kind, err)
	}
	return nil
}
