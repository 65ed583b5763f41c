package queue

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/body"
)

type textBody string

func (b textBody) Size() int64 { return int64(len(b)) }

func (b textBody) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(b))), nil
}

// A second handler in deliver gets an error instead of an empty body. The entry is not
// damaged, so the error is not recorded.
func TestSecondReaderInDeliverGetsAnError(t *testing.T) {
	l := &leasedBody{ctx: t.Context(), body: textBody("stored")}
	defer l.closeAll()
	for range 2 { // each attempt has its own reader
		r, err := l.open()
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(r); string(text) != "stored" || err != nil {
			t.Errorf("the first handler reads %q, %v", text, err)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, body.ErrReadAgain) {
			t.Errorf("the second handler reads %d bytes, %v", n, err)
		}
	}
	if err := l.failure(); err != nil {
		t.Errorf("the entry counts as damaged: %v", err)
	}
}
