// Package redis is a queue in Redis or Valkey that several Caddy instances can
// share. It requires Redis 6.2 or later: standalone, behind Sentinel or as a
// Cluster.
//
// Every operation is one Lua script. All keys of a queue share a hash tag, so
// that a queue is in one slot of a Cluster. Queues with different names are
// spread over the nodes. Leases and all other times are measured by the
// server's clock. The prelude of the scripts describes how a queue is stored.
//
// Durability of an entry depends on the server's settings: see
// [Store.Warnings].
package redis

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient"
	"github.com/verify-webhook/caddy-verify-webhook/queue"
	"github.com/verify-webhook/caddy-verify-webhook/queue/internal/record"
)

// Defaults of [Options].
const (
	DefaultPrefix  = "verify_webhook_queue"
	DefaultTimeout = redisclient.DefaultTimeout
)

// Options are the settings of a [Store].
type Options struct {
	// URL is the address of Redis with the credentials, as for the replay
	// store.
	URL string
	// Prefix is the beginning of every Redis key. Together with the name of the
	// queue, in braces, it is the hash tag. Default "verify_webhook_queue".
	Prefix string
	// Timeout limits every call, including connecting, and every part of a
	// large body. Default 1 s.
	Timeout time.Duration
	// TLS replaces the TLS settings of a rediss URL, for example to set other
	// roots or a client certificate. Optional.
	TLS *tls.Config
	// Logger logs when the connection is lost and restored, once each, and
	// settings of the server that endanger entries. [Store.SetLogger] replaces
	// it.
	Logger *slog.Logger
}

// Store is a [queue.Queue] in Redis. Create it with [New].
type Store struct {
	client *redisclient.Client
	prefix string

	mu    sync.Mutex
	named map[string]time.Time // when a name was last added to the set of names
}

var (
	_ queue.Queue  = (*Store)(nil)
	_ queue.Warner = (*Store)(nil)
)

// New returns a queue. If Redis cannot be reached, New logs this, and the queue
// keeps trying to connect; until then calls fail with [queue.ErrUnavailable].
// New returns an error if the URL is invalid or the server rejects the
// credentials.
func New(o Options) (*Store, error) {
	client, err := redisclient.New(o.client())
	if err != nil {
		return nil, err
	}
	prefix := strings.NewReplacer("{", "", "}", "").Replace(cmp.Or(o.Prefix, DefaultPrefix))
	return &Store{client: client, prefix: cmp.Or(prefix, DefaultPrefix), named: map[string]time.Time{}}, nil
}

// Check returns the error that [New] would return before it connects.
func (o Options) Check() error { return o.client().CheckURL() }

func (o Options) client() redisclient.Options {
	return redisclient.Options{
		URL: o.URL, Timeout: o.Timeout, TLS: o.TLS, Logger: o.Logger,
		Impact: "deliveries are rejected, and queued ones wait, until it is available", Check: logWarnings,
	}
}

// SetLogger replaces [Options.Logger]; nil logs nothing.
func (s *Store) SetLogger(l *slog.Logger) { s.client.SetLogger(l) }

// SetTimeout replaces [Options.Timeout] for calls. Connecting keeps the old
// one.
func (s *Store) SetTimeout(d time.Duration) { s.client.SetTimeout(d) }

// Close implements [queue.Queue].
func (s *Store) Close() error {
	s.client.Close()
	return nil
}

// tag returns the prefix of all keys of a queue. The name is escaped, because a
// brace would end the hash tag and a colon could make keys of two queues equal.
func (s *Store) tag(name string) string { return "{" + s.prefix + ":" + url.QueryEscape(name) + "}" }

func (s *Store) namesKey() string { return "{" + s.prefix + "}:names" }

// run runs a script on a queue.
func (s *Store) run(ctx context.Context, script *rueidis.Lua, name string, args ...string) rueidis.RedisResult {
	return s.client.Exec(ctx, script, []string{s.tag(name) + ":m"}, args...)
}

// failed records the result of a call and adds details to an error.
func (s *Store) failed(ctx context.Context, doing string, err error) error {
	if err != nil && s.client.Closed() {
		return queue.ErrClosed
	}
	err = s.client.Failed(ctx, doing+" in redis", err)
	switch {
	case err == nil:
		return nil
	case redisclient.Full(err):
		return fmt.Errorf("%s: %w", doing, &queue.FullError{What: queue.FullMemory})
	default:
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
	}
}

