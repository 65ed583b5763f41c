package queue

import (
	"cmp"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/store"
	"github.com/verify-webhook/caddy-verify-webhook/internal/pool"
	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
	"github.com/verify-webhook/caddy-verify-webhook/queue/redis"
)

func init() { caddy.RegisterModule(Redis{}) }

// Redis stores the deliveries of all queues in Redis 6.2 or later, or in Valkey:
// standalone, behind Sentinel or as a Cluster. Several Caddy instances can share
// it.
//
// Each delivery is in flight at one instance, and becomes available again if that
// instance dies. Whole deliveries are stored, in plain text, in the memory of
// Redis. If Redis loses data, deliveries that were acknowledged are lost: use
// `appendfsync always` and `maxmemory-policy noeviction`, and see the
// documentation for failovers.
//
// Syntax:
//
//	queue redis <url> {
//		prefix          <text>
//		timeout         <duration>
//		tls_trust       <file>
//		tls_client_auth <certificate> <key>
//		tls_server_name <name>
//	}
//
// Example, in the global options:
//
//	{
//		verify_webhook {
//			queue redis rediss://hooks:{env.REDIS_PASSWORD}@redis.example.com:6379/0
//		}
//	}
type Redis struct {
	store.RedisConnection

	options redis.Options
	slot    *pool.Slot[*redis.Store]
}

// redisQueues keeps the connections of the process across reloads.
var redisQueues = pool.New((*redis.Store).Close)

// maxBytesRedis is the default max_bytes of a queue in Redis.
const maxBytesRedis = 256 << 20

// CaddyModule returns the Caddy module information.
func (Redis) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: caddymodule.QueueNamespace + ".redis", New: func() caddy.Module { return new(Redis) }}
}

// Provision implements caddy.Provisioner.
func (r *Redis) Provision(ctx caddy.Context) error {
	if err := r.provision(ctx); err != nil {
		return fmt.Errorf("redis queue: %w", err)
	}
	return nil
}

func (r *Redis) provision(ctx caddy.Context) error {
	r.Timeout = cmp.Or(r.Timeout, caddy.Duration(redis.DefaultTimeout))
	r.Prefix = cmp.Or(r.Prefix, redis.DefaultPrefix)
	address, config, err := r.Resolve("queue")
	if err != nil {
		return err
	}
	logger := ctx.Slogger().With("redis", address.Name)
	r.WarnOfPassword(logger)
	r.options = redis.Options{URL: address.URL, Prefix: r.Prefix, Timeout: time.Duration(r.Timeout), TLS: config, Logger: logger}
	r.slot = &pool.Slot[*redis.Store]{
		Pool: redisQueues,
		Key:  address.Identity,
		Open: func() (*redis.Store, error) { return redis.New(r.options) },
		Apply: func(s *redis.Store) {
			s.SetTimeout(time.Duration(r.Timeout))
			s.SetLogger(logger)
		},
	}
	r.slot.Join()
	return nil
}

// Validate implements caddy.Validator. It does not connect.
func (r *Redis) Validate() error {
	err := r.CheckTimeout()
	if err == nil {
		err = r.options.Check()
	}
	if err != nil {
		return fmt.Errorf("redis queue: %w", err)
	}
	return nil
}

// Open implements Module.
func (r *Redis) Open() (durable.Queue, func() error, error) {
	u, err := r.slot.Acquire()
	if err != nil {
		return nil, nil, fmt.Errorf("redis queue: %w", err)
	}
	return u.Store, u.Release, nil
}

// DefaultMaxBytes implements Module.
func (*Redis) DefaultMaxBytes() int64 { return maxBytesRedis }

// Cleanup implements caddy.CleanerUpper.
func (r *Redis) Cleanup() error { return r.slot.Release() }

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Its syntax is in the comment
// of [Redis].
func (r *Redis) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return r.Unmarshal(d, "queue") }

// Interface guards.
var (
	_ Module                = (*Redis)(nil)
	_ caddy.Provisioner     = (*Redis)(nil)
	_ caddy.Validator       = (*Redis)(nil)
	_ caddy.CleanerUpper    = (*Redis)(nil)
	_ caddyfile.Unmarshaler = (*Redis)(nil)
)
