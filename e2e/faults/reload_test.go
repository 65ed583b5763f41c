package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/replay/file"
)

// Reloads keep the content of a store, whether or not they change its options. The
// senders open a connection for each delivery, as providers do.
func TestReloadsUnderLoadLoseNothingAndRepeatNothing(t *testing.T) {
	t.Parallel()
	t.Run("file, unchanged", func(t *testing.T) {
		t.Parallel()
		reloadUnderLoad(t, []string{"file STATE/replays.db"})
	})
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		reloadUnderLoad(t, []string{
			"file STATE/replays.db",
			"file STATE/replays.db {\n max_entries 2000000\n }",
			"file STATE/./replays.db {\n max_entries 3000000\n }",
		})
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		store := startRedis(t).store()
		reloadUnderLoad(t, []string{store, store + " {\n timeout 3s\n }"})
	})
}

func reloadUnderLoad(t *testing.T, stores []string) {
	t.Helper()
	reloads := times(8, 100)
	a := startApp(t)
	s := startSite(t, a, stores[0], "30s")
	p := newProvider(t, s)
	p.client.Transport = &http.Transport{DisableKeepAlives: true}
	p.underLoad(4, func() {
		for i := range reloads {
			a.awaitMore(t, 5)
			s.configure(stores[(i+1)%len(stores)])
			s.reload()
		}
	})
	p.replayAll()
	p.keptWithoutGap(t, a)
	t.Logf("the config was loaded %d times", reloads)
}

// A config that cannot be loaded changes nothing, regardless of the step that fails, and
// does not prevent loading a later one.
func TestABrokenConfigKeepsTheRunningState(t *testing.T) {
	t.Parallel()
	const store = "file STATE/replays.db"
	whole := strings.Replace(caddyfile, "STORE", store, 1)
	broken := []namedConfig{
		{"a typo", strings.Replace(whole, "lease", "leese", 1)},
		{"an unknown option of the store", strings.Replace(caddyfile, "STORE", store+" {\n max_entrees 1\n }", 1)},
		{"a secret that is not set", strings.Replace(whole, "{env.GITHUB_SECRET}", "{env.NO_SUCH_SECRET}", 1)},
		{"a store that cannot be opened", strings.Replace(caddyfile, "STORE", "file /dev/null/replays.db", 1)},
		{"an invalid upstream", strings.Replace(whole, "reverse_proxy APP", "reverse_proxy {\n transport none\n }", 1)},
		{"an address that is in use", strings.Replace(whole, "bind 127.0.0.1", "bind 192.0.2.1", 1)},
	}
	a := startApp(t)
	s := startSite(t, a, store, "30s")
	broken = append(broken, storesThatCannotBeOpened(t)...)
	p := newProvider(t, s)
	// A new connection can reach a config whose start fails later.
	p.client.Transport = &http.Transport{DisableKeepAlives: true}
	p.underLoad(4, func() {
		for range times(1, 10) {
			for _, b := range broken {
				a.awaitMore(t, 5)
				s.write(b.config)
				if err := s.caddy.Reload(t.Context()); err == nil {
					t.Errorf("a config with %s was loaded", b.name)
				}
			}
			a.awaitMore(t, 5)
			s.configure(store)
			s.reload()
		}
	})
	p.replayAll()
	p.keptWithoutGap(t, a)
}

type namedConfig struct{ name, config string }

// storesThatCannotBeOpened are valid configs whose start fails.
func storesThatCannotBeOpened(t *testing.T) []namedConfig {
	t.Helper()
	with := func(store string) string { return strings.Replace(caddyfile, "STORE", store, 1) }
	folder := t.TempDir()
	locked := filepath.Join(folder, "locked.db")
	other, err := file.Open(file.Options{Path: locked})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	damaged := filepath.Join(folder, "damaged.db")
	if err := os.WriteFile(damaged, []byte("not a replay file"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []namedConfig{
		{"a store that another process uses", with("file " + locked)},
		{"a corrupt store", with("file " + damaged)},
		{"a Redis that refuses the login", with("redis redis://unknown:wrong@" + startRedis(t).address)},
	}
}

// `caddy validate && caddy reload` is the usual way to deploy.
func TestValidateLeavesTheRunningStoreAlone(t *testing.T) {
	t.Parallel()
	const store = "file STATE/replays.db"
	a := startApp(t)
	s := startSite(t, a, store, "30s")
	p := newProvider(t, s)
	p.underLoad(4, func() {
		for i := range times(3, 30) {
			a.awaitMore(t, 5)
			s.configure(fmt.Sprintf("%s {\n max_entries %d\n }", store, 1_000_000+i))
			s.validate()
			s.reload()
		}
	})
	p.replayAll()
	p.keptWithoutGap(t, a)
}

func TestValidateCreatesNothing(t *testing.T) {
	t.Parallel()
	a := startApp(t)
	s := startSite(t, a, "memory", "30s")
	data := filepath.Join(s.config.State, "data", "caddy", "verify_webhook")
	missing := filepath.Join(s.config.State, "missing")
	for _, store := range []string{"file", "file STATE/missing/folder/replays.db", "redis redis://192.0.2.1"} {
		s.configure(store)
		s.validate()
		for _, path := range []string{data, missing} {
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("store %s: %s: %v", store, path, err)
			}
		}
	}
	s.configure("file STATE/missing/folder/replays.db")
	s.reload()
	if _, err := os.Stat(filepath.Join(missing, "folder", "replays.db")); err != nil {
		t.Error(err)
	}
}
