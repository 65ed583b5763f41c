package caddymodule

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// loadedProvider is the provider of an endpoint with what is derived from it.
// Rotation replaces it as a whole: a delivery uses one from its first check to
// its last, and no delivery sees half a change.
type loadedProvider struct {
	provider.Provider
	facts    provider.Facts
	unsigned unsignedLists
}

func newLoadedProvider(p provider.Provider) *loadedProvider {
	facts := p.Facts()
	return &loadedProvider{p, facts, listUnsigned(facts)}
}

// facts are those of the provider in use.
func (h *Handler) facts() *provider.Facts { return &h.current.Load().facts }

// rotation reads secrets again when the files change that they come from. Caddy
// does not: to it, a config whose files have changed is the same config. A file
// that is unreadable, blank or otherwise wrong leaves the old secrets in use.
type rotation struct {
	files  []string
	known  []stamp // the files as they were before they were read
	reload func()
}

// checkEvery is how often files are checked. A change is applied when the file
// has not changed for that long, so that none is read half-written.
const checkEvery = 2 * time.Second

// newRotation notes the files that a config names, before they are read.
func newRotation(config json.RawMessage) *rotation {
	files := filesIn(config)
	return &rotation{files: files, known: stampAll(files)}
}

// filePlaceholder is how a config names a file.
var filePlaceholder = regexp.MustCompile(`\{file\.([^{}]+)\}`)

// filesIn returns the files that placeholders in the strings of a JSON document
// name.
func filesIn(document json.RawMessage) []string {
	var files []string
	var collect func(value any)
	collect = func(value any) {
		switch v := value.(type) {
		case string:
			for _, match := range filePlaceholder.FindAllStringSubmatch(v, -1) {
				if !slices.Contains(files, match[1]) {
					files = append(files, match[1])
				}
			}
		case []any:
			for _, item := range v {
				collect(item)
			}
		case map[string]any:
			for _, member := range v {
				collect(member)
			}
		}
	}
	var value any
	if json.Unmarshal(document, &value) == nil {
		collect(value)
	}
	slices.Sort(files)
	return files
}

// watch checks the files until ctx ends.
func (o *rotation) watch(ctx context.Context) {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	settling := o.known
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := stampAll(o.files)
		switch {
		case sameStamps(now, o.known):
		case !sameStamps(now, settling):
			settling = now
		default:
			o.known = now
			o.reload()
		}
	}
}

// startRotation watches the files of the provider's secrets, if it has any and
// can read them again.
func (h *Handler) startRotation(ctx context.Context, o *rotation) {
	if _, ok := h.current.Load().Provider.(provider.Renewable); !ok || len(o.files) == 0 {
		return
	}
	o.reload = func() { h.renew(o.files) }
	go o.watch(ctx)
}

// renew replaces the provider by one with the secrets that the files have now.
func (h *Handler) renew(files []string) {
	current := h.current.Load()
	renewed, err := current.Provider.(provider.Renewable).Renew()
	if err != nil {
		h.identity.Load().metrics.outdated.Set(1)
		h.logger.Error("a file with a webhook secret has changed, but cannot be used; the previous secrets stay in use",
			zap.String("provider", current.facts.Name), zap.Strings("files", files), zap.Error(err))
		return
	}
	next := newLoadedProvider(renewed)
	h.current.Store(next)
	h.identity.Load().metrics.outdated.Set(0)
	h.logger.Info("reloaded secrets from changed files", zap.String("provider", next.facts.Name), zap.Strings("files", files))
	if err := h.app.rotated(h, next.facts.Secrets); err != nil {
		h.logger.Error("a reloaded secret is in use elsewhere: deliveries to one endpoint are taken for duplicates at the other",
			zap.String("provider", next.facts.Name), zap.String("endpoint", h.endpointName()), zap.Error(err))
	}
}

// stamp identifies a version of a file, also where a symbolic link leads
// elsewhere now, as Kubernetes changes its secrets.
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
