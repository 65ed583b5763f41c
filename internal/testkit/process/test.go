package process

import (
	"context"
	"testing"
	"time"
)

const readyWithin = time.Minute

// Run starts a program and returns when it is ready. The program is stopped at the
// end of the test.
func Run(t testing.TB, c Command, ready func(context.Context) error) *Process {
	t.Helper()
	p, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
	defer cancel()
	if err := p.WaitReady(ctx, ready); err != nil {
		t.Fatal(err)
	}
	return p
}

// Address returns a loopback address for a server of the test.
func Address(t testing.TB) string {
	t.Helper()
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}
