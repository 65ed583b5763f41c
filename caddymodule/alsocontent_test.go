package caddymodule

import (
	"context"
	"slices"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// A provider resends an event with another signed ID, and its content alone does
// not authenticate it.
func TestSignedIDAndItsContentBothBlock(t *testing.T) {
	keys := func(id, digest string) (replay.Keys, replay.Key) {
		d := &delivery{verified: &signature.Delivery{ID: id, IDSigned: true, AlsoContent: true, Matches: []signature.Match{{Digest: []byte(digest)}}}}
		d.deriveKeys(&Handler{})
		return d.keys, d.key
	}
	first, key := keys("t1", "a")
	if len(first.Blocking) != 2 || len(first.Notes) != 0 {
		t.Fatalf("got %+v", first)
	}
	for _, test := range []struct {
		id, digest string
		same       int
	}{{"t1", "a", 2}, {"t2", "a", 1}, {"t1", "b", 1}, {"t2", "b", 0}} {
		other, _ := keys(test.id, test.digest)
		same := slices.DeleteFunc(slices.Clone(other.Blocking), func(k replay.Key) bool { return !slices.Contains(first.Blocking, k) })
		if len(same) != test.same {
			t.Errorf("ID %s, content %s: %d keys are the same, want %d", test.id, test.digest, len(same), test.same)
		}
	}
	if _, retry := keys("t2", "a"); retry != key {
		t.Error("the retry has a different key for the app")
	}
}

// resending is a provider whose deliveries are identified by their content and
// by a signed ID.
type resending struct{ provider.Provider }

func (p resending) Info() provider.Info {
	info := p.Provider.Info()
	info.AlsoContent = true
	return info
}

func (p resending) Verify(ctx context.Context, r *signature.Request) (*signature.Delivery, error) {
	d, err := p.Provider.Verify(ctx, r)
	if err == nil {
		d.AlsoContent = true
	}
	return d, err
}

func TestForgettingASignedIDForgetsItsContentToo(t *testing.T) {
	b := trial(t, acme(signedID, ""))
	b.handler.current.Store(newLoadedProvider(resending{b.handler.current.Load().Provider}))
	send := func(body string, want Outcome) {
		t.Helper()
		b.expect(t, acmeDelivery(secret, "", body), want, 200)
	}
	send(`{"id":"1"}`, Verified)
	send(`{"id":"2"}`, Verified)
	send(`{"id":"1"}`, Duplicate)
	if found, err := b.handler.forget(t.Context(), "1"); err != nil || !found[0].Forgotten {
		t.Fatalf("forgetting: %v, %v", found, err)
	}
	send(`{"id":"2"}`, Duplicate)
	send(`{"id":"1"}`, Verified)
	send(`{"id":"1"}`, Duplicate)
}
