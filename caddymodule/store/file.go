// Package store has the replay stores as Caddy modules: file, memory and redis.
//
// A store stays open across reloads. Provision leaves it alone unless this
// process has it open already, so `caddy validate` neither creates, locks nor
// changes it; Open opens it, when the config starts.
package store

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/internal/pool"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/file"
)

func init() { caddy.RegisterModule(File{}) }

// File remembers deliveries in one file, across reloads, restarts and crashes. It
// is the default store.
//
// The file is locked by one Caddy instance; several instances share a `redis`
// store.
//
// Syntax:
//
//	store file [<path>] {
//		max_entries <number>
//	}
//
// Example, in the global options:
//
//	{
//		verify_webhook {
//			store file /var/lib/caddy/replays.db {
//				max_entries 10000000
//			}
//		}
//	}
type File struct {
	// The path of the file. Its folder is created if it does not exist.
	// `{env.*}` and `{file.*}` placeholders are replaced. Default:
	// `verify_webhook/replays.db` in Caddy's data folder.
	Path string `json:"path,omitempty"`

	// The maximum number of stored keys; a delivery has one or two. If that
	// many keys are within their window, new deliveries get 503: no key is
	// forgotten early. If configs that share a store differ, the last one
	// loaded applies. Default: 4000000, which can use 200 MB of memory and as
	// much disk space.
	MaxEntries int64 `json:"max_entries,omitempty"`

	path string // the key in the pool
	slot *pool.Slot[*file.Store]
}

// fileStores keeps the open files of this process across reloads.
var fileStores = pool.New((*file.Store).Close)

// CaddyModule returns the Caddy module information.
func (File) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: caddymodule.StoreNamespace + ".file", New: func() caddy.Module { return new(File) }}
}

// Provision implements caddy.Provisioner.
func (f *File) Provision(ctx caddy.Context) error {
	f.MaxEntries = cmp.Or(f.MaxEntries, file.DefaultMaxEntries)
	var err error
	if f.path, err = FilePath(f.Path, "replays.db"); err != nil {
		return fmt.Errorf("file store: %w", err)
	}
	logger := ctx.Slogger().With("path", f.path)
	f.slot = &pool.Slot[*file.Store]{
		Pool: fileStores,
		Key:  f.path,
		Open: f.open,
		Apply: func(s *file.Store) {
			s.SetMaxEntries(f.MaxEntries)
			s.SetLogger(logger)
		},
	}
	f.slot.Join()
	return nil
}

// Validate implements caddy.Validator.
func (f *File) Validate() error {
	if err := option.NotNegative("max_entries", f.MaxEntries, 1_000_000); err != nil {
		return fmt.Errorf("file store: %w", err)
	}
	return nil
}

// Open implements caddymodule.StoreModule.
func (f *File) Open() (replay.Store, func() error, error) { return acquire(f.slot) }

// open opens the file, which no store of this process has open.
func (f *File) open() (*file.Store, error) {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return nil, FolderError(err)
	}
	return file.Open(file.Options{Path: f.path, MaxEntries: f.MaxEntries})
}

// Cleanup implements caddy.CleanerUpper.
func (f *File) Cleanup() error { return f.slot.Release() }

// StoreName implements caddymodule.NamedStore: the file, unless it is the
// default one.
func (f *File) StoreName() string {
	if f.Path == "" {
		return ""
	}
	return f.path
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Its syntax is in the comment
// of [File].
func (f *File) UnmarshalCaddyfile(d *caddyfile.Dispenser) (err error) {
	d.Next() // the store's type
	if f.Path, err = option.Argument(d, "path"); err != nil {
		return err
	}
	return option.Block(d, func(o *option.Reader) {
		switch o.Name() {
		case "max_entries":
			o.Count(&f.MaxEntries)
		default:
			o.Unknown("max_entries")
		}
	})
}

// Interface guards.
var (
	_ caddymodule.StoreModule = (*File)(nil)
	_ caddymodule.NamedStore  = (*File)(nil)
	_ caddy.Provisioner       = (*File)(nil)
	_ caddy.Validator         = (*File)(nil)
	_ caddy.CleanerUpper      = (*File)(nil)
	_ caddyfile.Unmarshaler   = (*File)(nil)
)
