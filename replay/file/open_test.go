package file

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/verify-webhook/caddy-verify-webhook/internal/boltfile"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// handle claims and commits the nth key of a test.
func handle(t *testing.T, store *Store, n byte) replay.Keys {
	t.Helper()
	keys := replay.Keys{Blocking: []replay.Key{{n}}, Notes: []replay.Key{{n, 1}}}
	owner := replay.NewOwner()
	if v, err := store.Claim(t.Context(), keys, owner, time.Minute); v != replay.Ours || err != nil {
		t.Fatalf("Claim = %v, %v", v, err)
	}
	if err := store.Commit(t.Context(), keys, owner, time.Hour, 200); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	return keys
}

func TestOpenCreatesAPrivateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "folder", "replay.db")
	mustOpen(t, Options{Path: path})
	for path, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", filepath.Base(path), got, want)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("the folder contains %v, want only the file", left)
	}
}

func TestTheErrorForALockedFileSaysWhatToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replay.db")
	mustOpen(t, Options{Path: path})
	_, err := Open(Options{Path: path, LockTimeout: 10 * time.Millisecond})
	wantError(t, err, ErrLocked, path, "already in use by another process", "caddy reload", "another path")
}

func TestOpenWaitsForAStoreThatIsClosing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replay.db")
	first := mustOpen(t, Options{Path: path})
	keys := handle(t, first, 1)
	closed := make(chan error)
	go func() { closed <- first.Close() }()
	second := mustOpen(t, Options{Path: path, LockTimeout: time.Minute})
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	states, _ := second.Lookup(t.Context(), keys.All())
	if states[0] != replay.Handled || states[1] != replay.Handled {
		t.Errorf("states = %v, want handled", states)
	}
}

func TestADamagedFileIsNeverReplaced(t *testing.T) {
	intact := func(t *testing.T) string {
		path := filepath.Join(t.TempDir(), "replay.db")
		store := mustOpen(t, Options{Path: path})
		for n := range byte(200) {
			handle(t, store, n)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		return path
	}
	edit := func(change func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, change(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	inside := func(change func(*bolt.Tx) error) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db, err := bolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Update(change), db.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	period := func(tx *bolt.Tx) *bolt.Bucket {
		name, _ := tx.Cursor().Seek([]byte{periodPrefix})
		return tx.Bucket(name)
	}
	page := os.Getpagesize()
	for name, damage := range map[string]func(*testing.T, string){
		"empty":              edit(func([]byte) []byte { return nil }),
		"not a database":     edit(func(b []byte) []byte { return []byte(strings.Repeat("hello ", 9999)) }),
		"cut to one page":    edit(func(b []byte) []byte { return b[:page] }),
		"cut to three pages": edit(func(b []byte) []byte { return b[:3*page] }),
		"both metas zeroed":  edit(func(b []byte) []byte { clear(b[:2*page]); return b }),
		"all data zeroed":    edit(func(b []byte) []byte { clear(b[2*page:]); return b }),
		"all data random":    edit(func(b []byte) []byte { fill(b[2*page:]); return b }),
		"one bit flipped": inside(func(tx *bolt.Tx) error {
			b := period(tx)
			value := append([]byte(nil), b.Get(sequenceKey(7))...)
			value[5] ^= 1
			return b.Put(sequenceKey(7), value)
		}),
		"a chunk missing": inside(func(tx *bolt.Tx) error { return period(tx).Delete(sequenceKey(7)) }),
		"the last chunk missing": inside(func(tx *bolt.Tx) error {
			return period(tx).Delete(sequenceKey(period(tx).Sequence()))
		}),
		"an unknown bucket": inside(func(tx *bolt.Tx) error {
			_, err := tx.CreateBucket([]byte("zzz"))
			return err
		}),
	} {
		t.Run(name, func(t *testing.T) {
			path := intact(t)
			damage(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the failed attempt must release the lock
				_, err := Open(Options{Path: path, LockTimeout: 10 * time.Millisecond})
				wantError(t, err, ErrDamaged, path, "restore a backup, or move the file away")
			}
			after, err := os.ReadFile(path)
			if err != nil || string(after) != string(before) {
				t.Errorf("the damaged file was changed (%v)", err)
			}
		})
	}
}

func fill(b []byte) {
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
}

func TestAnotherDatabaseIsRejected(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket([]byte("updates"))
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = Open(Options{Path: path})
	wantError(t, err, nil, path, "not a replay file")
}

func TestAnotherFormatVersionIsRejected(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replay.db")
	if err := mustOpen(t, Options{Path: path}).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(boltfile.FormatBucket).Put([]byte("version"), []byte("verify_webhook replay file 9"))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = Open(Options{Path: path})
	wantError(t, err, nil, path, "replay file 9", "use the version that wrote it")
}

// Even root cannot write an immutable file. For other users, the mode is
// sufficient.
func TestAReadOnlyFileIsRejected(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replay.db")
	if err := mustOpen(t, Options{Path: path}).Close(); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		if err := os.Chmod(path, 0o400); err != nil {
			t.Fatal(err)
		}
	} else {
		if out, err := exec.Command("chattr", "+i", path).CombinedOutput(); err != nil {
			t.Logf("chattr: %v: %s", err, out)
			checkReadOnlyAdvice(t)
			return
		}
		t.Cleanup(func() { _ = exec.Command("chattr", "-i", path).Run() })
	}
	_, err := Open(Options{Path: path})
	wantError(t, err, fs.ErrPermission, path, "must be writable")
}

// checkReadOnlyAdvice is used if files cannot be made read-only for root: it
// checks how a system error is explained.
func checkReadOnlyAdvice(t *testing.T) {
	wantError(t, new(boltfile.Options).Explain(&fs.PathError{Op: "open", Err: fs.ErrPermission}), fs.ErrPermission, "must be writable")
}

func wantError(t *testing.T, err, is error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if is != nil && !errors.Is(err, is) {
		t.Errorf("error %q is not %q", err, is)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}
