package provider

import (
	"context"
	"os"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Rotating is implemented by providers whose secrets can change while they are
// in use.
type Rotating interface {
	// OnRotation sets what is called each time that files with secrets have
	// changed: with the facts that hold from then on, or with an error if
	// the files cannot be used and the secrets from before stay in use.
	OnRotation(func(Facts, error))
}

// rotation reads secrets anew when the files change that they come from. Caddy
// does not: to it, a config whose files have changed is the same config.
//
// What it puts in place is a whole new provider, or nothing: a file that is
// unreadable, blank or otherwise wrong leaves the old secrets in use. A request
// that has begun under some secrets ends under them.
type rotation struct {
	files     []string
	current   atomic.Pointer[Provider]
	onChange  atomic.Pointer[func(Facts, error)]
	logger    *zap.Logger
	rebuild   func() (Provider, error)
	lastKnown []stamp
}

// checkEvery is how often files are looked at. A change is taken up when it
// has been there unchanged for that long, so that none is read half-written.
const checkEvery = 2 * time.Second

// filePlaceholder is how a config names a file.
var filePlaceholder = regexp.MustCompile(`\{file\.([^{}]+)\}`)

// filesIn returns the files that placeholders in these texts name.
func filesIn(texts ...string) []string {
	var files []string
	for _, text := range texts {
		for _, match := range filePlaceholder.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(files, match[1]) {
				files = append(files, match[1])
			}
		}
	}
	return files
}

// note remembers the files as they are, before they are read.
func (o *rotation) note(files []string) {
	o.files, o.lastKnown = files, stampAll(files)
}

// watch looks at the files until ctx ends.
func (o *rotation) watch(ctx context.Context, logger *zap.Logger, rebuild func() (Provider, error)) {
	if len(o.files) == 0 {
		return
	}
	o.logger, o.rebuild = logger, rebuild
	go func() {
		ticker := time.NewTicker(checkEvery)
		defer ticker.Stop()
		settling := o.lastKnown
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			now := stampAll(o.files)
			switch {
			case sameStamps(now, o.lastKnown):
			case !sameStamps(now, settling):
				settling = now
			default:
				o.lastKnown = now
				o.reload()
			}
		}
	}()
}

// reload puts new secrets in place.
func (o *rotation) reload() {
	p, err := o.rebuild()
	var facts Facts
	if err != nil {
		o.logger.Error("a file with a webhook secret has changed, but cannot be used: the secrets from before stay in use", zap.Strings("files", o.files), zap.Error(err))
	} else {
		o.current.Store(&p)
		facts = p.Facts()
		o.logger.Info("webhook secrets were read anew from files that have changed", zap.Strings("files", o.files))
	}
	if changed := o.onChange.Load(); changed != nil {
		(*changed)(facts, err)
	}
}

// OnRotation implements Rotating.
func (o *rotation) OnRotation(f func(Facts, error)) { o.onChange.Store(&f) }

// of returns the provider that a request is checked by, from its first check
// to its last: self, or what has taken its place when the request came.
func (o *rotation) of(r *signature.Request, self Provider) Provider {
	if begun, ok := r.Under.(Provider); ok {
		return begun
	}
	p := o.now(self)
	r.Under = p
	return p
}

// now returns the provider that is in use.
func (o *rotation) now(self Provider) Provider {
	if p := o.current.Load(); p != nil {
		return *p
	}
	return self
}

// stamp is by what a change of a file is seen, also if a symbolic link leads
// elsewhere now, as Kubernetes changes its secrets.
type stamp struct{ info os.FileInfo }

func stampAll(files []string) []stamp {
	stamps := make([]stamp, len(files))
	for i, file := range files {
		if info, err := os.Stat(file); err == nil { // nil: not there, or not for us
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
