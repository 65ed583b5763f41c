// Package redis is a replay store in Redis or Valkey that several Caddy
// instances can share. It requires Redis 6.2 or later: standalone, behind
// Sentinel or as a Cluster.
//
// Every operation is one Lua script and therefore atomic over all keys of a
// delivery. A blocking key has three Redis keys: "c" contains the owner while
// the key is claimed, "h" the owner that committed it while it is handled, and
// "e" for a minute how the last claim ended, for waiting copies. A note has
// only "h". Every Redis key has an expiry, by the server's clock.
//
// In a Cluster, a script can access only one slot, and the keys of a delivery
// are digests that would be in different slots. Claiming them one by one, and
// undoing partial claims after a conflict, would not be atomic for concurrent
// readers, nor after a crash between two commits: a delivery's ID would be
// handled and its content not. So all keys of a store share a hash tag, their
// prefix, and are in one slot. A Cluster provides a store with availability,
// and with the memory and throughput of one node. Stores with different
// prefixes are spread over the nodes.
package redis

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// Defaults of [Options].
const (
	DefaultPrefix  = "verify_webhook"
	DefaultTimeout = redisclient.DefaultTimeout
)

// ErrUnavailable means that Redis could not be reached, did not respond in
// time, or responded that it cannot serve requests.
var ErrUnavailable = redisclient.ErrUnavailable

// Options are the settings of a [Store].
type Options struct {
	// URL is the address of Redis with the credentials:
	//
	//	redis://user:password@host:6379/0
	//	rediss://host:6380                           over TLS
	//	unix:///run/redis/redis.sock?db=1
	//	redis://host1:6379?addr=host2:6379           a Cluster, by some of its nodes
	//	redis://sentinel1:26379?addr=sentinel2:26379&master_set=mymaster
	//
	// Further query options: protocol (2 to avoid RESP3), client_name,
	// skip_verify (of the TLS certificate), sentinel_username and
	// sentinel_password. With one address, a Cluster is detected automatically.
	URL string
	// Prefix is the beginning of every Redis key and, in braces, its hash tag.
	// A prefix that contains braces is used as it is. Default "verify_webhook".
	Prefix string
	// Timeout limits every call, including connecting. Default 1 s.
	Timeout time.Duration
	// TLS replaces the TLS settings of a rediss URL, for example to set other
	// roots or a client certificate. Optional.
	TLS *tls.Config
	// Logger logs when the connection is lost and restored, once each, and if
	// the server may evict keys. [Store.SetLogger] replaces it.
	Logger *slog.Logger
}

// Store is a [replay.Store] in Redis. Create it with [New].
type Store struct {
	client  *redisclient.Client
	prefix  string
	undoing chan struct{} // limits releases in the background
}

var (
	_ replay.Store         = (*Store)(nil)
	_ replay.Lookuper      = (*Store)(nil)
	_ replay.Forgetter     = (*Store)(nil)
	_ replay.StatsReporter = (*Store)(nil)
)

// New returns a store. If Redis cannot be reached, New logs this, and the store
// keeps trying to connect; until then calls fail with [ErrUnavailable]. New
// returns an error if the URL is invalid or the server rejects the credentials.
func New(o Options) (*Store, error) {
	client, err := redisclient.New(o.client())
	if err != nil {
		return nil, err
	}
	return &Store{client: client, prefix: redisclient.HashTag(cmp.Or(o.Prefix, DefaultPrefix)), undoing: make(chan struct{}, 64)}, nil
}

// Check returns the error that [New] would return before it connects.
func (o Options) Check() error { return o.client().CheckURL() }

func (o Options) client() redisclient.Options {
	return redisclient.Options{
		URL: o.URL, Timeout: o.Timeout, TLS: o.TLS, Logger: o.Logger,
		Impact: "deliveries are rejected until it is available", Check: checkEviction,
	}
}

// checkEviction logs a warning if the server may evict keys when it is short of
// memory.
func checkEviction(ctx context.Context, node rueidis.Client, logger *slog.Logger, address string) {
	policy, err := redisclient.Policy(ctx, node)
	switch {
	case logger == nil:
	case err != nil:
		logger.LogAttrs(ctx, slog.LevelWarn, "cannot read maxmemory-policy of redis; only noeviction is safe", slog.String("address", address), slog.Any("error", err))
	case policy != "noeviction":
		logger.LogAttrs(ctx, slog.LevelWarn, "redis may evict handled deliveries, which can then be replayed; set maxmemory-policy to noeviction",
			slog.String("address", address), slog.String("maxmemory_policy", policy))
	}
}

