package boltfile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	// maxGroup bounds a transaction, maxPending what waits for the disk.
	maxGroup   = 1024
	maxPending = 1 << 16
	// probeEvery is how often a file that could not be written is tried.
	probeEvery = time.Second
)

// A Change is what one caller does in a transaction that it may share. If it
// returns refused, it must have changed nothing, and the transaction goes on
// without it. If it returns an error, the whole transaction fails.
type Change func(tx *bolt.Tx) (refused, err error)

// write is a change on its way to the disk.
type write struct {
	change  Change
	refused error
	done    chan error
}

// trouble is why the file cannot be written. It is final if no later write
// can succeed.
type trouble struct {
	err   error
	final bool
}

func (f *File) broken() bool {
	t := f.trouble.Load()
	return t != nil && t.final
}

// Write makes a change durable before it returns. If ctx ends first the change
// may still be made. after, if it is not nil, is called with the result before
// Write returns and, if ctx ends first, later.
func (f *File) Write(ctx context.Context, change Change, after func(error)) error {
	w := &write{change: change, done: make(chan error, 1)}
	if err := f.submit(w); err != nil {
		if after != nil {
			after(err)
		}
		return err
	}
	select {
	case err := <-w.done:
		if after != nil {
			after(err)
		}
		return err
	case <-ctx.Done():
		if after != nil {
			go func() { after(<-w.done) }()
		}
		return fmt.Errorf("waiting for the %s: %w", f.options.Kind, ctx.Err())
	}
}

// submit passes w to the writer.
func (f *File) submit(w *write) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return f.closedError()
	}
	if len(f.pending) >= maxPending {
		return fmt.Errorf("%s %w: %d writes wait for the disk", f.options.Kind, ErrUnwritable, len(f.pending))
	}
	f.pending = append(f.pending, w)
	f.signal()
	return nil
}

func (f *File) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// take returns the next group of writes, and whether the file is closed and
// there will be no more.
func (f *File) take() (group []*write, last bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(f.pending), maxGroup)
	group = f.pending[:n:n]
	f.pending = f.pending[n:]
	if len(f.pending) == 0 {
		f.pending = nil
	}
	return group, f.closed && n == 0
}

// write is the one goroutine that writes. While it is writing a group, the
// next one gathers.
func (f *File) write() {
	defer close(f.stopped)
	debug.SetPanicOnFault(true) // reading a mapped page may fail
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	for {
		gather()
		group, last := f.take()
		if last {
			return
		}
		if len(group) > 0 {
			f.commit(group)
			continue
		}
		if f.trouble.Load() == nil {
			probe.Stop()
		} else {
			probe.Reset(probeEvery)
		}
		select {
		case <-f.wake:
		case <-probe.C:
			f.probe()
		}
	}
}

// gather lets other goroutines run before the next group is taken. On busy
// cores some of them have a write to share the fsync; on idle ones there are
// none, and a lone write loses no time. Once is for those that the last group
// has woken, twice for those that waited behind them.
func gather() {
	runtime.Gosched()
	runtime.Gosched()
}

func (f *File) commit(group []*write) {
	err := f.update(func(tx *bolt.Tx) error {
		for _, w := range group {
			var err error
			if w.refused, err = w.change(tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, w := range group {
		if err == nil {
			w.done <- w.refused
		} else {
			w.done <- err
		}
	}
}

// probe tries whether the file can be written again.
func (f *File) probe() {
	_ = f.update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(formatBucket)
		n, err := bucket.NextSequence()
		if err != nil {
			return err
		}
		return bucket.Put(probeKey, fmt.Append(nil, n))
	})
}

// update runs a transaction and records whether the file can be written.
func (f *File) update(do func(*bolt.Tx) error) error {
	if f.broken() {
		return f.trouble.Load().err
	}
	err, final := f.tryUpdate(do)
	if err == nil {
		if f.trouble.Swap(nil) != nil {
			f.log(slog.LevelInfo, f.options.Kind+" can be written again")
		}
		return nil
	}
	err = fmt.Errorf("%s %w: %w", f.options.Kind, ErrUnwritable, err)
	if DiskFull(err) {
		err = fmt.Errorf("%w; free some space on its disk", err)
	}
	if f.trouble.Swap(&trouble{err, final}) == nil {
		f.log(slog.LevelError, f.options.Kind+" cannot be written; "+f.options.Impact, slog.Any("error", err))
	}
	return err
}

// tryUpdate turns a panic of bbolt, which means a damaged page or a disk that
// cannot be read, into a final error.
func (f *File) tryUpdate(do func(*bolt.Tx) error) (err error, final bool) { //nolint:revive // the error is the result, final describes it
	defer func() {
		if p := recover(); p != nil {
			err, final = fmt.Errorf("%w: %v", ErrDamaged, p), true
		}
	}()
	f.chooseFreelistSync()
	err = f.db.Update(do)
	return err, errors.Is(err, bolterrors.ErrInvalidMapping)
}

const (
	// manyFree is how many free pages make a list of 32 KiB.
	manyFree = 4096
	// fewUsed is how many pages, of 256 MiB, are read in less than a second.
	fewUsed = 1 << 16
)

// chooseFreelistSync leaves the list of free pages out of the next transaction
// if writing it would cost more than the transaction itself: when a file has
// been much larger than it is now. Opening the file after a crash then reads
// all pages that are in use, so this must be few.
func (f *File) chooseFreelistSync() {
	stats := f.db.Stats()
	free := stats.FreePageN + stats.PendingPageN
	if free < manyFree {
		f.db.NoFreelistSync = false
		return
	}
	info, err := os.Stat(f.options.Path)
	used := int64(1 << 62)
	if err == nil {
		used = info.Size()/int64(f.db.Info().PageSize) - int64(free)
	}
	f.db.NoFreelistSync = used < fewUsed
}

func (f *File) log(level slog.Level, message string, attrs ...slog.Attr) {
	if l := f.logger.Load(); l != nil {
		l.LogAttrs(context.Background(), level, message, append(attrs, slog.String("path", f.options.Path))...)
	}
}
