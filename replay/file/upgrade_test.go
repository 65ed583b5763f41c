package file

import (
	"compress/gzip"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// The version that wrote the file in testdata had no notes and claimed both the
// ID and the content of a delivery. Deliveries that it handled must still count
// as handled, whether their keys are now blocking keys or notes, both or only
// one of them.
func TestDeliveriesInAFileWithoutNotesStillCount(t *testing.T) {
	before := func(kind replay.Kind, n int) replay.Key {
		return replay.NewKey("before", []byte("secret"), kind, binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	id := func(n int) []replay.Key { return []replay.Key{before(replay.KindID, n)} }
	content := func(n int) []replay.Key { return []replay.Key{before(replay.KindContent, n)} }
	const none = 0 // the number of an unknown delivery

	for name, deliveries := range map[string]struct {
		first, last int
		keys        func(n int) replay.Keys
		want        replay.Verdict
	}{
		"its content, under its ID":               {1, 20, func(n int) replay.Keys { return replay.Keys{Blocking: content(n), Notes: id(n)} }, replay.Duplicate},
		"its content, under another ID":           {1, 20, func(n int) replay.Keys { return replay.Keys{Blocking: content(n), Notes: id(none)} }, replay.Replayed},
		"its ID, with other content":              {1, 20, func(n int) replay.Keys { return replay.Keys{Blocking: content(none), Notes: id(n)} }, replay.Ours},
		"its signed ID":                           {21, 30, func(n int) replay.Keys { return replay.Keys{Blocking: id(n)} }, replay.Duplicate},
		"its content, without an ID":              {31, 40, func(n int) replay.Keys { return replay.Keys{Blocking: content(n)} }, replay.Duplicate},
		"its content and ID, after its window":    {41, 50, func(n int) replay.Keys { return replay.Keys{Blocking: append(content(n), id(n)...)} }, replay.Ours},
		"its content and ID, which are forgotten": {51, 60, func(n int) replay.Keys { return replay.Keys{Blocking: append(content(n), id(n)...)} }, replay.Ours},
		"its content, when its ID is forgotten":   {61, 70, func(n int) replay.Keys { return replay.Keys{Blocking: content(n), Notes: id(n)} }, replay.Replayed},
		"its redelivery pass":                     {61, 70, func(n int) replay.Keys { return replay.Keys{Blocking: []replay.Key{before(replay.KindPass, n)}} }, replay.Duplicate},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "replay.db")
			unpack(t, filepath.Join("testdata", "before-notes.db.gz"), path)
			now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
			store := mustOpen(t, Options{Path: path, wall: func() time.Time { return now }})
			for n := deliveries.first; n <= deliveries.last; n++ {
				owner := replay.NewOwner()
				keys := deliveries.keys(n)
				got, err := store.Claim(t.Context(), keys, owner, time.Minute)
				if err != nil || got != deliveries.want {
					t.Fatalf("Claim of delivery %d = %v, %v; want %v", n, got, err, deliveries.want)
				}
				if got != replay.Ours {
					continue
				}
				if err := store.Release(t.Context(), keys, owner, 500); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func unpack(t *testing.T, from, to string) {
	t.Helper()
	packed, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = packed.Close() }()
	r, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