// SetLogger replaces [Options.Logger]; nil logs nothing.
func (s *Store) SetLogger(l *slog.Logger) { s.client.SetLogger(l) }

// SetTimeout replaces [Options.Timeout] for calls. Connecting keeps the old
// one.
func (s *Store) SetTimeout(d time.Duration) { s.client.SetTimeout(d) }

// Claim implements [replay.Store].
func (s *Store) Claim(ctx context.Context, keys replay.Keys, owner replay.Owner, lease time.Duration) (replay.Verdict, error) {
	if len(keys.Blocking) == 0 {
		return 0, replay.ErrNoKeys
	}
	all := keys.All()
	found, err := s.run(ctx, claimScript, all, blockingCount(keys), string(owner[:]), milliseconds(lease)).ToString()
	if err = s.failed(ctx, "claiming", err); err != nil {
		if !errors.Is(err, replay.ErrFull) {
			s.undo(keys, owner)
		}
		return 0, err
	}
	if len(found) != len(all) {
		return 0, fmt.Errorf("claiming in redis: %d states for %d keys", len(found), len(all))
	}
	states := make([]replay.State, len(all))
	for i := range states {
		states[i] = stateOf(found[i])
	}
	return replay.Judge(states[:len(keys.Blocking)], states[len(keys.Blocking):]), nil
}

// undo releases in the background the keys that a claim without a response may
// have claimed. Otherwise copies would wait until its lease expires.
func (s *Store) undo(keys replay.Keys, owner replay.Owner) {
	select {
	case s.undoing <- struct{}{}:
	default:
		return // too many are pending; the lease will expire
	}
	s.client.Background(func(ctx context.Context) {
		defer func() { <-s.undoing }()
		_ = s.Release(ctx, keys, owner, 0)
	})
}

// Renew implements [replay.Store].
func (s *Store) Renew(ctx context.Context, keys replay.Keys, owner replay.Owner, lease time.Duration) error {
	if len(keys.Blocking) == 0 {
		return replay.ErrNoKeys
	}
	held, err := s.run(ctx, renewScript, keys.Blocking, string(owner[:]), milliseconds(lease)).AsInt64()
	return s.asOwner(ctx, "renewing", held, err)
}

// Commit implements [replay.Store]. It is as durable as the server's
// persistence and replication.
func (s *Store) Commit(ctx context.Context, keys replay.Keys, owner replay.Owner, window time.Duration, status int) error {
	if len(keys.Blocking) == 0 {
		return replay.ErrNoKeys
	}
	held, err := s.run(ctx, commitScript, keys.All(), blockingCount(keys), string(owner[:]), milliseconds(window), resolution('h', status), resolutionLife).AsInt64()
	return s.asOwner(ctx, "committing", held, err)
}

// asOwner returns the error for a script that returns whether the caller owns
// the claim.
func (s *Store) asOwner(ctx context.Context, doing string, held int64, err error) error {
	if err = s.failed(ctx, doing, err); err != nil {
		return err
	}
	if held == 0 {
		return replay.ErrNotOwner
	}
	return nil
}

// Release implements [replay.Store].
func (s *Store) Release(ctx context.Context, keys replay.Keys, owner replay.Owner, status int) error {
	if len(keys.Blocking) == 0 {
		return nil
	}
	return s.failed(ctx, "releasing", s.run(ctx, releaseScript, keys.Blocking, string(owner[:]), resolution('f', status), resolutionLife).Error())
}

// Limits of the delay between two polls of a claim.
const (
	firstPoll = 10 * time.Millisecond
	lastPoll  = 250 * time.Millisecond
)

// Wait implements [replay.Store]. It polls, because a notification could be
// lost. The delay grows to a quarter of a second.
func (s *Store) Wait(ctx context.Context, keys replay.Keys) (replay.Resolution, error) {
	seen := make([]bool, len(keys.Blocking)) // claimed at some poll
	for pause := firstPoll; ; pause = min(pause*3/2, lastPoll) {
		resolutions, err := s.look(ctx, keys.Blocking)
		if err != nil && ctx.Err() == nil {
			return replay.Resolution{}, err
		}
		if err == nil {
			if e, over := conclude(resolutions, seen); over {
				return e, nil
			}
		}
		select {
		case <-ctx.Done():
			return replay.Resolution{State: replay.Claimed}, nil
		case <-time.After(pause):
		}
	}
}

