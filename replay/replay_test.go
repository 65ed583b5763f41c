package replay

import (
	"bytes"
	"testing"
)

func TestKeysDifferIfAnyPartDiffers(t *testing.T) {
	type parts struct {
		namespace, secret string
		kind              Kind
		value             string
	}
	// Each pair would collide if the parts were joined without their lengths.
	distinct := []parts{
		{"shop", "k1", KindID, "42"},
		{"shop", "k1", KindContent, "42"},
		{"shop", "k2", KindID, "42"},
		{"shop", "k1", KindID, "43"},
		{"shopk", "1", KindID, "42"},
		{"sho", "pk1", KindID, "42"},
		{"shop", "k1i", KindID, "42"},
		{"shop", "k", KindID, "142"},
		{"shop", "k1", KindID, ""},
		{"", "shopk1", KindID, "42"},
		{"shop", "", KindID, "k142"},
		{"shop", "k1", KindID, "42\x00"},
		{"shop\x00", "k1", KindID, "42"},
	}
	seen := map[Key]parts{}
	for _, p := range distinct {
		k := NewKey(p.namespace, []byte(p.secret), p.kind, []byte(p.value))
		if other, ok := seen[k]; ok {
			t.Errorf("%+v and %+v share the key %s", p, other, k)
		}
		seen[k] = p
	}
}

// Keys are stored for weeks: if their derivation changed, an upgrade would lose
// all of them.
func TestKeyDerivationNeverChanges(t *testing.T) {
	got := NewKey("stripe", []byte("fingerprint"), KindID, []byte("evt_1")).String()
	const want = "EEaLFkq5DLAD3kUcsDcn7g"
	if got != want {
		t.Errorf("NewKey = %s, want %s", got, want)
	}
}

func TestKeyStringHidesItsParts(t *testing.T) {
	k := NewKey("namespace", []byte("secret"), KindID, []byte("value"))
	for _, part := range []string{"namespace", "secret", "value"} {
		if bytes.Contains(k[:], []byte(part)) || bytes.Contains([]byte(k.String()), []byte(part)) {
			t.Errorf("key %s shows %q", k, part)
		}
	}
	if len(k.String()) != 22 {
		t.Errorf("len(%q) = %d, want 22", k.String(), len(k.String()))
	}
}

func TestAllListsBlockingKeysBeforeNotes(t *testing.T) {
	keys := Keys{Blocking: []Key{{1}, {2}}, Notes: []Key{{3}}}
	all := keys.All()
	if len(all) != 3 || all[0] != (Key{1}) || all[1] != (Key{2}) || all[2] != (Key{3}) {
		t.Errorf("All() = %v", all)
	}
}

func TestJudge(t *testing.T) {
	states := func(s ...State) []State { return s }
	tests := []struct {
		name            string
		blocking, notes []State
		want            Verdict
	}{
		{"all keys free: ours", states(Free), states(Free), Ours},
		{"a free blocking key without a note: ours", states(Free), nil, Ours},
		{"a handled note alone: ours", states(Free), states(Handled), Ours},
		{"a claimed note alone: ours", states(Free), states(Claimed), Ours},
		{"no blocking key: ours", nil, states(Handled), Ours},

		{"a handled key without a note: duplicate", states(Handled), nil, Duplicate},
		{"a handled key with a handled note: duplicate", states(Handled), states(Handled), Duplicate},
		{"one of several notes handled: duplicate", states(Handled), states(Free, Handled), Duplicate},
		{"one of several keys handled: duplicate", states(Free, Handled), nil, Duplicate},
		{"a handled key and a claimed one: duplicate", states(Claimed, Handled), nil, Duplicate},

		{"a handled key with another note: replayed", states(Handled), states(Free), Replayed},
		{"a handled key with a claimed note: replayed", states(Handled), states(Claimed), Replayed},
		{"one of several keys handled, with another note: replayed", states(Free, Handled), states(Free, Free), Replayed},

		{"a claimed key: in progress", states(Claimed), nil, InProgress},
		{"a claimed key with a handled note: in progress", states(Claimed), states(Handled), InProgress},
		{"one of several keys claimed: in progress", states(Free, Claimed), states(Free, Free), InProgress},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Judge(test.blocking, test.notes); got != test.want {
				t.Errorf("Judge(%v, %v) = %d, want %d", test.blocking, test.notes, got, test.want)
			}
		})
	}
}

func TestStatesHaveNames(t *testing.T) {
	for state, want := range map[State]string{Free: "free", Claimed: "claimed", Handled: "handled", 9: "unknown"} {
		if got := state.String(); got != want {
			t.Errorf("State(%d).String() = %q, want %q", state, got, want)
		}
	}
}

func TestOwnersAreUnique(t *testing.T) {
	seen := map[Owner]bool{{}: true}
	for range 1000 {
		o := NewOwner()
		if seen[o] {
			t.Fatalf("NewOwner returned %x twice", o)
		}
		seen[o] = true
	}
}
