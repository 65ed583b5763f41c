package caddymodule

import (
	"errors"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/memory"
)

// coreStore is a store without the optional interfaces.
type coreStore struct{ replay.Store }

func TestHandlerNeedsOnlyTheCoreMethodsOfAStore(t *testing.T) {
	b := trial(t, config("github", ""))
	b.handler.store = newMeteredStore(coreStore{memory.New(memory.Options{})}, "core")
	b.expect(t, github("1", content), Verified, 200)
	b.expect(t, github("1", content), Duplicate, 200)
	b.expect(t, github("2", content), Replayed, 200)
	for name, ask := range map[string]func() error{
		"seen":   func() error { _, err := b.handler.seen(t.Context(), "1"); return err },
		"forget": func() error { _, err := b.handler.forget(t.Context(), "1"); return err },
	} {
		if err := ask(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if stats := b.handler.store.Stats(); stats != (replay.Stats{Remembered: -1, Claimed: -1, Capacity: -1}) {
		t.Errorf("stats %+v", stats)
	}
}
