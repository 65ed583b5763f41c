package keyfetch

import (
	"bytes"
	"io"
)

// newReader reads a body; none, not an empty one, where there is none.
func newReader(body []byte) io.Reader {
	if body == nil {
		return nil
	}
	return bytes.NewReader(body)
}
