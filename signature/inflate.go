package signature

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"strings"
)

// What a compressed body may grow to while it is hashed: nothing of it is
// kept, so this bounds time, not memory. A sender of little must not cause much
// work, so the bound grows with what was sent; events shrink by less than
// maxInflation. At most it is as long as one that is not compressed, by default.
const (
	maxInflated  = 25 << 20
	maxInflation = 24
	freeInflated = 1 << 20
)

// writeInflated writes the body, uncompressed if it came as gzip.
func writeInflated(w io.Writer, r *Request) error {
	encoding, err := headerValue(r.Header, "Content-Encoding")
	if err != nil {
		return err
	}
	switch strings.ToLower(encoding) {
	case "", "identity":
		return writeBody(w, r.Body)
	case "gzip":
	default:
		return Refuse(Malformed, "the body has the encoding %q instead of gzip", encoding)
	}
	src := r.Body.Open()
	defer src.Close()
	limit := min(max(maxInflated, r.MaxInflated), freeInflated+maxInflation*r.Body.Size())
	return gunzip(w, src, r.Body.Size(), limit)
}

// openInflated returns a reader of the uncompressed body.
func openInflated(r *Request) io.ReadCloser {
	read, write := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		write.CloseWithError(writeInflated(write, r))
	}()
	return &inflatedReader{read, ended}
}

// inflatedReader waits in Close until the body is no longer read.
type inflatedReader struct {
	*io.PipeReader

	ended <-chan struct{}
}

// Close implements io.Closer.
func (r *inflatedReader) Close() error {
	err := r.PipeReader.Close()
	<-r.ended
	return err
}

// isGzip reports whether the body is declared to be compressed.
func isGzip(r *Request) bool {
	encoding, err := headerValue(r.Header, "Content-Encoding")
	return err == nil && strings.EqualFold(encoding, "gzip")
}

// gunzip writes the uncompressed content of one gzip member (RFC 1952), at most limit
// bytes. Nothing may follow the member, because an app might read only the first of
// several.
func gunzip(w io.Writer, src io.Reader, size, limit int64) error {
	sum := &checksum{w: w}
	d := &inflater{r: src, w: sum, limit: limit, blocks: freeBlocks + size/minBlock, codes: freeCodes + size/minCodedBlock}
	err := d.gzipHeader()
	if err == nil {
		err = d.inflate()
	}
	if err == nil {
		err = d.gzipTrailer(sum)
	}
	switch {
	case d.readErr != nil:
		return d.readErr
	case errors.Is(err, errGrows):
		return Refuse(Malformed, "the body is more than %d bytes when uncompressed", limit)
	case errors.Is(err, errDeflate):
		return Refuse(Malformed, "the body is not well-formed gzip, or has too many blocks: they must be longer than %d bytes, and %d with their own codes", minBlock, minCodedBlock)
	case err != nil:
		return err
	}
	if d.n > 0 || d.more() {
		return Refuse(Malformed, "data after the compressed body")
	}
	return d.readErr
}

// checksum computes the checksum and the length of what is written through it.
type checksum struct {
	w   io.Writer
	sum uint32
	n   uint32
}

// Write implements io.Writer.
func (c *checksum) Write(p []byte) (int, error) {
	c.sum = crc32.Update(c.sum, crc32.IEEETable, p)
	c.n += uint32(len(p))
	return c.w.Write(p)
}

// Flags in the header of a gzip member.
const (
	gzipHeaderSum = 1 << (1 + iota)
	gzipExtra
	gzipName
	gzipComment
)

// gzipHeader reads the header of a member.
func (d *inflater) gzipHeader() error {
	sum := &checksum{w: io.Discard}
	var header [10]byte
	if err := d.bytes(header[:], sum); err != nil {
		return err
	}
	if [3]byte(header[:]) != [3]byte{0x1f, 0x8b, 8} {
		return errDeflate
	}
	flags := header[3]
	if flags&gzipExtra != 0 {
		var size [2]byte
		if err := d.bytes(size[:], sum); err != nil {
			return err
		}
		if err := d.bytes(make([]byte, binary.LittleEndian.Uint16(size[:])), sum); err != nil {
			return err
		}
	}
	for _, text := range []byte{gzipName, gzipComment} {
		if flags&text != 0 {
			if err := d.gzipText(sum); err != nil {
				return err
			}
		}
	}
	if flags&gzipHeaderSum != 0 {
		want := uint64(sum.sum & 0xffff)
		if got, err := d.take(16); err != nil || got != want {
			return errDeflate
		}
	}
	return nil
}

// gzipText reads a text of the header, which ends with a zero and is as long as
// compress/gzip accepts.
func (d *inflater) gzipText(sum *checksum) error {
	var c [1]byte
	for range 512 {
		if err := d.bytes(c[:], sum); err != nil {
			return err
		}
		if c[0] == 0 {
			return nil
		}
	}
	return errDeflate
}

// bytes reads all of p.
func (d *inflater) bytes(p []byte, sum *checksum) error {
	for i := range p {
		c, err := d.take(8)
		if err != nil {
			return err
		}
		p[i] = byte(c)
	}
	_, err := sum.Write(p)
	return err
}

// gzipTrailer compares checksum and length of a member with what was written.
func (d *inflater) gzipTrailer(sum *checksum) error {
	d.align()
	wantSum, err := d.take(32)
	if err != nil {
		return err
	}
	wantSize, err := d.take(32)
	if err != nil || uint32(wantSum) != sum.sum || uint32(wantSize) != sum.n {
		return errDeflate
	}
	return nil
}