// addName adds a queue to the names that [Store.Names] returns. It repeats this
// every minute, because a failover can lose the name.
func (s *Store) addName(ctx context.Context, name string) error {
	const interval = time.Minute
	s.mu.Lock()
	known := time.Since(s.named[name]) < interval
	s.mu.Unlock()
	if known {
		return nil
	}
	err := s.failed(ctx, "storing the name of a queue", s.client.Do(ctx, func(ctx context.Context, c rueidis.Client) rueidis.RedisResult {
		return c.Do(ctx, c.B().Sadd().Key(s.namesKey()).Member(name).Build())
	}).Error())
	if err == nil {
		s.mu.Lock()
		s.named[name] = time.Now()
		s.mu.Unlock()
	}
	return err
}

// Put implements [queue.Queue].
func (s *Store) Put(ctx context.Context, put queue.Put) (queue.PutResult, error) {
	if err := put.Check(); err != nil {
		return queue.PutResult{}, err
	}
	if put.Key == "" {
		put.Key = queue.NewKey()
	}
	request, err := record.Encode(&put.Request)
	if err != nil {
		return queue.PutResult{}, err
	}
	if err := s.addName(ctx, put.Queue); err != nil {
		return queue.PutResult{}, err
	}
	if put.BodySize > maxInline { // check first, to avoid storing a large body in vain
		if _, state, _, err := s.look(ctx, put.Queue, put.Key, "s"); err != nil || state != 0 {
			return queue.PutResult{Key: put.Key, Existing: state}, err
		}
	}
	body, err := s.storeBody(ctx, &put)
	if err != nil {
		return queue.PutResult{}, err
	}
	if put.Accepted.IsZero() {
		put.Accepted = time.Now()
	}
	reply, err := s.run(ctx, putScript, put.Queue,
		put.Key, queue.NewKey(), string(request), string(body.inline), body.name,
		number(put.BodySize), number(int64(len(request))+put.BodySize), number(int64(body.sum)),
		number(put.Accepted.UnixMilli()), milliseconds(put.Delay), milliseconds(put.Remember),
		number(put.Limits.MaxEntries), number(put.Limits.MaxBytes), number(cmp.Or(put.Limits.MaxTombstones, queue.DefaultMaxTombstones)),
	).ToString()
	if err = s.failed(ctx, "putting", err); err != nil {
		return queue.PutResult{}, err // the body expires unless the entry was stored
	}
	if reply != "n" {
		s.dropBody(ctx, put.Queue, body.name)
	}
	switch reply {
	case "n":
		return queue.PutResult{Key: put.Key}, nil
	case "E":
		return queue.PutResult{}, &queue.FullError{What: queue.FullEntries, Limit: put.Limits.MaxEntries}
	case "B":
		return queue.PutResult{}, &queue.FullError{What: queue.FullBytes, Limit: put.Limits.MaxBytes}
	case "L":
		return queue.PutResult{}, fmt.Errorf("putting: %w: redis lost a body while it was being stored", queue.ErrUnavailable)
	}
	state, err := stateOf(reply)
	return queue.PutResult{Key: put.Key, Existing: state}, err
}

func stateOf(letter string) (queue.State, error) {
	switch letter {
	case "":
		return 0, nil
	case "w":
		return queue.Waiting, nil
	case "i":
		return queue.InFlight, nil
	case "d":
		return queue.Dead, nil
	case "D":
		return queue.Delivered, nil
	case "X":
		return queue.Discarded, nil
	}
	return 0, fmt.Errorf("%w: unknown state of an entry in redis: %q", queue.ErrDamaged, letter)
}

// Lease implements [queue.Queue].
func (s *Store) Lease(ctx context.Context, name string, n int, lease time.Duration) ([]queue.Lease, time.Duration, error) {
	if err := queue.CheckName(name); err != nil {
		return nil, 0, err
	}
	prefix := queue.NewKey() + "."
	args := append([]string{strconv.Itoa(max(n, 0)), milliseconds(lease), prefix}, allFields...)
	reply, err := s.run(ctx, leaseScript, name, args...).ToArray()
	if err = s.failed(ctx, "leasing", err); err != nil {
		return nil, 0, err
	}
	if len(reply) < 2 {
		return nil, 0, errUnreadable
	}
	next, err := reply[0].AsInt64()
	if err != nil {
		return nil, 0, errUnreadable
	}
	now := integer(reply[1])
	var leases []queue.Lease
	for i := 2; i+1 < len(reply); i += 2 {
		key, _ := reply[i].ToString()
		fields, err := reply[i+1].ToArray()
		if err != nil {
			return nil, 0, errUnreadable
		}
		l, err := s.read(name, key, queue.InFlight, now, fields)
		l.Token = prefix + strconv.Itoa(i/2)
		if err != nil { // mark it dead, so that it does not block others
			err = s.Finish(ctx, l, queue.Outcome{Action: queue.Bury, Uncounted: true, Result: queue.Result{Error: err.Error()}})
			if err != nil {
				return leases, 0, err
			}
			continue
		}
		leases = append(leases, l)
	}
	return leases, max(time.Duration(next)*time.Millisecond, -1), nil
}

