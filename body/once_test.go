package body

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestASecondReaderOfABodyGetsAnError(t *testing.T) {
	for name, read := range map[string]func(*Once) error{
		"read":            func(o *Once) error { _, err := io.Copy(io.Discard, io.LimitReader(o, 100)); return err },
		"write to":        func(o *Once) error { _, err := o.WriteTo(io.Discard); return err },
		"limited, probed": func(o *Once) error { _, _ = io.CopyN(io.Discard, o, 4); _, err := io.Copy(io.Discard, o); return err }, // as HTTP transports do
	} {
		o := &Once{ReadCloser: io.NopCloser(strings.NewReader("body"))}
		if err := read(o); err != nil {
			t.Errorf("%s: the first reader gets %v", name, err)
		}
		if n, err := o.Read(make([]byte, 1)); n != 0 || !errors.Is(err, ErrReadAgain) {
			t.Errorf("%s: the second reader gets %d bytes and %v", name, n, err)
		}
		if _, err := o.WriteTo(io.Discard); !errors.Is(err, ErrReadAgain) {
			t.Errorf("%s: WriteTo returns %v", name, err)
		}
	}
	failure := errors.New("a failure")
	o := &Once{ReadCloser: io.NopCloser(iotest.ErrReader(failure))}
	for range 2 {
		if _, err := o.Read(make([]byte, 1)); !errors.Is(err, failure) {
			t.Errorf("the error is %v", err)
		}
	}
}