// conclude returns the resolution of the first key that has one, if none is
// claimed any longer.
func conclude(resolutions []replay.Resolution, seen []bool) (first replay.Resolution, over bool) {
	over = true
	for i, e := range resolutions {
		if e.State == replay.Claimed {
			seen[i], over = true, false
		}
	}
	if !over {
		return replay.Resolution{State: replay.Claimed}, false
	}
	for i, e := range resolutions {
		if seen[i] || e.State == replay.Handled || e.Status != 0 {
			return e, true
		}
	}
	return replay.Resolution{State: replay.Free}, true
}

// Lookup implements [replay.Lookuper].
func (s *Store) Lookup(ctx context.Context, keys []replay.Key) ([]replay.State, error) {
	resolutions, err := s.look(ctx, keys)
	if err != nil {
		return nil, err
	}
	states := make([]replay.State, len(resolutions))
	for i, e := range resolutions {
		states[i] = e.State
	}
	return states, nil
}

// look returns the state of every key and, if known, the status of its last
// resolution.
func (s *Store) look(ctx context.Context, keys []replay.Key) ([]replay.Resolution, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	found, err := s.run(ctx, lookScript, keys).AsStrSlice()
	if err = s.failed(ctx, "looking up", err); err != nil {
		return nil, err
	}
	if len(found) != len(keys) {
		return nil, fmt.Errorf("looking up in redis: %d states for %d keys", len(found), len(keys))
	}
	resolutions := make([]replay.Resolution, len(found))
	for i, f := range found {
		if f == "" {
			return nil, errors.New("looking up in redis: a state is empty")
		}
		resolutions[i].State = stateOf(f[0])
		resolutions[i].Status, _ = strconv.Atoi(f[1:])
	}
	return resolutions, nil
}

// Forget implements [replay.Forgetter].
func (s *Store) Forget(ctx context.Context, keys []replay.Key) (int, error) {
	if len(keys) == 0 {
		return 0, nil
	}
	n, err := s.run(ctx, forgetScript, keys).AsInt64()
	return int(n), s.failed(ctx, "forgetting", err)
}

// Stats implements [replay.StatsReporter]. It does not query Redis, which does
// not count the keys of a prefix.
func (s *Store) Stats() replay.Stats {
	return replay.Stats{Remembered: -1, Claimed: -1}
}

// Close closes the connections. Later calls fail.
func (s *Store) Close() error {
	s.client.Close()
	return nil
}

// run runs a script over the Redis keys of all keys.
func (s *Store) run(ctx context.Context, script *rueidis.Lua, keys []replay.Key, args ...string) rueidis.RedisResult {
	return s.client.Exec(ctx, script, s.names(keys), args...)
}

// failed records the result of a call and adds details to an error.
func (s *Store) failed(ctx context.Context, doing string, err error) error {
	err = s.client.Failed(ctx, doing, err)
	if redisclient.Full(err) {
		return fmt.Errorf("%s in redis: %w (maxmemory is reached)", doing, replay.ErrFull)
	}
	return err
}

// names returns the three Redis keys of every key.
func (s *Store) names(keys []replay.Key) []string {
	names := make([]string, 0, 3*len(keys))
	for _, key := range keys {
		text := key.String()
		names = append(names, s.prefix+":c:"+text, s.prefix+":h:"+text, s.prefix+":e:"+text)
	}
	return names
}

func blockingCount(keys replay.Keys) string { return strconv.Itoa(len(keys.Blocking)) }

// milliseconds rounds up, so that nothing expires early and the result is never 0, which Redis rejects.
func milliseconds(d time.Duration) string {
	return strconv.FormatInt(max(1, int64((d+time.Millisecond-1)/time.Millisecond)), 10)
}

func resolution(state byte, status int) string {
	return string(state) + strconv.Itoa(status)
}

func stateOf(letter byte) replay.State {
	switch letter {
	case 'f':
		return replay.Free
	case 'h':
		return replay.Handled
	default: // an unknown state is not free
		return replay.Claimed
	}
}
