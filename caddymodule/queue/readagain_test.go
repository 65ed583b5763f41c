package queue

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/body"
)

// A second handler in deliver gets an error instead of an empty body, if the config
// check has found one.
func TestSecondReaderInDeliverGetsAnError(t *testing.T) {
	for once, want := range map[bool]error{true: body.ErrReadAgain, false: io.EOF} {
		h := new(Handler)
		if once {
			h.ReadOnce()
		}
		r := h.readOnce(io.NopCloser(strings.NewReader("stored")))
		if text, err := io.ReadAll(r); string(text) != "stored" || err != nil {
			t.Errorf("the first handler reads %q, %v", text, err)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, want) {
			t.Errorf("the second handler reads %d bytes, %v; want %v", n, err, want)
		}
	}
}
