package pool

import (
	"errors"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/replay/memory"
)

func TestStoreIsClosedByItsLastUser(t *testing.T) {
	closed, applied := 0, ""
	p := New(func(*memory.Store) error { closed++; return nil })
	open := func() (*memory.Store, error) { return memory.New(memory.Options{}), nil }
	apply := func(name string) func(*memory.Store) { return func(*memory.Store) { applied = name } }

	if u := p.join("a", apply("too early")); u != nil || applied != "" {
		t.Fatalf("joined %v, applied %q", u, applied)
	}
	if _, err := p.acquire("a", func() (*memory.Store, error) { return nil, ErrGone }, apply("failed")); !errors.Is(err, ErrGone) || applied != "" {
		t.Fatalf("%v, applied %q", err, applied)
	}
	first, err := p.acquire("a", open, apply("first"))
	if err != nil {
		t.Fatal(err)
	}
	second := p.join("a", apply("second"))
	if second.Store != first.Store || applied != "second" {
		t.Errorf("applied %q", applied)
	}
	for range 2 { // a second release changes nothing
		if err := second.Release(); err != nil || applied != "first" || closed != 0 {
			t.Errorf("%v, applied %q, closed %d times", err, applied, closed)
		}
	}
	if err := first.Release(); err != nil || closed != 1 || len(p.open) != 0 {
		t.Errorf("%v, closed %d times", err, closed)
	}
}

// A delivery can still run after its config was unloaded.
func TestUnloadedConfigJoinsAnOpenStoreOnly(t *testing.T) {
	p := New(func(*memory.Store) error { return nil })
	applied := ""
	newSlot := func(name string) *Slot[*memory.Store] {
		return &Slot[*memory.Store]{
			Pool: p, Key: "a",
			Open:  func() (*memory.Store, error) { return memory.New(memory.Options{}), nil },
			Apply: func(*memory.Store) { applied = name },
		}
	}
	before, after := newSlot("before"), newSlot("after")
	before.Join()
	if err := before.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := before.Acquire(); !errors.Is(err, ErrGone) {
		t.Errorf("Acquire = %v, want ErrGone after the config was unloaded", err)
	}
	want, err := after.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	got, err := before.Acquire()
	if err != nil || got.Store != want.Store || applied != "after" {
		t.Fatalf("%v, applied %q", err, applied)
	}
	if err := errors.Join(want.Release(), got.Release()); err != nil || len(p.open) != 0 {
		t.Errorf("%v, open are %v", err, p.open)
	}
}
