package caddymodule

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// endpointIdentity is the identity of an endpoint in logs and metrics.
type endpointIdentity struct {
	name    string
	metrics *endpointMetrics
}

// endpointName returns the endpoint's name in logs, metrics and the admin API: its
// namespace, or its provider. Endpoints of one config with the same name are
// distinguished by their paths when the config starts.
func (h *Handler) endpointName() string {
	if id := h.identity.Load(); id != nil {
		return id.name
	}
	if h.Namespace != "" {
		return h.Namespace
	}
	return h.info().Name
}

// identify gives the endpoint a name, and the metrics of that name.
func (h *Handler) identify(name string) error {
	metrics := uncountedMetrics
	if !h.aside {
		var err error
		if metrics, err = acquireEndpointMetrics(h.info().Name, name); err != nil {
			return err
		}
	}
	if former := h.identity.Swap(&endpointIdentity{name, metrics}); former != nil {
		return former.metrics.release()
	}
	h.metrics = metrics
	return nil
}

// nameEndpoints distinguishes endpoints with the same name. app is nil if the config
// has no HTTP app.
func (a *App) nameEndpoints(app *caddyhttp.App) error {
	a.mu.Lock()
	endpoints := slices.Clone(a.endpoints)
	a.mu.Unlock()
	count := make(map[string]int)
	for _, h := range endpoints {
		if h.Namespace == "" {
			count[h.endpointName()]++
		}
	}
	places := placesIn(app)
	taken := make(map[string]bool)
	for _, h := range endpoints {
		if h.Namespace != "" || count[h.info().Name] < 2 {
			taken[h.endpointName()] = true
		}
	}
	for _, h := range endpoints {
		if h.Namespace != "" || count[h.info().Name] < 2 {
			continue
		}
		name := places[h].name(h.info().Name, taken)
		taken[name] = true
		if err := h.identify(name); err != nil {
			return err
		}
	}
	return nil
}

// place is the location of an endpoint in the routes: the patterns of the innermost
// host and path matchers, empty if there are none.
type place struct{ host, path string }

// name returns the shortest unused name.
func (p place) name(provider string, taken map[string]bool) string {
	short, long := p.path, p.host+p.path
	if short == "" {
		short = provider
	}
	if long == "" {
		long = provider
	}
	for _, name := range []string{short, long} {
		if !taken[name] {
			return name
		}
	}
	for n := 2; ; n++ {
		if name := fmt.Sprintf("%s#%d", long, n); !taken[name] {
			return name
		}
	}
}

// placesIn returns the places of the endpoints of an HTTP app.
func placesIn(app *caddyhttp.App) map[*Handler]place {
	found := make(map[*Handler]place)
	if app == nil {
		return found
	}
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		s := app.Servers[name]
		w := placeWalk{named: s.NamedRoutes, found: found}
		w.routes(s.Routes, place{}, 0)
	}
	return found
}

// placeWalk is a traversal of the routes of a server.
type placeWalk struct {
	named map[string]*caddyhttp.Route
	found map[*Handler]place
}

// maxRouteDepth limits the recursion, because named routes can invoke each other.
const maxRouteDepth = 32

func (w *placeWalk) routes(list caddyhttp.RouteList, p place, depth int) {
	if depth > maxRouteDepth {
		return
	}
	for i := range list {
		inside := p.narrow(list[i].MatcherSets)
		for _, handler := range list[i].Handlers {
			switch h := handler.(type) {
			case *Handler:
				if _, known := w.found[h]; !known {
					w.found[h] = inside
				}
			case *caddyhttp.Subroute:
				w.routes(h.Routes, inside, depth+1)
			case *caddyhttp.Invoke:
				if r, ok := w.named[h.Name]; ok {
					w.routes(caddyhttp.RouteList{*r}, inside, depth+1)
				}
			}
		}
	}
}

// narrow returns the place inside a route with these matchers.
func (p place) narrow(sets caddyhttp.MatcherSets) place {
	if len(sets) == 0 {
		return p
	}
	// The first set is enough for a name.
	if paths, ok := pathsOf(sets[0]); ok && len(paths) > 0 {
		p.path = paths[0]
	}
	for _, m := range sets[0] {
		if hosts, ok := m.(caddyhttp.MatchHost); ok && len(hosts) > 0 {
			p.host = hosts[0]
		} else if hosts, ok := m.(*caddyhttp.MatchHost); ok && len(*hosts) > 0 {
			p.host = (*hosts)[0]
		}
	}
	return p
}

// pathOnly returns the path of a request target, without its query, which can
// contain tokens.
func pathOnly(requestURI string) string {
	path, _, _ := strings.Cut(requestURI, "?")
	return path
}
