package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
)

// FolderError adds advice to an error about the folder of a file.
func FolderError(err error) error {
	return fmt.Errorf("creating the folder of the file: %w; it must be writable by the user that runs Caddy", err)
}

// FilePath returns the canonical path of a file. The file and its folder need
// not exist. If configured is empty, it is the file called name in Caddy's data
// folder.
func FilePath(configured, name string) (string, error) {
	path := filepath.Join(caddy.AppDataDir(), "verify_webhook", name)
	if configured != "" {
		var err error
		if path, err = caddy.NewReplacer().ReplaceOrErr(configured, true, true); err != nil {
			return "", fmt.Errorf("path: %w: write {env.NAME}, and set NAME in Caddy's environment", err)
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
		// If this user cannot read a folder, it is checked when the store
		// opens: another user may be validating the config.
		unknown := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
		if !unknown || existing == filepath.Dir(existing) {
			return "", FolderError(err)
		}
		existing, missing = filepath.Dir(existing), filepath.Join(filepath.Base(existing), missing)
	}
}

// checkFolder rejects a path at which no file can be created: the existing part
// must be a folder if a part is missing, and a file otherwise. name is an
// example of a file name.
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
