package sse

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestReaderReadsWhatTheStreamSends(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s, err := Start(w, time.Minute)
		if err != nil {
			t.Error(err)
			return
		}
		for _, err := range []error{
			s.Send(Event{Type: "hello", Data: []byte(`{"a":1}`)}),
			s.Beat(),
			s.Send(Event{ID: "x-1", Data: nil}),
			s.SendLines(Event{Type: "delivery", ID: "x-2"}, func(line func([]byte) error) error {
				return errors.Join(line([]byte("one: 1")), line(nil), line([]byte(strings.Repeat("y", 100_000))))
			}),
		} {
			if err != nil {
				t.Error(err)
			}
		}
	}))
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if !Is(resp.Header) {
		t.Errorf("the header is %v", resp.Header)
	}
	r := NewReader(resp.Body, 1<<20)
	for _, want := range []Event{
		{Type: "hello", Data: []byte(`{"a":1}`)},
		{},
		{ID: "x-1"},
		{Type: "delivery", ID: "x-2", Data: []byte("one: 1\n\n" + strings.Repeat("y", 100_000))},
	} {
		got, err := r.Next()
		if err != nil || got.Type != want.Type || got.ID != want.ID || string(got.Data) != string(want.Data) {
			t.Errorf("read %q %q with %d bytes, %v; want %q %q with %d", got.Type, got.ID, len(got.Data), err, want.Type, want.ID, len(want.Data))
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestEventsOfOtherImplementations(t *testing.T) {
	for name, test := range map[string]struct {
		stream string
		data   string
		err    error
	}{
		"CRLF line ends":                 {"event: a\r\ndata: 1\r\n\r\n", "1", nil},
		"no space after the colon":       {"data:1\n\n", "1", nil},
		"a field without a value":        {"data\n\n", "", nil},
		"an unknown field":               {"retry: 10\ndata: 1\n\n", "1", nil},
		"an unterminated event":          {"data: 1\n", "", io.EOF},
		"an unterminated line":           {"data: 1", "", io.EOF},
		"a line that is too long":        {"data: " + strings.Repeat("x", 101) + "\n\n", "", ErrTooLong},
		"an endless line":                {strings.Repeat("x", 1<<20), "", ErrTooLong},
		"too much data in several lines": {strings.Repeat("data: "+strings.Repeat("x", 50)+"\n", 3) + "\n", "", ErrTooLong},
		"data of the maximum length":     {"data: " + strings.Repeat("x", 100) + "\n\n", strings.Repeat("x", 100), nil},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := NewReader(strings.NewReader(test.stream), 100).Next()
			if !errors.Is(err, test.err) || string(e.Data) != test.data {
				t.Errorf("read %q, %v; want %q, %v", e.Data, err, test.data, test.err)
			}
		})
	}
}

func FuzzReader(f *testing.F) {
	f.Add("event: a\nid: 1\ndata: 1\ndata: 2\n\n:\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		r := NewReader(strings.NewReader(stream), 1000)
		for {
			e, err := r.Next()
			if err != nil {
				return
			}
			if len(e.Data) > 1000 {
				t.Fatalf("%d bytes of data", len(e.Data))
			}
		}
	})
}

func TestIncompleteEventCanBeRetyped(t *testing.T) {
	w := httptest.NewRecorder()
	s, err := Start(w, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err = s.SendLines(Event{Type: "delivery", ID: "1"}, func(line func([]byte) error) error {
		return errors.Join(line([]byte("half")), broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
	if err := errors.Join(s.Retype("withdrawn"), s.Send(Event{Type: "next"})); err != nil {
		t.Error(err)
	}
	r := NewReader(w.Body, 100)
	for _, want := range []string{"withdrawn", "next"} {
		if e, err := r.Next(); err != nil || e.Type != want {
			t.Errorf("the event is %+v, %v, want %s", e, err, want)
		}
	}
}