// errUnreadable reports a script response in an unexpected format.
var errUnreadable = fmt.Errorf("%w: unexpected response from redis", queue.ErrUnavailable)

// Renew implements [queue.Queue].
func (s *Store) Renew(ctx context.Context, l queue.Lease, lease time.Duration) error {
	held, err := s.run(ctx, renewScript, l.Entry.Queue, l.Entry.Key, l.Token, milliseconds(lease)).AsInt64()
	if err = s.failed(ctx, "renewing", err); err != nil {
		return err
	}
	if held == 0 {
		return queue.ErrNotLeased
	}
	return nil
}

// Finish implements [queue.Queue].
func (s *Store) Finish(ctx context.Context, l queue.Lease, o queue.Outcome) error {
	letters := map[queue.Action]string{queue.Deliver: "D", queue.Discard: "X", queue.Bury: "d", queue.Retry: "w", queue.PutBack: "p"}
	counted := "1"
	if o.Uncounted {
		counted = "0"
	}
	if o.Result.At.IsZero() {
		o.Result.At = time.Now()
	}
	action := letters[o.Action]
	reply, err := s.run(ctx, finishScript, l.Entry.Queue, l.Entry.Key, l.Token, action, milliseconds(o.Delay), counted,
		strconv.Itoa(o.Result.Status), queue.Shorten(o.Result.Error), number(o.Result.At.UnixMilli()), queue.NewKey()).ToString()
	if err = s.failed(ctx, "finishing", err); err != nil {
		return err
	}
	if reply == "o" || reply == action && (o.Action == queue.Deliver || o.Action == queue.Discard) {
		return nil
	}
	return queue.ErrNotLeased
}

// look returns the clock, the state of an entry and its fields; the state is 0
// if there is none.
func (s *Store) look(ctx context.Context, name, key string, fields ...string) (now int64, state queue.State, values []rueidis.RedisMessage, err error) {
	if err := queue.CheckName(name); err != nil {
		return 0, 0, nil, err
	}
	reply, err := s.run(ctx, lookScript, name, append([]string{key}, fields...)...).ToArray()
	if err = s.failed(ctx, "looking up", err); err != nil {
		return 0, 0, nil, err
	}
	if len(reply) < 2 {
		return 0, 0, nil, errUnreadable
	}
	letter, _ := reply[1].ToString()
	if state, err = stateOf(letter); err != nil || state == 0 {
		return 0, 0, nil, err
	}
	if len(reply) < 3 {
		return 0, 0, nil, errUnreadable
	}
	values, err = reply[2].ToArray()
	return integer(reply[0]), state, values, err
}

// Get implements [queue.Queue].
func (s *Store) Get(ctx context.Context, name, key string) (queue.Entry, error) {
	l, err := s.lookUp(ctx, name, key)
	if errors.Is(err, queue.ErrDamaged) && l.Entry.Request.Header != nil {
		err = nil // only its body is damaged
	}
	return l.Entry, err
}

// Body implements [queue.Queue].
func (s *Store) Body(ctx context.Context, name, key string) (queue.Body, error) {
	l, err := s.lookUp(ctx, name, key)
	switch {
	case l.Body != nil:
		return l.Body, nil
	case err == nil: // a tombstone
		return nil, queue.ErrNotFound
	default:
		return nil, err
	}
}

func (s *Store) lookUp(ctx context.Context, name, key string) (queue.Lease, error) {
	now, state, values, err := s.look(ctx, name, key, allFields...)
	if err != nil {
		return queue.Lease{}, err
	}
	if state == 0 {
		return queue.Lease{}, queue.ErrNotFound
	}
	return s.read(name, key, state, now, values)
}

// List implements [queue.Queue].
func (s *Store) List(ctx context.Context, filter queue.Filter) (page queue.Page, err error) {
	after, err := filter.Check()
	if err != nil {
		return page, err
	}
	const maxSearch, part = 10_000, 200
	for searched := 0; searched < maxSearch; searched += part {
		more, err := s.listPart(ctx, &filter, &after, part, &page)
		if err != nil {
			return queue.Page{}, err
		}
		if !more {
			return page, nil
		}
		page.Next = queue.Cursor(after)
		if len(page.Entries) == filter.Limit {
			break
		}
	}
	return page, nil
}

