package replay

import (
	"bytes"
	"testing"
)

func TestKeysDifferWhereverAnyPartDiffers(t *testing.T) {
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

// Keys are stored for weeks: a change of their derivation would forget
// everything at an upgrade.
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
		{"everything free is ours", states(Free), states(Free), Ours},
		{"a free blocking key alone is ours", states(Free), nil, Ours},
		{"a handled note alone means nothing", states(Free), states(Handled), Ours},
		{"a claimed note alone means nothing", states(Free), states(Claimed), Ours},
		{"no blocking key, no verdict against it", nil, states(Handled), Ours},

		{"a handled key without a note is a duplicate", states(Handled), nil, Duplicate},
		{"a handled key with a handled note is a duplicate", states(Handled), states(Handled), Duplicate},
		{"one handled note of several is enough", states(Handled), states(Free, Handled), Duplicate},
		{"one handled key of several is enough", states(Free, Handled), nil, Duplicate},
		{"a handled key outweighs a claimed one", states(Claimed, Handled), nil, Duplicate},

		{"a handled key under another note is a replay", states(Handled), states(Free), Replayed},
		{"a note that is claimed is not handled", states(Handled), states(Claimed), Replayed},
		{"one handled key of several under another note is a replay", states(Free, Handled), states(Free, Free), Replayed},

		{"a claimed key is in progress", states(Claimed), nil, InProgress},
		{"a claimed key is in progress whatever the note", states(Claimed), states(Handled), InProgress},
		{"one claimed key of several is enough", states(Free, Claimed), states(Free, Free), InProgress},
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
