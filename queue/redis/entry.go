package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
	"github.com/verify-webhook/caddy-verify-webhook/queue/internal/record"
)

// The fields of an entry that are read, and their positions in the response.
var (
	metaFields = []string{"acc", "put", "since", "due", "att", "fail", "st", "err", "at", "bs"}
	allFields  = append(slices.Clip(metaFields), "r", "b", "bk", "sum")
)

const (
	accepted = iota
	put
	since
	due
	attempts
	failures
	status
	errorText
	at
	bodySize
	request
	inlineBody
	bodyName
	bodySum
	fieldCount
)

// entryOf returns the queue.Entry, without its request.
func entryOf(name, key string, state queue.State, now int64, f []rueidis.RedisMessage) queue.Entry {
	if len(f) < request {
		return queue.Entry{Queue: name, Key: key, State: state}
	}
	ago := func(ms int64) time.Duration { return max(duration(now-ms), 0) }
	text, _ := f[errorText].ToString()
	e := queue.Entry{
		Queue: name, Key: key, State: state, BodySize: integer(f[bodySize]), Accepted: time.UnixMilli(integer(f[accepted])),
		Age: ago(integer(f[put])), RetryAge: ago(integer(f[since])), Attempts: int(integer(f[attempts])), Failures: int(integer(f[failures])),
		Last: queue.Result{Status: int(integer(f[status])), Error: queue.Shorten(text)},
	}
	if state == queue.Waiting || state == queue.InFlight {
		e.DueIn = duration(integer(f[due]) - now)
	}
	if ms := integer(f[at]); ms != 0 {
		e.Last.At = time.UnixMilli(ms)
	}
	return e
}

func duration(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// read returns an entry with its request and its body. If a part is unreadable,
// it returns the rest and an error.
func (s *Store) read(name, key string, state queue.State, now int64, f []rueidis.RedisMessage) (queue.Lease, error) {
	l := queue.Lease{Entry: entryOf(name, key, state, now, f)}
	if state == queue.Delivered || state == queue.Discarded {
		return l, nil
	}
	if len(f) != fieldCount {
		return l, errUnreadable
	}
	stored, _ := f[request].ToString()
	var err error
	l.Entry.Request, err = record.Decode([]byte(stored))
	body, bodyErr := s.body(name, l.Entry.BodySize, f)
	if bodyErr == nil {
		l.Body = body
	}
	return l, errors.Join(err, bodyErr)
}

func (s *Store) body(name string, size int64, f []rueidis.RedisMessage) (queue.Body, error) {
	sum := uint32(integer(f[bodySum]))
	if key, _ := f[bodyName].ToString(); key != "" {
		return &largeBody{store: s, key: s.bodyKey(name, key), size: size, sum: sum}, nil
	}
	inline, _ := f[inlineBody].ToString()
	body := record.Memory(inline)
	if body.Size() != size || record.Sum(body) != sum {
		return nil, fmt.Errorf("%w: body checksum mismatch", queue.ErrDamaged)
	}
	return body, nil
}

const (
	// maxInline is the maximum size of a body that is stored in the hash of its
	// entry.
	maxInline = 64 << 10
	// bodyPart is the number of bytes of a large body written or read per call.
	bodyPart = 256 << 10
	// bodyLife is the lifetime of a large body without an entry.
	bodyLife = 10 * time.Minute
)

// stored is a body that is ready to be put with its entry.
type stored struct {
	inline []byte
	name   string
	sum    uint32
}

func (s *Store) bodyKey(name, body string) string { return s.tag(name) + ":b:" + body }

// storeBody writes a large body under a key that expires unless its entry is
// put, so that a crash leaves no data behind.
func (s *Store) storeBody(ctx context.Context, put *queue.Put) (stored, error) {
	if put.BodySize <= maxInline {
		body, err := record.ReadBody(put.Body, put.BodySize)
		return stored{inline: body, sum: record.Sum(body)}, err
	}
	name := queue.NewKey()
	w := &bodyWriter{ctx: ctx, store: s, key: s.bodyKey(put.Queue, name)}
	sum, err := record.CopyBody(w, put.Body, put.BodySize)
	if err == nil {
		err = w.flush()
	}
	if err != nil {
		s.dropBody(ctx, put.Queue, name)
		return stored{}, err
	}
	return stored{name: name, sum: sum}, nil
}

// dropBody removes a large body. If that fails, the body expires.
func (s *Store) dropBody(ctx context.Context, queue, name string) {
	if name == "" {
		return
	}
	key := s.bodyKey(queue, name)
	_ = s.client.Do(ctx, func(ctx context.Context, c rueidis.Client) rueidis.RedisResult {
		return c.Do(ctx, c.B().Unlink().Key(key).Build())
	})
}

// bodyWriter writes a body in parts.
type bodyWriter struct {
	ctx    context.Context // io.Writer has no context parameter
	store  *Store
	key    string
	offset int64
	buffer []byte
}

// Write implements [io.Writer].
func (w *bodyWriter) Write(b []byte) (int, error) {
	if w.buffer == nil {
		w.buffer = make([]byte, 0, bodyPart)
	}
	for rest := b; len(rest) > 0; {
		n := min(len(rest), bodyPart-len(w.buffer))
		w.buffer, rest = append(w.buffer, rest[:n]...), rest[n:]
		if len(w.buffer) == bodyPart {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
	}
	return len(b), nil
}

// flush writes a part at its offset, so that it can be retried.
func (w *bodyWriter) flush() error {
	if len(w.buffer) == 0 {
		return nil
	}
	err := w.store.client.Exec(w.ctx, bodyScript, []string{w.key}, number(w.offset), string(w.buffer), number(bodyLife.Milliseconds())).Error()
	w.offset += int64(len(w.buffer))
	w.buffer = w.buffer[:0]
	return w.store.failed(w.ctx, "storing a body", err)
}

var bodyScript = rueidis.NewLuaScriptRetryable(`
redis.call('SETRANGE', KEYS[1], ARGV[1], ARGV[2])
return redis.call('PEXPIRE', KEYS[1], ARGV[3])`)

// largeBody is a body under a separate key.
type largeBody struct {
	store *Store
	key   string
	size  int64
	sum   uint32
}

// Size implements [queue.Body].
func (b *largeBody) Size() int64 { return b.size }

// Open implements [queue.Body].
func (b *largeBody) Open(ctx context.Context) (io.ReadCloser, error) {
	return record.Checked(&bodyReader{ctx: ctx, body: b}, b.size, b.sum), nil
}

// bodyReader reads a body in parts.
type bodyReader struct {
	ctx    context.Context // io.Reader has no context parameter
	body   *largeBody
	offset int64
	buffer string
}

// Read implements [io.Reader].
func (r *bodyReader) Read(b []byte) (int, error) {
	if len(r.buffer) == 0 {
		if r.offset >= r.body.size {
			return 0, io.EOF
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(b, r.buffer)
	r.buffer = r.buffer[n:]
	return n, nil
}

func (r *bodyReader) fill() (err error) {
	s := r.body.store
	r.buffer, err = s.client.Do(r.ctx, func(ctx context.Context, c rueidis.Client) rueidis.RedisResult {
		return c.Do(ctx, c.B().Getrange().Key(r.body.key).Start(r.offset).End(r.offset+bodyPart-1).Build())
	}).ToString()
	if err := s.failed(r.ctx, "reading a body", err); err != nil {
		return err
	}
	r.offset += int64(len(r.buffer))
	if r.buffer == "" {
		return io.EOF // truncated or expired
	}
	return nil
}

// Close implements [io.Closer].
func (r *bodyReader) Close() error { return nil }
