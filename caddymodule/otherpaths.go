package caddymodule

import (
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// checkOtherPaths returns a warning if Caddy's default response, 200, can be the
// response to a delivery: if a site has endpoints on some paths, and nothing responds
// on the others.
func checkOtherPaths(app *caddyhttp.App) []string {
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		s := app.Servers[name]
		for _, site := range sitesOf(s) {
			c := &routeCheck{verified: make(map[string][]scope), open: make(map[string][]scope), spoiled: make(map[*Handler]bool), named: s.NamedRoutes}
			c.routes(site, past{}, noResponder)
			if c.onPaths && !c.respondsToAll(site, 0) {
				return []string{"Caddy answers other paths of the site with 200: a provider with a wrong URL sees its deliveries succeed, and they are lost; write at the end of the site: handle { respond 404 }, on three lines"}
			}
		}
	}
	return nil
}

// sitesOf returns the routes of each site of a server. A site with a host name is a
// route of its own.
func sitesOf(s *caddyhttp.Server) (sites []caddyhttp.RouteList) {
	var rest caddyhttp.RouteList
	for _, r := range s.Routes {
		if len(r.Handlers) == 1 && len(r.MatcherSets) > 0 {
			if site, ok := r.Handlers[0].(*caddyhttp.Subroute); ok && onlyHosts(r.MatcherSets) {
				sites = append(sites, site.Routes)
				continue
			}
		}
		rest = append(rest, r)
	}
	return append(sites, rest)
}

func onlyHosts(sets caddyhttp.MatcherSets) bool {
	return !slices.ContainsFunc(sets, func(set caddyhttp.MatcherSet) bool {
		return slices.ContainsFunc(set, func(m any) bool {
			switch m.(type) {
			case caddyhttp.MatchHost, *caddyhttp.MatchHost:
				return false
			}
			return true
		})
	})
}

// respondsToAll reports whether a route without matchers responds.
func (c *routeCheck) respondsToAll(list caddyhttp.RouteList, depth int) bool {
	return depth < maxNesting && slices.ContainsFunc(list, func(r caddyhttp.Route) bool {
		return len(r.MatcherSets) == 0 && slices.ContainsFunc(r.Handlers, func(handler caddyhttp.MiddlewareHandler) bool {
			switch h := handler.(type) {
			case *Handler:
				return true // it refuses other requests
			case *caddyhttp.Subroute:
				return c.respondsToAll(h.Routes, depth+1)
			case *caddyhttp.Invoke:
				named, ok := c.named[h.Name]
				return ok && c.respondsToAll(caddyhttp.RouteList{*named}, depth+1)
			case *reverseproxy.Handler:
				return len(h.HandleResponse) == 0
			}
			module, ok := handler.(caddy.Module)
			return !ok || !slices.Contains(passing, module.CaddyModule().ID.Name())
		})
	})
}
