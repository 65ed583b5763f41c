package storetest

import (
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// layout returns the keys of a delivery with an ID and some content. The
// blocking keys depend on how a provider distinguishes its deliveries.
type layout func(id, content int) replay.Keys

// The layouts. An ID of 0 means that there is none.
var (
	signedID layout = func(id, _ int) replay.Keys {
		return replay.Keys{Blocking: []replay.Key{key(replay.KindID, id)}}
	}
	uniqueContent layout = func(id, content int) replay.Keys {
		keys := replay.Keys{Blocking: []replay.Key{key(replay.KindContent, content)}}
		if id != 0 {
			keys.Notes = []replay.Key{key(replay.KindID, id)}
		}
		return keys
	}
	repeatingContent layout = func(id, content int) replay.Keys {
		return replay.Keys{
			Blocking: []replay.Key{key(replay.KindBoth, 1000*id+content)},
			Notes:    []replay.Key{key(replay.KindID, id)},
		}
	}
)

// under returns a layout that derives the same keys under several secrets.
func under(of layout, secrets ...int) layout {
	return func(id, content int) (all replay.Keys) {
		for _, secret := range secrets {
			keys := of(id, content)
			for _, k := range keys.Blocking {
				all.Blocking = append(all.Blocking, underSecret(k, secret))
			}
			for _, k := range keys.Notes {
				all.Notes = append(all.Notes, underSecret(k, secret))
			}
		}
		return all
	}
}

func underSecret(k replay.Key, secret int) replay.Key {
	k[0] ^= byte(secret) // changes the shard of a ledger too
	return k
}

// step is a delivery that arrives, its expected verdict, and what happens to it
// if it is ours.
type step struct {
	id, content int
	want        replay.Verdict
	then        func(Instance, delivery)
	as          layout // overrides the layout of the sequence
}

// sequence is a series of deliveries from a provider.
type sequence struct {
	name   string
	layout layout
	steps  []step
}

// What can happen to a delivery. By default it is handled.
var (
	stays  = func(Instance, delivery) {}
	fails  = func(_ Instance, d delivery) { d.release(500) }
	lapses = func(store Instance, d delivery) { store.Advance(d.t, lease+time.Minute) }
)

// sequences are series of deliveries for each way in which a provider
// distinguishes them. The worst failure is to lose a genuine delivery; the
// second worst is to accept a copy.
var sequences = sequenceTests([]sequence{
	{"signed ID: a retry", signedID, []step{
		{id: 1, content: 1, want: replay.Ours},
		{id: 1, content: 1, want: replay.Duplicate},
	}},
	{"signed ID: a retry with other content", signedID, []step{
		{id: 1, content: 1, want: replay.Ours},
		{id: 1, content: 2, want: replay.Duplicate},
	}},
	{"signed ID: the same content in other deliveries", signedID, []step{
		{id: 1, content: 1, want: replay.Ours},
		{id: 2, content: 1, want: replay.Ours},
		{id: 3, content: 1, want: replay.Ours, then: fails},
		{id: 3, content: 1, want: replay.Ours},
		{id: 2, content: 1, want: replay.Duplicate},
	}},

	{"unsigned ID, content unique: a retry", uniqueContent, []step{
		{id: 1, content: 1, want: replay.Ours},
		{id: 1, content: 1, want: replay.Duplicate},
	}},
	{"unsigned ID, content unique: a retry while the first is in progress", uniqueContent, []step{
		{id: 1, content: 1, want: replay.Ours, then: stays},
		{id: 1, content: 1, want: replay.InProgress},
	}},
	{"unsigned ID, content unique: a retry after a failure", uniqueContent, []step{
		{id: 1, content: 1, want: replay.Ours, then: fails},
		{id: 1, content: 1, want: replay.Ours, then: lapses},
		{id: 1, content: 1, want: replay.Ours},
		{id: 1, content: 1, want: replay.Duplicate},
	}},
	{"unsigned ID, content unique: a copy under another ID", uniqueContent, []step{
		{id: 1, content: 1, want: replay.Ours},
		{id: 2, content: 1, want: replay.Replayed},
		{id: 2, content: 1, want: replay.Replayed},
		{id: 1, content: 1, want: replay.Duplicate},
	}},
	{"unsigned ID, content unique: a concurrent copy under another ID", uniqueContent, []step{
		{id: 1, content: 1, want: replay.Ours, then: stays},
		{id: 2, content: 1, want: replay.InProgress},
	}},
	{"unsigned ID, content unique: a copy without an ID", uniqueContent, []step{
		{id: 1, content: 1, want: replay.Ours},
		{id: 0, content: 1, want: replay.Duplicate},
	}},
	{"unsigned ID, content unique: a reused ID", uniqueContent, []step{
		{id: 1, content: 1, want: replay.Ours},
		{id: 1, content: 2, want: replay.Ours, then: stays},
		{id: 1, content: 3, want: replay.Ours, then: fails},
		{id: 1, content: 3, want: replay.Ours},
		{id: 1, content: 1, want: replay.Duplicate},
		{id: 1, content: 2, want: replay.InProgress},
		{id: 1, content: 3, want: replay.Duplicate},
	}},
	{"unsigned ID, content unique: a captured copy under another ID is first", uniqueContent, []step{
		{id: 2, content: 1, want: replay.Ours},      // the attacker's
		{id: 1, content: 1, want: replay.Replayed},  // the provider's: the app has handled it
		{id: 2, content: 2, want: replay.Ours},      // a genuine delivery with the attacker's ID
		{id: 2, content: 2, want: replay.Duplicate}, // and its retry
		{id: 1, content: 1, want: replay.Replayed},  // the provider retries
		{id: 1, content: 3, want: replay.Ours},      // its ID is still usable
	}},
	{"unsigned ID, content unique: a captured copy under another ID is first, and fails", uniqueContent, []step{
		{id: 2, content: 1, want: replay.Ours, then: fails},
		{id: 1, content: 1, want: replay.Ours},
		{id: 2, content: 1, want: replay.Replayed},
	}},

	{"unsigned ID, content repeats: a retry", repeatingContent, []step{
		{id: 1, content: 1, want: replay.Ours, then: stays},
		{id: 1, content: 1, want: replay.InProgress},
		{id: 2, content: 1, want: replay.Ours},
		{id: 2, content: 1, want: replay.Duplicate},
	}},
	{"unsigned ID, content repeats: the same content under new IDs", repeatingContent, []step{
		{id: 1, content: 1, want: replay.Ours},
		{id: 2, content: 1, want: replay.Ours},
		{id: 3, content: 1, want: replay.Ours, then: fails},
		{id: 3, content: 1, want: replay.Ours},
		{id: 1, content: 1, want: replay.Duplicate},
		{id: 2, content: 1, want: replay.Duplicate},
	}},
	{"unsigned ID, content repeats: new content under the same ID", repeatingContent, []step{
		{id: 1, content: 1, want: replay.Ours},
		{id: 1, content: 2, want: replay.Ours},
		{id: 1, content: 2, want: replay.Duplicate},
		{id: 1, content: 1, want: replay.Duplicate},
	}},

	{"no ID, content unique: a retry", uniqueContent, []step{
		{content: 1, want: replay.Ours, then: stays},
		{content: 1, want: replay.InProgress},
		{content: 2, want: replay.Ours, then: fails},
		{content: 2, want: replay.Ours},
		{content: 2, want: replay.Duplicate},
	}},
	{"no ID, content unique: other content", uniqueContent, []step{
		{content: 1, want: replay.Ours},
		{content: 2, want: replay.Ours},
		{content: 3, want: replay.Ours},
		{content: 1, want: replay.Duplicate},
	}},

	{"rotation: handled under the old secret, retried while both are set", under(uniqueContent, 1, 2), []step{
		{id: 1, content: 1, want: replay.Ours, as: under(uniqueContent, 1)},
		{id: 1, content: 1, want: replay.Duplicate},
		{id: 2, content: 1, want: replay.Replayed},
	}},
	{"rotation: handled while both are set, retried under the new secret", under(uniqueContent, 1, 2), []step{
		{id: 1, content: 1, want: replay.Ours},
		{id: 1, content: 1, want: replay.Duplicate, as: under(uniqueContent, 2)},
		{id: 2, content: 1, want: replay.Replayed, as: under(uniqueContent, 2)},
	}},
	{"rotation: in progress under one secret", under(repeatingContent, 1, 2), []step{
		{id: 1, content: 1, want: replay.Ours, then: stays, as: under(repeatingContent, 2)},
		{id: 1, content: 1, want: replay.InProgress},
		{id: 2, content: 1, want: replay.Ours},
		{id: 2, content: 1, want: replay.Duplicate, as: under(repeatingContent, 1)},
	}},
	{"rotation: a signed ID", under(signedID, 1, 2), []step{
		{id: 1, content: 1, want: replay.Ours, as: under(signedID, 1)},
		{id: 1, content: 2, want: replay.Duplicate},
		{id: 2, content: 1, want: replay.Ours},
		{id: 2, content: 1, want: replay.Duplicate, as: under(signedID, 2)},
	}},
})

func sequenceTests(table []sequence) map[string]func(*testing.T, Subject) {
	tests := map[string]func(*testing.T, Subject){}
	for _, row := range table {
		tests[row.name] = func(t *testing.T, s Subject) {
			store := s.Open(t, 0)
			for n, step := range row.steps {
				t.Logf("step %d: ID %d, content %d", n+1, step.id, step.content)
				step.run(t, store, row.layout)
			}
		}
	}
	return tests
}

func (s step) run(t *testing.T, store Instance, of layout) {
	if s.as != nil {
		of = s.as
	}
	d := delivery{t: t, store: store, keys: of(s.id, s.content), owner: replay.NewOwner()}
	d.claim(s.want)
	switch {
	case s.want != replay.Ours:
	case s.then != nil:
		s.then(store, d)
	default:
		d.commit(200)
	}
}
