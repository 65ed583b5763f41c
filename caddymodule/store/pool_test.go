package store

import (
	"errors"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/replay/memory"
)

func TestAStoreOfThePoolIsClosedByItsLastUse(t *testing.T) {
	closed, applied := 0, ""
	p := newPool(func(*memory.Store) error { closed++; return nil })
	open := func() (*memory.Store, error) { return memory.New(memory.Options{}), nil }
	apply := func(name string) func(*memory.Store) { return func(*memory.Store) { applied = name } }

	if u := p.join("a", apply("too early")); u != nil || applied != "" {
		t.Fatalf("joined %v, applied %q", u, applied)
	}
	if _, err := p.acquire("a", func() (*memory.Store, error) { return nil, errGone }, apply("failed")); !errors.Is(err, errGone) || applied != "" {
		t.Fatalf("%v, applied %q", err, applied)
	}
	first, err := p.acquire("a", open, apply("first"))
	if err != nil {
		t.Fatal(err)
	}
	second := p.join("a", apply("second"))
	if second.store != first.store || applied != "second" {
		t.Errorf("applied %q", applied)
	}
	for range 2 { // a second release changes nothing
		if err := second.release(); err != nil || applied != "first" || closed != 0 {
			t.Errorf("%v, applied %q, closed %d times", err, applied, closed)
		}
	}
	if err := first.release(); err != nil || closed != 1 || len(p.open) != 0 {
		t.Errorf("%v, closed %d times", err, closed)
	}
}

// A delivery can outlive its config.
func TestAStoreWhoseConfigHasGoneIsOnlyJoined(t *testing.T) {
	p := newPool(func(*memory.Store) error { return nil })
	applied := ""
	newSlot := func(name string) *slot[*memory.Store] {
		return &slot[*memory.Store]{
			pool: p, key: "a",
			open:  func() (*memory.Store, error) { return memory.New(memory.Options{}), nil },
			apply: func(*memory.Store) { applied = name },
		}
	}
	before, after := newSlot("before"), newSlot("after")
	before.join()
	if err := before.release(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := before.acquire(); !errors.Is(err, errGone) {
		t.Errorf("a config that has gone opens the store: %v", err)
	}
	want, release, err := after.acquire()
	if err != nil {
		t.Fatal(err)
	}
	got, late, err := before.acquire()
	if err != nil || got != want || applied != "after" {
		t.Fatalf("%v, applied %q", err, applied)
	}
	if err := errors.Join(release(), late()); err != nil || len(p.open) != 0 {
		t.Errorf("%v, open are %v", err, p.open)
	}
}
