package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
)

// FolderError says what to do about a folder that a file cannot be in.
func FolderError(err error) error {
	return fmt.Errorf("creating the folder of the file: %w; it must be writable for the user that runs Caddy", err)
}

// FilePath returns the one name of a file that may have several. The file and
// its folder need not exist. Without a configured path it is the file of that
// name in Caddy's data folder.
func FilePath(configured, name string) (string, error) {
	path := filepath.Join(caddy.AppDataDir(), "verify_webhook", name)
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
	existing, missing := path, ""
	for {
		real, err := filepath.EvalSymlinks(existing)
		if err == nil {
			return filepath.Join(real, missing), checkFolder(real, missing, name)
		}
		// A folder that this user cannot read is checked when the store
		// opens: another user may validate the config.
		unknown := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
		if !unknown || existing == filepath.Dir(existing) {
			return "", FolderError(err)
		}
		existing, missing = filepath.Dir(existing), filepath.Join(filepath.Base(existing), missing)
	}
}

// checkFolder rejects a path that no file can be created at: what exists of it
// must be a folder if anything of it is missing, and a file otherwise. name is
// an example of a file's name.
func checkFolder(existing, missing, name string) error {
	info, err := os.Stat(existing)
	switch {
	case err != nil:
		return FolderError(err)
	case missing == "" && info.IsDir():
		return fmt.Errorf("%s is a folder: write the path of a file in it, for example %s", existing, filepath.Join(existing, name))
	case missing != "" && !info.IsDir():
		return FolderError(fmt.Errorf("%s is not a folder", existing))
	}
	return nil
}
