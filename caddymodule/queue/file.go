package queue

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/store"
	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/internal/pool"
	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
	"github.com/verify-webhook/caddy-verify-webhook/queue/file"
)

func init() { caddy.RegisterModule(File{}) }

// File stores the deliveries of all queues in one file, and large bodies as files
// beside it. It is the default.
//
// The file is locked by one Caddy instance; several instances share a `redis`
// queue. Whole deliveries are stored, in plain text: the file and the bodies can
// be read only by the user that runs Caddy.
//
// Syntax:
//
//	queue file [<path>] {
//		min_free <size>
//	}
//
// Example, in the global options:
//
//	{
//		verify_webhook {
//			queue file /var/lib/caddy/queue.db {
//				min_free 1GiB
//			}
//		}
//	}
type File struct {
	// The path of the file. Its folder is created if it does not exist.
	// `{env.*}` and `{file.*}` placeholders are replaced. Large bodies are in
	// the folder of the same name with `.bodies` appended. Default:
	// `verify_webhook/queue.db` in Caddy's data folder.
	Path string `json:"path,omitempty"`

	// How many bytes of the disk must stay free. A delivery that would leave
	// less is not stored, and the provider gets 503. Default: 128 MiB.
	MinFree int64 `json:"min_free,omitempty"`

	path string // as it is known to the pool
	slot *pool.Slot[*file.Store]
}

// fileQueues keeps the open files of the process across reloads.
var fileQueues = pool.New((*file.Store).Close)

// maxBytesFile is the default max_bytes of a queue in a file.
const maxBytesFile = 10 << 30

// CaddyModule returns the Caddy module information.
func (File) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: caddymodule.QueueNamespace + ".file", New: func() caddy.Module { return new(File) }}
}

// Provision implements caddy.Provisioner.
func (f *File) Provision(ctx caddy.Context) error {
	f.MinFree = cmp.Or(f.MinFree, file.DefaultMinFree)
	var err error
	if f.path, err = store.FilePath(f.Path, "queue.db"); err != nil {
		return fmt.Errorf("queue file: %w", err)
	}
	logger := ctx.Slogger().With("path", f.path)
	f.slot = &pool.Slot[*file.Store]{
		Pool: fileQueues,
		Key:  f.path,
		Open: f.open,
		Apply: func(s *file.Store) {
			s.SetMinFree(f.MinFree)
			s.SetLogger(logger)
		},
	}
	f.slot.Join()
	return nil
}

// Validate implements caddy.Validator.
func (f *File) Validate() error {
	if err := option.NotNegative("min_free", f.MinFree, file.DefaultMinFree); err != nil {
		return fmt.Errorf("queue file: %w", err)
	}
	return nil
}

// Open implements Module.
func (f *File) Open() (durable.Queue, func() error, error) {
	u, err := f.slot.Acquire()
	if err != nil {
		return nil, nil, err
	}
	return u.Store, u.Release, nil
}

// open opens the file, which is not open in this process.
func (f *File) open() (*file.Store, error) {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return nil, store.FolderError(err)
	}
	return file.Open(file.Options{Path: f.path, MinFree: f.MinFree})
}

// DefaultMaxBytes implements Module.
func (*File) DefaultMaxBytes() int64 { return maxBytesFile }

// Cleanup implements caddy.CleanerUpper.
func (f *File) Cleanup() error { return f.slot.Release() }

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Its syntax is in the comment
// of [File].
func (f *File) UnmarshalCaddyfile(d *caddyfile.Dispenser) (err error) {
	d.Next() // the type
	if f.Path, err = option.Argument(d, "path"); err != nil {
		return err
	}
	return option.Block(d, func(o *option.Reader) {
		switch o.Name() {
		case "min_free":
			o.Size(&f.MinFree)
		default:
			o.Misplaced(options, "webhook_queue")
			o.Unknown("min_free")
		}
	})
}

// Interface guards.
var (
	_ Module                = (*File)(nil)
	_ caddy.Provisioner     = (*File)(nil)
	_ caddy.Validator       = (*File)(nil)
	_ caddy.CleanerUpper    = (*File)(nil)
	_ caddyfile.Unmarshaler = (*File)(nil)
)
