package ledger

import (
	"context"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// Wait is [replay.Store.Wait].
func (l *Ledger) Wait(ctx context.Context, keys replay.Keys) (replay.Resolution, error) {
	seen := make(map[replay.Key]replay.Resolution)
	for {
		key, watch, left := l.firstClaimed(keys)
		if watch == nil {
			return l.firstResolution(keys, seen), nil
		}
		resolution, ended := watch.await(ctx, left)
		if ended {
			seen[key] = resolution
		} else if ctx.Err() != nil {
			return replay.Resolution{State: replay.Claimed}, nil
		}
	}
}

// await waits until the claim has ended, its lease has expired, or ctx ends. A
// lease of 0 does not expire.
func (w *watch) await(ctx context.Context, lease time.Duration) (resolution replay.Resolution, ended bool) {
	var due <-chan time.Time
	if lease > 0 {
		timer := time.NewTimer(lease)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-w.done:
		return w.resolution, true
	case <-due:
		return replay.Resolution{}, false
	case <-ctx.Done():
		return replay.Resolution{}, false
	}
}

// firstClaimed returns the first claimed blocking key, its watch, and the rest
// of its lease: 0 while a commit is in progress. watch is nil if none is
// claimed.
func (l *Ledger) firstClaimed(keys replay.Keys) (first replay.Key, w *watch, left time.Duration) {
	now := l.now()
	var buf [lockHint]*shard
	locked := l.lock(buf[:0], keys.Blocking)
	defer unlock(locked)
	for _, key := range keys.Blocking {
		s := l.shardOf(key)
		if state, _ := s.state(l, key, now); state != replay.Claimed {
			continue
		}
		c := s.claims[key]
		if c.watch == nil {
			c.watch = &watch{done: make(chan struct{})}
			s.claims[key] = c
		}
		return key, c.watch, max(0, c.until-now.elapsed)
	}
	return replay.Key{}, nil, 0
}

// firstResolution returns the resolution of the first blocking key that has
// one: seen while waiting, or stored in the ledger.
func (l *Ledger) firstResolution(keys replay.Keys, seen map[replay.Key]replay.Resolution) replay.Resolution {
	now := l.now()
	var buf [lockHint]*shard
	locked := l.lock(buf[:0], keys.Blocking)
	defer unlock(locked)
	for _, key := range keys.Blocking {
		if resolution, ok := seen[key]; ok {
			return resolution
		}
		s := l.shardOf(key)
		state, _ := s.state(l, key, now)
		recent, ok := s.resolutions.find(key, now)
		if ok && recent.resolution.State == state {
			return recent.resolution
		}
		if state == replay.Handled {
			return replay.Resolution{State: replay.Handled}
		}
	}
	return replay.Resolution{State: replay.Free}
}
