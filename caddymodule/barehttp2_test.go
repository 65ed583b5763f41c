package caddymodule

import (
	"errors"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// statusOK is the header block of a 200 response, from HPACK's static table.
const statusOK = "\x88"

// startEarlyHTTP2App starts an app that completes its response to each request
// after the request header, and still accepts the body: only the transport
// decides whether to send all of it.
func startEarlyHTTP2App(t *testing.T, known map[string]*markedDelivery, _ int) string {
	return "h2c://" + startBare(t, func(conn net.Conn) {
		if err := talkHTTP2(conn, known); err != nil && !errors.Is(err, io.EOF) && !isReset(err) {
			t.Error(err)
		}
	}).Addr().String()
}

// stream is a request whose body is being received.
type stream struct {
	*markedDelivery
	at int
}

func talkHTTP2(conn net.Conn, known map[string]*markedDelivery) error {
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return err
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		return err
	}
	streams := make(map[uint32]*stream)
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return err
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				err = framer.WritePing(true, f.Data)
			}
		case *http2.MetaHeadersFrame:
			streams[f.StreamID] = &stream{markedDelivery: known[header(f, "webhook-verified-id")]}
			err = framer.WriteHeaders(http2.HeadersFrameParam{
				StreamID: f.StreamID, BlockFragment: []byte(statusOK), EndHeaders: true, EndStream: true,
			})
		case *http2.DataFrame:
			err = streams[f.StreamID].take(framer, f)
		}
		if err != nil {
			return err
		}
	}
}

func header(f *http2.MetaHeadersFrame, name string) string {
	for _, field := range f.Fields {
		if field.Name == name {
			return field.Value
		}
	}
	return ""
}

// take checks a data frame, and increases the flow-control windows.
func (s *stream) take(framer *http2.Framer, f *http2.DataFrame) error {
	if err := s.check(s.at, f.Data()); err != nil {
		return err
	}
	s.at += len(f.Data())
	if f.Length == 0 {
		return nil
	}
	if err := framer.WriteWindowUpdate(0, f.Length); err != nil {
		return err
	}
	return framer.WriteWindowUpdate(f.StreamID, f.Length)
}