// listPart adds the matching entries of a part of the list, and reports whether
// there may be more after it.
func (s *Store) listPart(ctx context.Context, filter *queue.Filter, after *uint64, part int, page *queue.Page) (more bool, err error) {
	order, states := "o", "wd"
	if filter.NewestFirst {
		order = "n"
	}
	switch filter.State {
	case queue.Waiting, queue.InFlight:
		states = "w"
	case queue.Dead:
		states = "d"
	default:
	}
	// One more entry shows whether there is a next page.
	args := append([]string{strconv.FormatUint(*after, 10), order, strconv.Itoa(part + 1), states}, metaFields...)
	reply, err := s.run(ctx, listScript, filter.Queue, args...).ToArray()
	if err = s.failed(ctx, "listing", err); err != nil {
		return false, err
	}
	page.Next = ""
	const width = 4
	for i := 1; i+width <= len(reply); i += width {
		if i > part*width || len(page.Entries) == filter.Limit {
			return true, nil
		}
		*after = uint64(integer(reply[i]))
		key, _ := reply[i+1].ToString()
		letter, _ := reply[i+2].ToString()
		state, err := stateOf(letter)
		fields, failed := reply[i+3].ToArray()
		if err != nil || failed != nil {
			continue
		}
		if e := entryOf(filter.Queue, key, state, integer(reply[0]), fields); filter.Matches(&e) {
			page.Entries = append(page.Entries, e)
		}
	}
	return false, nil
}

// Retry implements [queue.Queue].
func (s *Store) Retry(ctx context.Context, name string, keys []string) (int, error) {
	return s.change(ctx, name, "retry", keys)
}

// Discard implements [queue.Queue].
func (s *Store) Discard(ctx context.Context, name string, keys []string) (int, error) {
	return s.change(ctx, name, "discard", keys)
}

// Forget implements [queue.Queue].
func (s *Store) Forget(ctx context.Context, name string, keys []string) (int, error) {
	return s.change(ctx, name, "forget", keys)
}

func (s *Store) change(ctx context.Context, name, how string, keys []string) (int, error) {
	if err := queue.CheckKeys(name, keys); err != nil {
		return 0, err
	}
	n, err := s.run(ctx, changeScript, name, append([]string{how}, keys...)...).AsInt64()
	return int(n), s.failed(ctx, "changing entries", err)
}

// SetPaused implements [queue.Queue].
func (s *Store) SetPaused(ctx context.Context, name string, paused bool) error {
	if err := queue.CheckName(name); err != nil {
		return err
	}
	if err := s.addName(ctx, name); err != nil {
		return err
	}
	value := "0"
	if paused {
		value = "1"
	}
	return s.failed(ctx, "pausing", s.run(ctx, pauseScript, name, value).Error())
}

// Stats implements [queue.Queue].
func (s *Store) Stats(ctx context.Context, name string) (queue.Stats, error) {
	if err := queue.CheckName(name); err != nil {
		return queue.Stats{}, err
	}
	reply, err := s.run(ctx, statsScript, name).ToArray()
	if err = s.failed(ctx, "counting", err); err != nil {
		return queue.Stats{}, err
	}
	if len(reply) != 8 {
		return queue.Stats{}, errUnreadable
	}
	stats := queue.Stats{
		Waiting: integer(reply[1]), Dead: integer(reply[2]), Tombstones: integer(reply[3]), Bytes: integer(reply[4]),
		InFlight: integer(reply[5]), Paused: integer(reply[7]) == 1,
	}
	stats.Waiting -= stats.InFlight
	if put := integer(reply[6]); put != 0 {
		stats.OldestWaiting = time.Duration(max(integer(reply[0])-put, 0)) * time.Millisecond
	}
	return stats, nil
}

// Names implements [queue.Queue].
func (s *Store) Names(ctx context.Context) ([]string, error) {
	all, err := s.client.Do(ctx, func(ctx context.Context, c rueidis.Client) rueidis.RedisResult {
		return c.Do(ctx, c.B().Smembers().Key(s.namesKey()).Build())
	}).AsStrSlice()
	if err = s.failed(ctx, "reading the names of queues", err); err != nil {
		return nil, err
	}
	var names []string
	for _, name := range all {
		stats, err := s.Stats(ctx, name)
		if err != nil {
			return nil, err
		}
		if stats.Waiting+stats.InFlight+stats.Dead+stats.Tombstones != 0 || stats.Paused {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// maxExpired is the maximum number of removals per call of Expire.
const maxExpired = 500

// Expire implements [queue.Queue].
func (s *Store) Expire(ctx context.Context, name string, keep time.Duration) (more bool, err error) {
	if err := queue.CheckName(name); err != nil {
		return false, err
	}
	n, err := s.run(ctx, expireScript, name, milliseconds(keep), strconv.Itoa(maxExpired)).AsInt64()
	return n == 1, s.failed(ctx, "expiring", err)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// milliseconds rounds up, so that nothing expires early.
func milliseconds(d time.Duration) string {
	return number(int64(max(d, 0)/time.Millisecond) + min(int64(max(d, 0)%time.Millisecond), 1))
}

// integer parses a number that a script returns as text or as a number.
func integer(m rueidis.RedisMessage) int64 {
	n, _ := m.AsInt64()
	return n
}
