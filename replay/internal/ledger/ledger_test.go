package ledger

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

func randomKey(r *rand.Rand) (k replay.Key) {
	binary.LittleEndian.PutUint64(k[:], r.Uint64())
	binary.LittleEndian.PutUint64(k[8:], r.Uint64())
	return k
}

func handle(t testing.TB, l *Ledger, key replay.Key, window time.Duration) {
	t.Helper()
	keys := replay.Keys{Blocking: []replay.Key{key}}
	owner := replay.NewOwner()
	if v, err := l.Claim(keys, owner, time.Minute); v != replay.Ours || err != nil {
		t.Fatalf("Claim = %v, %v", v, err)
	}
	if err := l.Commit(keys, owner, l.Expiry(window), 200); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func TestASweepRemovesExactlyTheExpiredKeys(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h handled
	model := map[replay.Key]uint32{}
	keys := make([]replay.Key, 2000)
	for i := range keys {
		keys[i] = randomKey(r)
	}
	for step := range 50_000 {
		key := keys[r.IntN(len(keys))]
		switch r.IntN(500) {
		default:
			expiry := 1 + r.Uint32N(100)
			old, known := model[key]
			want := -1
			switch {
			case !known:
				want = 1
			case expiry > old:
				want = 0
			}
			if got := h.raise(key, expiry); got != want {
				t.Fatalf("step %d: raise = %d, want %d", step, got, want)
			}
			model[key] = max(old, expiry)
		case 1:
			delete(h.expiries, key)
			delete(model, key)
		case 2:
			now, want := r.Uint32N(101), 0
			for k, expiry := range model {
				if expiry <= now {
					delete(model, k)
					want++
				}
			}
			if got := h.sweep(now); got != want {
				t.Fatalf("step %d: swept %d, want %d", step, got, want)
			}
			if !maps.Equal(h.expiries, model) {
				t.Fatalf("step %d: keys differ from the model", step)
			}
		}
	}
}

// For any windows and any pauses between calls, the ledger contains exactly the
// keys within their windows after Expire.
func TestExpiryFollowsEveryWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		l := New(0, 1)
		begin := time.Now()
		type life struct {
			end, late time.Duration
		}
		lives := map[replay.Key]life{}
		for range 2000 {
			time.Sleep(time.Duration(r.ExpFloat64() * float64(time.Minute)))
			if r.IntN(500) == 0 {
				time.Sleep(time.Duration(r.ExpFloat64() * float64(100*time.Hour)))
			}
			window := time.Second << r.IntN(20)
			key := randomKey(r)
			handle(t, l, key, window)
			lives[key] = life{time.Since(begin) + window, time.Since(begin) + window + 3*time.Second}
			if r.IntN(50) != 0 {
				continue
			}
			l.Expire()
			least, most := int64(0), int64(0)
			for key, life := range lives {
				now := time.Since(begin)
				if now < life.end {
					least++
					if l.Lookup([]replay.Key{key})[0] != replay.Handled {
						t.Fatalf("key expired %v early", life.end-now)
					}
				}
				if now < life.late {
					most++
				} else if l.Lookup([]replay.Key{key})[0] != replay.Free {
					t.Fatalf("key remained %v after its expiry", now-life.end)
				}
			}
			if got := l.Stats().Remembered; got < least || got > most {
				t.Fatalf("%d keys, want %d to %d", got, least, most)
			}
		}
	})
}

func TestClaimsSweepOneShardASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		l := New(0, 1)
		for range 20_000 {
			handle(t, l, randomKey(r), time.Hour)
		}
		time.Sleep(2 * time.Hour)
		for _, test := range []struct {
			claims int
			pause  time.Duration
			most   int64
		}{
			{shardCount / 2, 0, 10_500},                // after a pause each claim sweeps one
			{shardCount, 0, shardCount + shardCount/2}, // until all are swept
			{shardCount, time.Second, 2*shardCount + shardCount/2},
		} {
			for range test.claims {
				handle(t, l, randomKey(r), time.Hour)
				time.Sleep(test.pause)
			}
			if got := l.Stats().Remembered; got > test.most {
				t.Errorf("%d keys, want at most %d", got, test.most)
			}
		}
	})
}

func TestMemoryIsFreedAfterExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		l := New(0, 1)
		for range 100_000 {
			handle(t, l, randomKey(r), time.Hour)
		}
		time.Sleep(2 * time.Hour)
		l.Expire()
		for i := range l.shards {
			s := &l.shards[i]
			if len(s.handled.expiries) != 0 || s.handled.most > 0 {
				t.Fatalf("shard %d still has a map for %d keys", i, s.handled.most)
			}
		}
	})
}

func TestAKeyUsesAtMost48Bytes(t *testing.T) {
	const keys = 2_000_000
	r := rand.New(rand.NewPCG(9, 10))
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	l := New(0, 1)
	for n := range keys {
		key := randomKey(r)
		l.held.Add(1)
		l.remember(l.shardOf(key), key, l.base+uint32(7*24*3600+n/200))
		if n%250_000 != 0 || n < keys/2 {
			continue
		}
		if got := float64(heap()-before) / float64(n); got > BytesPerKey {
			t.Errorf("%.1f bytes a key at %d keys, want at most %d", got, n, BytesPerKey)
		}
	}
	runtime.KeepAlive(l)
}

func TestExpiredClaimsDoNotAccumulate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		l := New(0, 1)
		for range 200 {
			for range 1000 {
				keys := replay.Keys{Blocking: []replay.Key{randomKey(r)}}
				if _, err := l.Claim(keys, replay.NewOwner(), time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute)
		}
		if got := l.Stats().Claimed; got > shardCount*16*2 {
			t.Errorf("%d claims are stored, 1000 of them live", got)
		}
	})
}

// The lease can expire while a commit is being made durable.
func TestAPinnedClaimOutlivesItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(0, 1)
		keys := replay.Keys{Blocking: []replay.Key{{1}}}
		owner := replay.NewOwner()
		if _, err := l.Claim(keys, owner, time.Minute); err != nil {
			t.Fatal(err)
		}
		if done, err := l.Pin(keys, owner); done || err != nil {
			t.Fatalf("Pin = %v, %v", done, err)
		}
		time.Sleep(time.Hour)
		if v, _ := l.Claim(keys, replay.NewOwner(), time.Minute); v != replay.InProgress {
			t.Errorf("claimed by another while pinned: %v", v)
		}
		waited := make(chan replay.Resolution)
		go func() {
			e, _ := l.Wait(t.Context(), keys)
			waited <- e
		}()
		synctest.Wait()
		l.Unpin(keys, owner)
		if e := <-waited; e != (replay.Resolution{State: replay.Free}) {
			t.Errorf("Wait = %+v, want free", e)
		}
		if v, _ := l.Claim(keys, replay.NewOwner(), time.Minute); v != replay.Ours {
			t.Errorf("Claim after a failed commit past the lease = %v, want ours", v)
		}
	})
}
