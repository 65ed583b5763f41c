package ledger

import (
	"context"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// Wait is [replay.Store.Wait].
func (l *Ledger) Wait(ctx context.Context, keys replay.Keys) (replay.Ending, error) {
	seen := make(map[replay.Key]replay.Ending)
	for {
		key, watch, left := l.firstClaimed(keys)
		if watch == nil {
			return l.firstEnding(keys, seen), nil
		}
		ending, ended := watch.await(ctx, left)
		if ended {
			seen[key] = ending
		} else if ctx.Err() != nil {
			return replay.Ending{State: replay.Claimed}, nil
		}
	}
}

// await waits until the claim has ended, its lease is due to have run out, or
// ctx ends. A lease of 0 has no end.
func (w *watch) await(ctx context.Context, lease time.Duration) (ending replay.Ending, ended bool) {
	var due <-chan time.Time
	if lease > 0 {
		timer := time.NewTimer(lease)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-w.done:
		return w.ending, true
	case <-due:
		return replay.Ending{}, false
	case <-ctx.Done():
		return replay.Ending{}, false
	}
}

// firstClaimed returns the first blocking key that is claimed, a watch over it, and how
// long its lease still runs: 0 while a commit keeps it open. watch is nil if
// none is claimed.
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

// firstEnding returns the ending of the first blocking key that has one: seen while
// waiting, or told by what the ledger knows.
func (l *Ledger) firstEnding(keys replay.Keys, seen map[replay.Key]replay.Ending) replay.Ending {
	now := l.now()
	var buf [lockHint]*shard
	locked := l.lock(buf[:0], keys.Blocking)
	defer unlock(locked)
	for _, key := range keys.Blocking {
		if ending, ok := seen[key]; ok {
			return ending
		}
		s := l.shardOf(key)
		state, _ := s.state(l, key, now)
		recent, ok := s.endings.find(key, now)
		if ok && recent.ending.State == state {
			return recent.ending
		}
		if state == replay.Handled {
			return replay.Ending{State: replay.Handled}
		}
	}
	return replay.Ending{State: replay.Free}
}
