package signature

import (
	"bufio"
	"compress/gzip"
	"errors"
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
	readErr := &errorKeeper{r: src}
	buffered := bufio.NewReader(readErr)
	zr, err := gzip.NewReader(buffered)
	if err == nil {
		// An app might read only the first of several members.
		zr.Multistream(false)
		var n int64
		limit := min(max(maxInflated, r.MaxInflated), freeInflated+maxInflation*r.Body.Size())
		n, err = io.Copy(w, io.LimitReader(zr, limit+1))
		if err == nil && n > limit {
			return Refuse(Malformed, "the body is more than %d bytes when uncompressed", limit)
		}
	}
	if err == nil {
		if _, more := buffered.Peek(1); more == nil {
			return Refuse(Malformed, "data after the compressed body")
		}
	}
	if readErr.err != nil {
		return readErr.err
	}
	if err != nil {
		return Refuse(Malformed, "the body is not well-formed gzip")
	}
	return nil
}

// errorKeeper records read errors, to distinguish them from invalid data.
type errorKeeper struct {
	r   io.Reader
	err error
}

func (k *errorKeeper) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		k.err = err
	}
	return n, err
}
