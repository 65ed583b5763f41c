// Package sse reads and writes server-sent events, for streams that stay open
// for hours. See https://html.spec.whatwg.org/multipage/server-sent-events.html.
package sse

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Event is one event.
type Event struct {
	// Type is its type, empty for "message".
	Type string
	// ID is its ID, which a client sends as Last-Event-ID when it reconnects.
	ID string
	// Data is its content. It must not contain line breaks when written.
	Data []byte
}

// Stream writes events to one client. One goroutine at a time may use it.
type Stream struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	patience time.Duration
}

// Start starts the stream. patience is the time limit for writing one event; a
// slower client counts as disconnected.
func Start(w http.ResponseWriter, patience time.Duration) (*Stream, error) {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store, no-transform") // compression would delay events
	header.Set("X-Accel-Buffering", "no")                 // proxies must not delay events
	s := &Stream{w: w, rc: http.NewResponseController(w), patience: patience}
	s.extend()
	w.WriteHeader(http.StatusOK)
	return s, s.rc.Flush()
}

// extend sets the deadline of the next write. If the server does not support
// deadlines, its own timeouts apply.
func (s *Stream) extend() { _ = s.rc.SetWriteDeadline(time.Now().Add(s.patience)) }

// Send writes an event and flushes it.
func (s *Stream) Send(e Event) error {
	return s.SendLines(e, func(line func([]byte) error) error { return line(e.Data) })
}

// SendLines writes an event with several lines of data, each of which write passes
// to line. If write fails, [Stream.Retype] must end the event, or the stream must
// not be used again: the client then ignores the incomplete event.
func (s *Stream) SendLines(e Event, write func(line func([]byte) error) error) error {
	s.extend()
	if e.Type != "" {
		if _, err := fmt.Fprintf(s.w, "event: %s\n", e.Type); err != nil {
			return err
		}
	}
	if e.ID != "" {
		if _, err := fmt.Fprintf(s.w, "id: %s\n", e.ID); err != nil {
			return err
		}
	}
	err := write(func(data []byte) error {
		s.extend()
		_, err := s.w.Write(fmt.Appendf(nil, "data: %s\n", data))
		return err
	})
	if err != nil {
		return err
	}
	return s.end()
}

// Retype ends an event that SendLines has started, with another type: the last type
// of an event applies.
func (s *Stream) Retype(kind string) error {
	s.extend()
	if _, err := fmt.Fprintf(s.w, "event: %s\n", kind); err != nil {
		return err
	}
	return s.end()
}

// Beat sends a comment as a heartbeat.
func (s *Stream) Beat() error {
	s.extend()
	if _, err := io.WriteString(s.w, ":\n"); err != nil {
		return err
	}
	return s.end()
}

// end ends an event and flushes it.
func (s *Stream) end() error {
	if _, err := io.WriteString(s.w, "\n"); err != nil {
		return err
	}
	return s.rc.Flush()
}

// ErrTooLong is the error of an event, or one of its lines, that exceeds the
// reader's limit.
var ErrTooLong = errors.New("the event is too long")

// Reader reads events.
type Reader struct {
	in      *bufio.Reader
	longest int
}

// NewReader returns a reader of events with at most longest bytes of data.
func NewReader(r io.Reader, longest int) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, 64<<10), longest: longest}
}

// Next returns the next event. A comment is returned as an event without content,
// so that the caller notices heartbeats.
func (r *Reader) Next() (Event, error) {
	var e Event
	var data [][]byte
	size, any := 0, false
	for {
		line, err := r.line()
		if err != nil {
			return Event{}, err
		}
		if len(line) == 0 {
			if !any {
				continue // only a line break
			}
			e.Data = bytes.Join(data, []byte("\n"))
			return e, nil
		}
		any = true
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "event":
			e.Type = string(value)
		case "id":
			e.ID = string(value)
		case "data":
			if size += len(value) + 1; size > r.longest+1 {
				return Event{}, ErrTooLong
			}
			data = append(data, value)
		}
	}
}

// line returns the next line without its end.
func (r *Reader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := r.in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > r.longest+len("data: \r\n") {
			return nil, ErrTooLong
		}
		if err == nil {
			return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err // an incomplete line is not part of an event
		}
	}
}

// Is reports whether a response is a stream of events.
func Is(h http.Header) bool {
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.TrimSpace(kind) == "text/event-stream"
}
