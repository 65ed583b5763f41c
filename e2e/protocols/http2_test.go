package protocols

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// largestFrame is the frame size that every server accepts.
const largestFrame = 16 << 10

// connection2 is an HTTP/2 connection.
type connection2 struct {
	conn *tls.Conn

	mu      sync.Mutex
	changed *sync.Cond
	framer  *http2.Framer
	block   bytes.Buffer
	fields  *hpack.Encoder
	next    uint32
	window  int64 // the flow-control window of all streams
	initial int64 // and of a new stream
	streams map[uint32]*stream2
	ended   bool
}

// stream2 is one request of the connection.
type stream2 struct {
	*connection2
	id     uint32
	window int64
	status int
	broken bool
	ended  bool
	late   bool // no response within patience
}

func dialHTTP2(t *testing.T, address string, config *tls.Config) connection {
	t.Helper()
	config = config.Clone()
	config.NextProtos = []string{http2.NextProtoTLS}
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(connected)); err != nil {
		t.Fatal(err)
	}
	c := &connection2{conn: conn, framer: http2.NewFramer(conn, conn), next: 1, window: 65535, initial: 65535, streams: make(map[uint32]*stream2)}
	c.changed = sync.NewCond(&c.mu)
	c.fields = hpack.NewEncoder(&c.block)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	if err := c.framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	go c.read()
	return c
}

func (c *connection2) close() { _ = c.conn.Close() }

// read reads the server's frames until the connection ends.
func (c *connection2) read() {
	for {
		frame, err := c.framer.ReadFrame()
		c.mu.Lock()
		if err != nil {
			c.ended = true
		} else {
			c.take(frame)
		}
		c.changed.Broadcast()
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (c *connection2) take(frame http2.Frame) {
	s := c.streams[frame.Header().StreamID]
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return
		}
		if size, ok := f.Value(http2.SettingInitialWindowSize); ok {
			for _, s := range c.streams {
				s.window += int64(size) - c.initial
			}
			c.initial = int64(size)
		}
		_ = c.framer.WriteSettingsAck() // if this fails, reading also fails
	case *http2.PingFrame:
		if !f.IsAck() {
			_ = c.framer.WritePing(true, f.Data)
		}
	case *http2.WindowUpdateFrame:
		if s != nil {
			s.window += int64(f.Increment)
		} else if f.StreamID == 0 {
			c.window += int64(f.Increment)
		}
	case *http2.GoAwayFrame:
		c.ended = f.ErrCode != http2.ErrCodeNo
	case *http2.MetaHeadersFrame:
		if s != nil {
			s.status, _ = strconv.Atoi(f.PseudoValue("status"))
			s.ended = f.StreamEnded()
		}
	case *http2.DataFrame:
		if s != nil {
			s.ended = f.StreamEnded()
		}
	case *http2.RSTStreamFrame:
		if s != nil && !s.ended {
			s.broken = f.ErrCode != http2.ErrCodeNo || s.status < 200
			s.ended = true
		}
	}
}

// encode returns a header block. The caller holds c.mu.
func (c *connection2) encode(fields []field) []byte {
	c.block.Reset()
	for _, f := range fields {
		_ = c.fields.WriteField(hpack.HeaderField{Name: f.name, Value: f.value}) // to a buffer
	}
	return c.block.Bytes()
}

func (c *connection2) open(fields []field, end bool) (stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil, errBroken
	}
	s := &stream2{connection2: c, id: c.next, window: c.initial}
	c.streams[s.id] = s
	c.next += 2
	return s, c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: c.encode(fields), EndHeaders: true, EndStream: end})
}

// data writes as much as flow control allows.
func (s *stream2) data(p []byte, end bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(p) > 0 && min(s.window, s.connection2.window) <= 0 && !s.over() {
			s.changed.Wait()
		}
		if s.over() {
			return errBroken
		}
		n := int64(min(len(p), largestFrame))
		if n > 0 {
			n = min(n, s.window, s.connection2.window)
		}
		last := n == int64(len(p))
		if err := s.framer.WriteData(s.id, end && last, p[:n]); err != nil {
			return fmt.Errorf("%w: %w", errBroken, err)
		}
		s.window -= n
		s.connection2.window -= n
		p = p[n:]
		if last {
			return nil
		}
	}
}

func (s *stream2) over() bool { return s.ended || s.connection2.ended }

func (s *stream2) trailers(fields []field) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over() {
		return errBroken
	}
	return s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: s.encode(fields), EndHeaders: true, EndStream: true})
}

func (s *stream2) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.framer.WriteRSTStream(s.id, http2.ErrCodeCancel)
	s.broken, s.ended = true, true // no response can follow
}

func (s *stream2) response() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	late := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.late = true
		s.changed.Broadcast()
	})
	defer late.Stop()
	for !s.over() && !s.late {
		s.changed.Wait()
	}
	if s.late {
		return 0, errLate
	}
	if s.broken || !s.ended {
		return s.status, errBroken
	}
	return s.status, nil
}
