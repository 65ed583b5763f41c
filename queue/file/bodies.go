package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"

	"github.com/verify-webhook/caddy-verify-webhook/internal/boltfile"
	"github.com/verify-webhook/caddy-verify-webhook/queue"
	"github.com/verify-webhook/caddy-verify-webhook/queue/internal/record"
)

// maxInline is the largest body that is stored in the bbolt file.
const maxInline = 64 << 10

// bodies are the files of large bodies. A file is complete and durable before
// the transaction that refers to it begins, and is removed after the
// transaction that no longer refers to it. So a crash can leave unreferenced
// files, but never an entry without its body.
type bodies struct {
	dir     string
	file    *boltfile.Writer
	process string // prefix of the file names of this process
	count   atomic.Uint64

	closing chan struct{}
	running sync.WaitGroup
}

// openBodies opens the folder and starts to remove unreferenced files.
func openBodies(dir string, file *boltfile.Writer) (*bodies, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := boltfile.SyncDir(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	b := &bodies{dir: dir, file: file, process: randomName() + "-", closing: make(chan struct{})}
	handle, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	b.running.Go(func() { b.tidy(handle) })
	return b, nil
}

func (b *bodies) close() {
	select {
	case <-b.closing:
	default:
		close(b.closing)
	}
	b.running.Wait()
}

// tidy removes files of earlier processes, a part of the folder at a time.
func (b *bodies) tidy(folder *os.File) {
	defer folder.Close()
	for {
		names, err := folder.Readdirnames(256)
		for _, name := range names {
			select {
			case <-b.closing:
				return
			default:
			}
			if !strings.HasPrefix(name, b.process) {
				b.abandon(name)
			}
		}
		if err != nil {
			return
		}
	}
}

// stored is a body that is ready for a transaction.
type stored struct {
	inline []byte
	file   string
	sum    uint32
}

// take stores the body of a new entry.
func (b *bodies) take(put *queue.Put) (stored, error) {
	if put.BodySize <= maxInline {
		body, err := record.ReadBody(put.Body, put.BodySize)
		return stored{inline: body, sum: record.Sum(body)}, err
	}
	name := b.process + strconv.FormatUint(b.count.Add(1), 36)
	sum, err := b.writeFile(name, put)
	if err != nil {
		b.remove(name)
		return stored{}, fmt.Errorf("storing a body: %w", err)
	}
	return stored{file: name, sum: sum}, nil
}

func (b *bodies) writeFile(name string, put *queue.Put) (sum uint32, err error) {
	f, err := os.OpenFile(b.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	sum, err = record.CopyBody(f, put.Body, put.BodySize)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	return sum, boltfile.SyncDir(b.dir)
}

func (b *bodies) path(name string) string { return filepath.Join(b.dir, name) }

// remove deletes an unreferenced file. If that fails, a later process deletes
// it.
func (b *bodies) remove(name string) {
	if name != "" {
		_ = os.Remove(b.path(name))
	}
}

// abandon deletes a file unless an entry refers to it: a failed write may have
// reached the disk.
func (b *bodies) abandon(name string) {
	if name == "" {
		return
	}
	err := b.file.View(func(tx *bolt.Tx) error {
		if key, _ := tx.Bucket(bodiesBucket).Cursor().Seek([]byte(name)); string(key) == name {
			return fs.ErrExist
		}
		return nil
	})
	if err == nil {
		b.remove(name)
	}
}

// body returns the body of an entry. inline is valid during the transaction.
func (b *bodies) body(m *meta, inline []byte) (queue.Body, error) {
	if m.file != "" {
		return fileBody{path: b.path(m.file), size: m.bodySize, sum: m.sum}, nil
	}
	if int64(len(inline)) != m.bodySize || record.Sum(inline) != m.sum {
		return nil, fmt.Errorf("%w: body checksum mismatch", queue.ErrDamaged)
	}
	return record.Memory(append([]byte(nil), inline...)), nil
}

type fileBody struct {
	path string
	size int64
	sum  uint32
}

// Size implements [queue.Body].
func (b fileBody) Size() int64 { return b.size }

// Open implements [queue.Body].
func (b fileBody) Open(context.Context) (io.ReadCloser, error) {
	f, err := os.Open(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: missing body file: %w", queue.ErrDamaged, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
	}
	return record.Checked(f, b.size, b.sum), nil
}
