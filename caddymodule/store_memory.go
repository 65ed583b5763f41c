package caddymodule

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/memory"
)

func init() { caddy.RegisterModule(MemoryStore{}) }

// MemoryStore remembers deliveries in this process: it survives a reload of
// the config, but not a restart. What was handled before a restart can be
// replayed after it.
type MemoryStore struct {
	// Stores of one name are one store, across sites and reloads.
	// Default: none.
	Name string `json:"name,omitempty"`

	// How many keys are remembered at the most, one or two for a delivery.
	// When that many are within their window, new deliveries get 503: nothing
	// is forgotten early. Where configs of one store say different numbers,
	// the last to be loaded decides. Default: 1000000.
	MaxEntries int64 `json:"max_entries,omitempty"`

	use *storeUse[*memory.Store]
}

const defaultMaxEntries = 1_000_000

// memoryStores keeps the stores of this process across reloads.
var memoryStores = newStorePool(func(*memory.Store) error { return nil })

// CaddyModule returns the Caddy module information.
func (MemoryStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: StoreNamespace + ".memory", New: func() caddy.Module { return new(MemoryStore) }}
}

// Provision implements caddy.Provisioner.
func (m *MemoryStore) Provision(caddy.Context) error {
	if m.MaxEntries < 0 {
		return fmt.Errorf("memory store: max_entries %d is negative", m.MaxEntries)
	}
	orDefault(&m.MaxEntries, defaultMaxEntries)
	open := func() (*memory.Store, error) {
		return memory.New(memory.Options{MaxEntries: m.MaxEntries}), nil
	}
	var err error
	m.use, err = memoryStores.acquire(m.Name, open, func(s *memory.Store) { s.SetMaxEntries(m.MaxEntries) })
	return err
}

// Cleanup implements caddy.CleanerUpper.
func (m *MemoryStore) Cleanup() error { return m.use.release() }

// StoreName implements NamedStore.
func (m *MemoryStore) StoreName() string { return m.Name }

// Store implements StoreModule.
func (m *MemoryStore) Store() replay.Store { return m.use.store }

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	memory [<name>] {
//		max_entries <number>
//	}
func (m *MemoryStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the store's type
	if d.NextArg() {
		m.Name = d.Val()
	}
	if d.NextArg() {
		return d.Err("store memory takes one name at the most; its options stand in a block")
	}
	o := options{d: d}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "max_entries":
			o.count(&m.MaxEntries)
		default:
			o.unknown("max_entries")
		}
		if o.err != nil {
			return o.err
		}
	}
	return nil
}

// Interface guards.
var (
	_ StoreModule           = (*MemoryStore)(nil)
	_ NamedStore            = (*MemoryStore)(nil)
	_ caddy.Provisioner     = (*MemoryStore)(nil)
	_ caddy.CleanerUpper    = (*MemoryStore)(nil)
	_ caddyfile.Unmarshaler = (*MemoryStore)(nil)
)
