package store

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/replay/file"
)

func TestTheDefaultStoreIsAFileInCaddysDataFolder(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	c := start(t, "")
	c.once("1", 1)
	path := filepath.Join(caddy.AppDataDir(), "verify_webhook", "replays.db")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("other users can read the file: %s", info.Mode())
	}
	if folder, err := os.Stat(filepath.Dir(path)); err != nil || folder.Mode().Perm() != 0o700 {
		t.Errorf("other users can read its folder: %s, %v", folder.Mode(), err)
	}
}

func TestAllNamesAndSettingsOfAFileShareOneStore(t *testing.T) {
	real := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	c := start(t, "file "+filepath.Join(real, "a.db"))
	c.once("1", 1)
	for i, store := range []string{
		filepath.Join(link, "a.db"), filepath.Join(real, "..", filepath.Base(real), "a.db"),
		filepath.Join(real, "a.db") + " {\nmax_entries 5000\n}", filepath.Join(real, "a.db"),
	} {
		c.load("file " + store)
		c.once("1", 0)
		c.once(fmt.Sprint("later ", i), 1)
	}
}

func TestAFileIsClosedWithItsLastConfigAndKeepsItsDeliveries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	c := start(t, "file "+path)
	c.once("1", 1)
	c.load("memory " + t.Name())
	s, err := file.Open(file.Options{Path: path})
	if err != nil {
		t.Fatalf("the file is still locked: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c.load("file " + path)
	c.once("1", 0)
}

func TestAConfigThatFailsDoesNotChangeTheRunningStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	c := start(t, "file "+path+" {\nmax_entries 2000\n}")
	c.once("1", 1)
	config := c.config("file "+path+" {\nmax_entries 3000\n}", "verify_webhook github {env."+secretVariable+"}") // shares its secret: rejected
	if err := caddy.Load(config, true); err == nil {
		t.Fatal("the broken config was accepted")
	}
	c.once("1", 0)
	c.once("2", 1)
	capacity := openFile(t, path).Stats().Capacity
	if capacity != 2000 {
		t.Errorf("max_entries of the running config is %d, want 2000", capacity)
	}
}

func TestTheErrorForAnUnusableFileSaysWhatToDo(t *testing.T) {
	locked := filepath.Join(t.TempDir(), "locked.db")
	other, err := file.Open(file.Options{Path: locked}) // simulates another process
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	damaged := filepath.Join(t.TempDir(), "damaged.db")
	writeFile(t, damaged, "not a bolt file")
	for store, want := range map[string][]string{
		`{"type":"file","path":"` + locked + `"}`:                         {locked, "another process", "caddy reload"},
		`{"type":"file","path":"` + damaged + `"}`:                        {damaged, "damaged", "restore a backup, or move the file away"},
		`{"type":"file","path":"` + filepath.Join(damaged, "x.db") + `"}`: {"folder", "must be writable"},
		`{"type":"file","path":"` + filepath.Dir(damaged) + `"}`:          {"is a folder", "replays.db"},
		`{"type":"file","path":"{env.WEBHOOK_UNSET}/x.db"}`:               {"WEBHOOK_UNSET"},
		`{"type":"file","max_entries":-1}`:                                {"max_entries -1 is negative"},
	} {
		err := loadStore(store)
		if err == nil {
			t.Errorf("%s is accepted", store)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v; want %q", store, err, part)
			}
		}
	}
	if n := fileStores.Len(); n > 0 {
		t.Errorf("%d files are still open", n)
	}
}

// `caddy validate` is run next to a running Caddy, before installation, and by
// other users than Caddy's.
func TestValidatingDoesNotChangeFiles(t *testing.T) {
	locked := filepath.Join(t.TempDir(), "locked.db")
	other, err := file.Open(file.Options{Path: locked}) // simulates a running Caddy
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	damaged := filepath.Join(t.TempDir(), "damaged.db")
	writeFile(t, damaged, "not a bolt file")
	missing := filepath.Join(t.TempDir(), "missing")
	running := filepath.Join(t.TempDir(), "running.db")
	c := start(t, "file "+running+" {\nmax_entries 2000\n}")

	t.Setenv("XDG_DATA_HOME", missing)
	for _, store := range []string{
		"", "file " + filepath.Join(missing, "folder", "a.db"), "file " + locked, "file " + damaged,
		"file " + running + " {\nmax_entries 3000\n}",
	} {
		if err := validate(t, c.config(store, "")); err != nil {
			t.Errorf("store %s: %v", store, err)
		}
	}
	if _, err := os.Stat(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder was created: %v", err)
	}
	if p, err := os.ReadFile(damaged); err != nil || string(p) != "not a bolt file" {
		t.Errorf("the damaged file contains %q, %v", p, err)
	}
	if capacity := openFile(t, running).Stats().Capacity; capacity != 2000 {
		t.Errorf("max_entries of the running config is %d, want 2000", capacity)
	}
	c.once("1", 1)
	c.once("1", 0)
}

func TestAMissingFolderIsCreatedWhenTheConfigStarts(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(link, "one", "two", "a.db")
	c := start(t, "file "+path)
	c.once("1", 1)
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info, err)
	}
	c.load("file " + path + " {\nmax_entries 5000\n}")
	c.once("1", 0)
}

// The app can still be working when a reload has changed the store of its
// endpoint and the grace period is over.
func TestAFileIsClosedAfterTheLastClaimInFlight(t *testing.T) {
	folder := t.TempDir()
	before, after := filepath.Join(folder, "before.db"), filepath.Join(folder, "after.db")
	c := start(t, "file "+before)
	working, finish := make(chan struct{}), make(chan struct{})
	c.response.Store(new(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(working)
		<-finish
	})))
	finished := make(chan int)
	go func() { finished <- c.send("slow") }()
	<-working
	c.response.Store(nil)

	c.load("file " + after)
	openFile(t, before)
	openFile(t, after)
	close(finish)
	if status := <-finished; status != 200 {
		t.Errorf("the sender got %d", status)
	}
	s, err := file.Open(file.Options{Path: before}) // waits for the file to be closed
	if err != nil {
		t.Fatalf("the file is still locked: %v", err)
	}
	if n := s.Stats().Remembered; n == 0 {
		t.Error("the delivery is not stored")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c.load("file " + before)
	c.once("slow", 0)
}

// openFile returns a store, which must be open.
func openFile(t *testing.T, path string) *file.Store {
	t.Helper()
	store, ok := fileStores.Get(path)
	if !ok {
		t.Fatalf("%s is not open", path)
	}
	return store
}
