// Package filewatch detects changes of the files from which a config reads secrets.
// Caddy does not: for it, the config has not changed.
package filewatch

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"time"
)

// checkEvery is how often files are checked. A change is applied after the file has
// been stable for this time, so that no half-written file is read.
const checkEvery = 2 * time.Second

// Watch is a set of files with their state when the config was read.
type Watch struct {
	files []string
	known []stamp
}

// In returns the files in the placeholders of a config's texts. Call it before the
// files are read, so that no change is missed.
func In(texts ...string) *Watch {
	var files []string
	for _, text := range texts {
		for _, match := range placeholder.FindAllStringSubmatch(text, -1) {
			files = append(files, match[1])
		}
	}
	slices.Sort(files)
	files = slices.Compact(files)
	return &Watch{files: files, known: stampAll(files)}
}

// InJSON is In for all strings of a JSON document.
func InJSON(document json.RawMessage) *Watch {
	var value any
	if json.Unmarshal(document, &value) != nil {
		return In()
	}
	return In(stringsIn(value)...)
}

// stringsIn returns the strings in a JSON value.
func stringsIn(value any) (found []string) {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		for _, item := range v {
			found = append(found, stringsIn(item)...)
		}
	case map[string]any:
		for _, member := range v {
			found = append(found, stringsIn(member)...)
		}
	}
	return found
}

// Files returns the files' names, none if there is nothing to watch.
func (w *Watch) Files() []string { return w.files }

// Run calls changed after each change of the files, until ctx ends.
func (w *Watch) Run(ctx context.Context, changed func()) {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	settling := w.known
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := stampAll(w.files)
		switch {
		case sameStamps(now, w.known):
		case !sameStamps(now, settling):
			settling = now
		default:
			w.known = now
			changed()
		}
	}
}

// placeholder matches the placeholder of a file.
var placeholder = regexp.MustCompile(`\{file\.([^{}]+)\}`)

// stamp identifies a version of a file. It also changes with the target of a
// symbolic link, which is how Kubernetes updates secrets.
type stamp struct{ info os.FileInfo }

func stampAll(files []string) []stamp {
	stamps := make([]stamp, len(files))
	for i, file := range files {
		if info, err := os.Stat(file); err == nil { // nil: missing or unreadable
			stamps[i].info = info
		}
	}
	return stamps
}

func sameStamps(a, b []stamp) bool {
	return slices.EqualFunc(a, b, func(x, y stamp) bool {
		if x.info == nil || y.info == nil {
			return x.info == nil && y.info == nil
		}
		return os.SameFile(x.info, y.info) && x.info.Size() == y.info.Size() && x.info.ModTime().Equal(y.info.ModTime())
	})
}
