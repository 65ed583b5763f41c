package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
)

// ReadBody reads a small body of a known size.
func ReadBody(body io.Reader, size int64) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	b := make([]byte, size)
	if n, err := io.ReadFull(body, b); err != nil {
		return nil, shortBody(err, int64(n), size)
	}
	return b, ends(body, size)
}

// CopyBody copies a body of a known size and returns its checksum.
func CopyBody(to io.Writer, body io.Reader, size int64) (sum uint32, err error) {
	digest := crc32.New(Castagnoli)
	n, err := io.CopyN(io.MultiWriter(to, digest), body, size)
	if err != nil {
		return 0, shortBody(err, n, size)
	}
	return digest.Sum32(), ends(body, size)
}

func shortBody(err error, n, size int64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: its body has %d bytes: expected %d", queue.ErrInvalid, n, size)
	}
	return err
}

// ends returns an error if a body is longer than its size.
func ends(body io.Reader, size int64) error {
	n, err := io.ReadFull(body, make([]byte, 1))
	switch {
	case n != 0:
		return fmt.Errorf("%w: its body has more than the expected %d bytes", queue.ErrInvalid, size)
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

// Sum returns the checksum of a body.
func Sum(body []byte) uint32 { return crc32.Checksum(body, Castagnoli) }

// Memory is a body in memory.
type Memory []byte

// Size implements [queue.Body].
func (m Memory) Size() int64 { return int64(len(m)) }

// Open implements [queue.Body].
func (m Memory) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m)), nil
}

// Checked returns a stream that fails with [queue.ErrDamaged] unless it has the
// expected size and checksum.
func Checked(stream io.ReadCloser, size int64, sum uint32) io.ReadCloser {
	return &checked{ReadCloser: stream, left: size, want: sum}
}

type checked struct {
	io.ReadCloser
	left      int64
	sum, want uint32
}

// Read implements [io.Reader].
func (c *checked) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.sum = crc32.Update(c.sum, Castagnoli, b[:n])
	c.left -= int64(n)
	switch {
	case c.left < 0, err == io.EOF && c.left > 0:
		return 0, fmt.Errorf("%w: body size mismatch", queue.ErrDamaged)
	case c.left == 0 && c.sum != c.want:
		return 0, fmt.Errorf("%w: body checksum mismatch", queue.ErrDamaged)
	}
	return n, err
}
