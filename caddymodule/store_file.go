package caddymodule

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/file"
)

func init() { caddy.RegisterModule(FileStore{}) }

// FileStore remembers deliveries in one file, across reloads, restarts and
// crashes. It is the default store. The file belongs to one Caddy at a time;
// several Caddys share a `redis` store.
type FileStore struct {
	// The file. Its folder is created if need be. Placeholders of variables
	// and files are replaced. Default: `verify_webhook/replays.db` in Caddy's
	// data folder.
	Path string `json:"path,omitempty"`

	// How many keys are remembered at the most, one or two for a delivery.
	// When that many are within their window, new deliveries get 503: nothing
	// is forgotten early. Where configs of one file say different numbers,
	// the last to be loaded decides. Default: 4000000, which may take 200 MB
	// of memory and as much of the disk.
	MaxEntries int64 `json:"max_entries,omitempty"`

	path string // as it is known to the pool
	use  *storeUse[*file.Store]
}

// fileStores keeps the open files of this process across reloads.
var fileStores = newStorePool((*file.Store).Close)

// CaddyModule returns the Caddy module information.
func (FileStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: StoreNamespace + ".file", New: func() caddy.Module { return new(FileStore) }}
}

// Provision implements caddy.Provisioner.
func (f *FileStore) Provision(ctx caddy.Context) error {
	if f.MaxEntries < 0 {
		return fmt.Errorf("file store: max_entries %d is negative", f.MaxEntries)
	}
	orDefault(&f.MaxEntries, file.DefaultMaxEntries)
	var err error
	if f.path, err = replayFile(f.Path); err != nil {
		return fmt.Errorf("file store: %w", err)
	}
	f.use, err = fileStores.acquire(f.path, f.open, f.settings(ctx.Slogger()))
	return err
}

// open opens the file, which no store of this process has open.
func (f *FileStore) open() (*file.Store, error) {
	s, err := file.Open(file.Options{Path: f.path, MaxEntries: f.MaxEntries})
	if errors.Is(err, file.ErrLocked) {
		return nil, fmt.Errorf("%w; `caddy validate` opens it as well: while Caddy runs, check a config with `caddy reload`, which keeps the running one if the new one fails, or validate with XDG_DATA_HOME set to an empty folder", err)
	}
	return s, err
}

func (f *FileStore) settings(logger *slog.Logger) func(*file.Store) {
	logger = logger.With("path", f.path)
	return func(s *file.Store) {
		s.SetMaxEntries(f.MaxEntries)
		s.SetLogger(logger)
	}
}

// replayFile returns the one name of a file that may have several, and sees to
// its folder.
func replayFile(configured string) (string, error) {
	path := filepath.Join(caddy.AppDataDir(), "verify_webhook", "replays.db")
	if configured != "" {
		var err error
		if path, err = caddy.NewReplacer().ReplaceOrErr(configured, true, true); err != nil {
			return "", fmt.Errorf("path: %w", err)
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("creating the folder of the replay file: %w; it must be writable for the user that runs Caddy", err)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real, nil
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", fmt.Errorf("finding the folder of the replay file: %w", err)
	}
	return filepath.Join(dir, filepath.Base(path)), nil
}

// Cleanup implements caddy.CleanerUpper.
func (f *FileStore) Cleanup() error { return f.use.release() }

// StoreName implements NamedStore: the file, unless it is the default one.
func (f *FileStore) StoreName() string {
	if f.Path == "" {
		return ""
	}
	return f.path
}

// Store implements StoreModule.
func (f *FileStore) Store() replay.Store { return f.use.store }

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	file [<path>] {
//		max_entries <number>
//	}
func (f *FileStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the store's type
	if d.NextArg() {
		if f.Path = d.Val(); f.Path == "" {
			return d.Err("store file: the path is empty: write one, or leave it out; if it comes from {$NAME}, that variable is not set")
		}
	}
	if d.NextArg() {
		return d.Err("store file takes one path at the most; its options stand in a block")
	}
	o := options{d: d}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "max_entries":
			o.count(&f.MaxEntries)
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
	_ StoreModule           = (*FileStore)(nil)
	_ NamedStore            = (*FileStore)(nil)
	_ caddy.Provisioner     = (*FileStore)(nil)
	_ caddy.CleanerUpper    = (*FileStore)(nil)
	_ caddyfile.Unmarshaler = (*FileStore)(nil)
)
