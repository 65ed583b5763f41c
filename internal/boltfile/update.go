package boltfile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ProbeEvery is how often to retry writing to an unwritable file.
const ProbeEvery = time.Second

// writeError is the error that makes the file unwritable. It is final if no later
// write can succeed.
type writeError struct {
	err   error
	final bool
}

// Broken reports whether no later write can succeed.
func (d *DB) Broken() bool {
	t := d.writeError.Load()
	return t != nil && t.final
}

// Probe checks whether the file can be written again.
func (d *DB) Probe() {
	_ = d.Update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(FormatBucket)
		n, err := bucket.NextSequence()
		if err != nil {
			return err
		}
		return bucket.Put(probeKey, fmt.Append(nil, n))
	})
}

// Update runs a transaction and records whether the file can be written.
func (d *DB) Update(do func(*bolt.Tx) error) error {
	if d.Broken() {
		return d.writeError.Load().err
	}
	err, final := d.tryUpdate(do)
	if err == nil {
		if d.writeError.Swap(nil) != nil {
			d.log(slog.LevelInfo, d.options.Kind+" can be written again")
		}
		return nil
	}
	err = fmt.Errorf("%s %w: %w", d.options.Kind, ErrUnwritable, err)
	if DiskFull(err) {
		err = fmt.Errorf("%w; free up space on its disk", err)
	}
	if d.writeError.Swap(&writeError{err, final}) == nil {
		d.log(slog.LevelError, d.options.Kind+" cannot be written; "+d.options.Impact, slog.Any("error", err))
	}
	return err
}

// tryUpdate converts a panic of bbolt, which means a damaged page or an
// unreadable disk, to a final error.
func (d *DB) tryUpdate(do func(*bolt.Tx) error) (err error, final bool) {
	defer func() {
		if p := recover(); p != nil {
			err, final = fmt.Errorf("%w: %v", ErrDamaged, p), true
		}
	}()
	d.chooseFreelistSync()
	err = d.bolt.Update(do)
	return err, errors.Is(err, bolterrors.ErrInvalidMapping)
}

const (
	// manyFree is the number of free pages at which their list has 32 KiB.
	manyFree = 4096
	// fewUsed is the number of pages, 256 MiB, that are read in less than a
	// second.
	fewUsed = 1 << 16
)

// chooseFreelistSync omits the list of free pages from the next transaction if
// writing it would cost more than the transaction itself, which is the case
// when a file was once much larger. Opening the file after a crash then reads
// all used pages, so there must be few of them.
func (d *DB) chooseFreelistSync() {
	stats := d.bolt.Stats()
	free := stats.FreePageN + stats.PendingPageN
	if free < manyFree {
		d.bolt.NoFreelistSync = false
		return
	}
	info, err := os.Stat(d.options.Path)
	used := int64(1 << 62)
	if err == nil {
		used = info.Size()/int64(d.bolt.Info().PageSize) - int64(free)
	}
	d.bolt.NoFreelistSync = used < fewUsed
}

func (d *DB) log(level slog.Level, message string, attrs ...slog.Attr) {
	if l := d.logger.Load(); l != nil {
		l.LogAttrs(context.Background(), level, message, append(attrs, slog.String("path", d.options.Path))...)
	}
}
