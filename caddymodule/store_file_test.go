package caddymodule

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/replay/file"
)

// siteWith is an endpoint in front of the app, with a store.
func siteWith(store string) string {
	return fmt.Sprintf(`verify_webhook github {env.%s} {
		replay {
			store %s
		}
	}
	reverse_proxy APP`, secretVariable, store)
}

// once sends a delivery that should reach the app so many times.
func (c *realCaddy) once(id string, reached int) {
	c.t.Helper()
	status := c.insist(client(c.t, "HTTP/1.1"), id)
	if seen := c.app.arrivals(); status != 200 || len(seen) != reached {
		c.t.Errorf("delivery %s: status %d, the app saw %d, want %d", id, status, len(seen), reached)
	}
}

func TestTheDefaultStoreIsAFileInCaddysDataFolder(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	c := startCaddy(t, "", "verify_webhook github {env."+secretVariable+"}\nreverse_proxy APP")
	c.once("1", 1)
	path := filepath.Join(caddy.AppDataDir(), "verify_webhook", "replays.db")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("others can read it: %s", info.Mode())
	}
	if folder, err := os.Stat(filepath.Dir(path)); err != nil || folder.Mode().Perm() != 0o700 {
		t.Errorf("others can look into its folder: %s, %v", folder.Mode(), err)
	}
}

func TestAFileIsOneStoreUnderAllItsNamesAndSettings(t *testing.T) {
	real := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	c := startCaddy(t, "", siteWith("file "+filepath.Join(real, "a.db")))
	c.once("1", 1)
	for i, store := range []string{
		filepath.Join(link, "a.db"), filepath.Join(real, "..", filepath.Base(real), "a.db"),
		filepath.Join(real, "a.db") + " {\nmax_entries 5000\n}", filepath.Join(real, "a.db"),
	} {
		c.load("", siteWith("file "+store))
		c.once("1", 0)
		c.once(fmt.Sprint("later ", i), 1)
	}
}

func TestAFileIsClosedWithItsLastConfigAndRemembersForTheNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	c := startCaddy(t, "", siteWith("file "+path))
	c.once("1", 1)
	c.load("", siteWith("memory STORE"))
	s, err := file.Open(file.Options{Path: path})
	if err != nil {
		t.Fatalf("the file is still held: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c.load("", siteWith("file "+path))
	c.once("1", 0)
}

func TestAConfigThatFailsLeavesTheRunningStoreAsItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	c := startCaddy(t, "", siteWith("file "+path+" {\nmax_entries 2000\n}"))
	c.once("1", 1)
	config, err := adapt(c.caddyfile("", siteWith("file "+path+" {\nmax_entries 3000\n}")+
		"\nverify_webhook github {env."+secretVariable+"}")) // shares its secret: refused
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err == nil {
		t.Fatal("the broken config was accepted")
	}
	c.once("1", 0)
	c.once("2", 1)
	capacity := int64(0)
	fileStores.pool.Range(func(key, value any) bool {
		if key == path {
			capacity = value.(*sharedStore[*file.Store]).store.Stats().Capacity
		}
		return true
	})
	if capacity != 2000 {
		t.Errorf("the running config's max_entries 2000 has become %d", capacity)
	}
}

func TestAFileThatCannotBeUsedSaysWhatToDo(t *testing.T) {
	locked := filepath.Join(t.TempDir(), "locked.db")
	other, err := file.Open(file.Options{Path: locked}) // as another process would
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	damaged := filepath.Join(t.TempDir(), "damaged.db")
	writeFile(t, damaged, "not a bolt file")
	for store, want := range map[string][]string{
		`{"type":"file","path":"` + locked + `"}`:                         {locked, "another process", "caddy reload", "caddy validate", "XDG_DATA_HOME"},
		`{"type":"file","path":"` + damaged + `"}`:                        {damaged, "damaged", "restore it, or move it away"},
		`{"type":"file","path":"` + filepath.Join(damaged, "x.db") + `"}`: {"folder", "must be writable"},
		`{"type":"file","path":"{env.WEBHOOK_UNSET}/x.db"}`:               {"WEBHOOK_UNSET"},
		`{"type":"file","max_entries":-1}`:                                {"max_entries -1 is negative"},
	} {
		trial, err := OpenTrial(quietly(t), json.RawMessage(config("github", `"replay":{"store":`+store+`}`)), nil)
		if err == nil {
			trial.Close()
			t.Errorf("%s is accepted", store)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v; want %q", store, err, part)
			}
		}
	}
}
