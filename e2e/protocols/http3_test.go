package protocols

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
)

// Frame and stream types of RFC 9114.
const (
	frameData     = 0x0
	frameHeaders  = 0x1
	frameSettings = 0x4
	streamControl = 0x0
)

// connection3 is an HTTP/3 connection.
type connection3 struct {
	conn *quic.Conn
	ctx  context.Context
}

// stream3 is one request of the connection.
type stream3 struct{ *quic.Stream }

func dialHTTP3(t *testing.T, address string, config *tls.Config) connection {
	t.Helper()
	config = config.Clone()
	config.NextProtos = []string{http3.NextProtoH3}
	ctx, cancel := context.WithTimeout(t.Context(), connected)
	t.Cleanup(cancel)
	conn, err := quic.DialAddr(ctx, address, config, nil)
	if err != nil {
		t.Fatal(err)
	}
	control, err := conn.OpenUniStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := control.Write(frame(quicvarint.Append(nil, streamControl), frameSettings, nil)); err != nil {
		t.Fatal(err)
	}
	return &connection3{conn, ctx}
}

// frame appends a frame to b.
func frame(b []byte, kind uint64, payload []byte) []byte {
	b = quicvarint.Append(b, kind)
	b = quicvarint.Append(b, uint64(len(payload)))
	return append(b, payload...)
}

// headersFrame is a frame with header or trailer fields.
func headersFrame(fields []field) []byte {
	var block bytes.Buffer
	encoder := qpack.NewEncoder(&block)
	for _, f := range fields {
		_ = encoder.WriteField(qpack.HeaderField{Name: f.name, Value: f.value}) // to a buffer
	}
	return frame(nil, frameHeaders, block.Bytes())
}

func (c *connection3) close() {
	_ = c.conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
}

func (c *connection3) open(fields []field, end bool) (stream, error) {
	s, err := c.conn.OpenStreamSync(c.ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	if err := s.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := s.Write(headersFrame(fields)); err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	if end {
		return stream3{s}, s.Close()
	}
	return stream3{s}, nil
}

func (s stream3) data(p []byte, end bool) error {
	_, err := s.Write(frame(nil, frameData, p))
	if err == nil && end {
		err = s.Close()
	}
	return err
}

func (s stream3) trailers(fields []field) error {
	_, err := s.Write(headersFrame(fields))
	return errors.Join(err, s.Close())
}

func (s stream3) reset() { s.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled)) }

func (s stream3) response() (int, error) {
	status := 0
	reader := quicvarint.NewReader(s)
	for {
		kind, err := quicvarint.Read(reader)
		if errors.Is(err, io.EOF) && status >= 200 {
			return status, nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return status, errLate
		}
		if err != nil {
			return status, fmt.Errorf("%w: %w", errBroken, err)
		}
		length, err := quicvarint.Read(reader)
		if err != nil {
			return status, fmt.Errorf("%w: %w", errBroken, err)
		}
		payload := make([]byte, length)
		if _, err := io.ReadFull(reader, payload); err != nil {
			return status, fmt.Errorf("%w: %w", errBroken, err)
		}
		if kind == frameHeaders && status < 200 {
			if status, err = statusIn(payload); err != nil {
				return 0, err
			}
		}
	}
}

// statusIn returns the status of a header block.
func statusIn(block []byte) (int, error) {
	next := qpack.NewDecoder().Decode(block)
	for {
		f, err := next()
		if err != nil {
			return 0, fmt.Errorf("no status: %w", err)
		}
		if f.Name == ":status" {
			return strconv.Atoi(f.Value)
		}
	}
}
