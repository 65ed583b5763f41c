package provider

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestABadFileIsShoutedAboutOncePerChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		ctx, cancel := context.WithCancel(t.Context())
		o := new(rotation)
		o.note([]string{file})
		o.watch(ctx, zap.New(core), func() (Provider, error) { return nil, errors.New("blank") })
		for i, text := range []string{"second", "third one"} {
			write(text)
			time.Sleep(time.Minute)
			if logs.FilterLevelExact(zap.ErrorLevel).Len() != i+1 {
				t.Errorf("after %d changes: %v", i+1, logs.All())
			}
		}
		if o.current.Load() != nil {
			t.Error("something took the place of the last good secrets")
		}
		cancel()
	})
}

func TestFilesInPlaceholders(t *testing.T) {
	got := filesIn("{env.A}", "{file./run/a}", "x{file.b}y{file./run/a}", "literal")
	if want := []string{"/run/a", "b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
