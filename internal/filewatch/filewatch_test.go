package filewatch

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A file that changes after the config was read and before Run watches it counts as
// changed.
func TestChangeDuringConfigLoadIsDetected(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write(t, file, "first")
	synctest.Test(t, func(t *testing.T) {
		w := In("{file." + file + "}")
		write(t, file, "second")
		changes := 0
		go w.Run(t.Context(), func() { changes++ })
		time.Sleep(time.Minute)
		synctest.Wait()
		if changes != 1 {
			t.Errorf("detected %d changes, want 1", changes)
		}
	})
}

func TestFilesInPlaceholders(t *testing.T) {
	got := InJSON(json.RawMessage(`{"a":"{env.A}","b":[{"c":"{file./run/a}"},"x{file.b}y{file./run/a}"],"d":"{file./run/\u0061\u0026b}","e":1,"f":"literal"}`)).Files()
	if want := []string{"/run/a", "/run/a&b", "b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
