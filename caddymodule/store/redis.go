package store

import (
	"cmp"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/pool"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/redis"
)

func init() { caddy.RegisterModule(Redis{}) }

// Redis remembers deliveries in Redis 6.2 or later, or in Valkey: standalone,
// behind Sentinel or as a Cluster. Several Caddy instances can share it.
//
// If Redis is unreachable, the config still loads, and deliveries get 503 until
// it is reachable. If Redis rejects the credentials, the config is rejected.
//
// Syntax:
//
//	store redis <url> {
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
//			store redis rediss://hooks:{env.REDIS_PASSWORD}@redis.example.com:6379/0
//		}
//	}
type Redis struct {
	RedisConnection

	name    string
	options redis.Options
	slot    *pool.Slot[*redis.Store]
}

// redisStores keeps the connections of this process across reloads.
var redisStores = pool.New((*redis.Store).Close)

// CaddyModule returns the Caddy module information.
func (Redis) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: caddymodule.StoreNamespace + ".redis", New: func() caddy.Module { return new(Redis) }}
}

// Provision implements caddy.Provisioner.
func (r *Redis) Provision(ctx caddy.Context) error {
	if err := r.provision(ctx); err != nil {
		return fmt.Errorf("redis store: %w", err)
	}
	return nil
}

func (r *Redis) provision(ctx caddy.Context) error {
	r.Timeout = cmp.Or(r.Timeout, caddy.Duration(redis.DefaultTimeout))
	r.Prefix = cmp.Or(r.Prefix, redis.DefaultPrefix)
	address, config, err := r.Resolve("store")
	if err != nil {
		return err
	}
	r.name = address.Name
	logger := ctx.Slogger().With("redis", r.name)
	r.WarnOfPassword(logger)
	r.options = redis.Options{URL: address.URL, Prefix: r.Prefix, Timeout: time.Duration(r.Timeout), TLS: config, Logger: logger}
	r.slot = &pool.Slot[*redis.Store]{
		Pool: redisStores,
		// Claims and handled deliveries are in Redis, not in the connection, so
		// a new password or certificate can open a new one.
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
	if err := r.validate(); err != nil {
		return fmt.Errorf("redis store: %w", err)
	}
	return nil
}

func (r *Redis) validate() error {
	if err := r.CheckTimeout(); err != nil {
		return err
	}
	return r.options.Check()
}

// Open implements caddymodule.StoreModule.
func (r *Redis) Open() (replay.Store, func() error, error) {
	store, release, err := acquire(r.slot)
	if err != nil {
		return nil, nil, fmt.Errorf("redis store: %w", err)
	}
	return store, release, nil
}

// Cleanup implements caddy.CleanerUpper.
func (r *Redis) Cleanup() error { return r.slot.Release() }

// StoreName implements caddymodule.NamedStore.
func (r *Redis) StoreName() string { return r.name }

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Its syntax is in the comment
// of [Redis].
func (r *Redis) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return r.Unmarshal(d, "store") }

// Interface guards.
var (
	_ caddymodule.StoreModule = (*Redis)(nil)
	_ caddymodule.NamedStore  = (*Redis)(nil)
	_ caddy.Provisioner       = (*Redis)(nil)
	_ caddy.Validator         = (*Redis)(nil)
	_ caddy.CleanerUpper      = (*Redis)(nil)
	_ caddyfile.Unmarshaler   = (*Redis)(nil)
)
