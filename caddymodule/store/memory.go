package store

import (
	"cmp"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/internal/pool"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/memory"
)

func init() { caddy.RegisterModule(Memory{}) }

// Memory remembers deliveries in this process. It survives a config reload, but
// not a restart: deliveries handled before a restart can be replayed after it.
//
// Syntax:
//
//	store memory [<name>] {
//		max_entries <number>
//	}
type Memory struct {
	// The name of the store. Sites and reloads that use the same name share
	// one store. Default: none.
	Name string `json:"name,omitempty"`

	// The maximum number of stored keys; a delivery has one or two. If that
	// many keys are within their window, new deliveries get 503: no key is
	// forgotten early. If configs that share a store differ, the last one
	// loaded applies. Default: 4000000, which can use 200 MB of memory.
	MaxEntries int64 `json:"max_entries,omitempty"`

	slot *pool.Slot[*memory.Store]
}

// memoryStores keeps the stores of this process across reloads.
var memoryStores = pool.New(func(*memory.Store) error { return nil })

// CaddyModule returns the Caddy module information.
func (Memory) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: caddymodule.StoreNamespace + ".memory", New: func() caddy.Module { return new(Memory) }}
}

// Provision implements caddy.Provisioner.
func (m *Memory) Provision(caddy.Context) error {
	m.MaxEntries = cmp.Or(m.MaxEntries, memory.DefaultMaxEntries)
	m.slot = &pool.Slot[*memory.Store]{
		Pool:  memoryStores,
		Key:   m.Name,
		Open:  func() (*memory.Store, error) { return memory.New(memory.Options{MaxEntries: m.MaxEntries}), nil },
		Apply: func(s *memory.Store) { s.SetMaxEntries(m.MaxEntries) },
	}
	m.slot.Join()
	return nil
}

// Validate implements caddy.Validator.
func (m *Memory) Validate() error {
	if err := option.NotNegative("max_entries", m.MaxEntries, 1_000_000); err != nil {
		return fmt.Errorf("memory store: %w", err)
	}
	return nil
}

// Open implements caddymodule.StoreModule.
func (m *Memory) Open() (replay.Store, func() error, error) { return acquire(m.slot) }

// Cleanup implements caddy.CleanerUpper.
func (m *Memory) Cleanup() error { return m.slot.Release() }

// StoreName implements caddymodule.NamedStore.
func (m *Memory) StoreName() string { return m.Name }

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Its syntax is in the comment
// of [Memory].
func (m *Memory) UnmarshalCaddyfile(d *caddyfile.Dispenser) (err error) {
	d.Next() // the store's type
	if m.Name, err = option.Argument(d, "name"); err != nil {
		return err
	}
	return option.Block(d, func(o *option.Reader) {
		switch o.Name() {
		case "max_entries":
			o.Count(&m.MaxEntries)
		default:
			o.Unknown("max_entries")
		}
	})
}

// Interface guards.
var (
	_ caddymodule.StoreModule = (*Memory)(nil)
	_ caddymodule.NamedStore  = (*Memory)(nil)
	_ caddy.Provisioner       = (*Memory)(nil)
	_ caddy.Validator         = (*Memory)(nil)
	_ caddy.CleanerUpper      = (*Memory)(nil)
	_ caddyfile.Unmarshaler   = (*Memory)(nil)
)
