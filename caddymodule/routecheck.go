package caddymodule

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// checkRoutes looks for endpoints that cannot do what they are there for: that
// nothing stands behind, that no request reaches, or around which requests with
// forged identity headers reach the same app. It says only what is certain from
// the order of handlers; matchers other than paths are not evaluated. Handlers
// that it does not know count as harmless.
func checkRoutes(app *caddyhttp.App) []string {
	var found []string
	c := &routeCheck{verified: make(map[string]bool), open: make(map[string]bool), spoiled: make(map[*Handler]bool)}
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		s := app.Servers[name]
		c.named = s.NamedRoutes
		c.routes(s.Routes, past{}, false)
		if s.Errors != nil {
			c.routes(s.Errors.Routes, past{}, false)
		}
	}
	found = append(found, c.found...)
	for _, upstream := range slices.Sorted(maps.Keys(c.open)) {
		if c.open[upstream] && c.verified[upstream] {
			found = append(found, fmt.Sprintf("requests that verify_webhook does not check reach %s as well, with whatever Webhook-Verified-* headers a client sends: write `request_header -Webhook-Verified-*` in front of reverse_proxy in the other route, or respond 404 there", upstream))
		}
	}
	return found
}

// routeCheck is one walk through the routes of an HTTP app.
type routeCheck struct {
	named map[string]*caddyhttp.Route
	depth int // of named routes, which can invoke each other

	found          []string
	verified, open map[string]bool   // upstreams behind an endpoint; those that forged headers reach
	spoiled        map[*Handler]bool // already said: its identity headers are removed
}

// past is what has happened to a request before it reaches a handler.
type past struct {
	gate     *Handler // an endpoint that it has certainly passed
	maybe    *Handler // one that it may have passed
	answered string   // the handler that has certainly responded
	removed  names    // the identity headers that a client certainly cannot forge
}

// and adds what has certainly happened.
func (p past) and(q past) past {
	if p.gate == nil {
		p.gate = q.gate
	}
	if p.answered == "" {
		p.answered = q.answered
	}
	p.removed |= q.removed
	return p.or(q)
}

// or adds what may have happened.
func (p past) or(q past) past {
	if p.maybe == nil {
		p.maybe = q.maybe
	}
	return p
}

// routes walks through a list of routes and returns what has happened to a
// request that leaves it. later: a handler behind the list may respond.
func (c *routeCheck) routes(list caddyhttp.RouteList, before past, later bool) past {
	ends := make([]past, len(list))
	after := before
	for i := range list {
		r := &list[i]
		mine := before
		for j := range i {
			mine = mine.after(&list[j], ends[j], r)
		}
		behind := !r.Terminal && (later || c.anyAnswers(list[i+1:], r.Group))
		ends[i] = c.chain(r.Handlers, mine, behind)
		if r.Terminal && ends[i].answered == "" {
			ends[i].answered = "a route that ends here"
		}
		if len(r.MatcherSets) == 0 && firstOfGroup(list[:i], r.Group) {
			after = after.and(ends[i])
		} else {
			after = after.or(ends[i])
		}
	}
	return after
}

// after adds the end of an earlier route of the list to what has happened
// before a route.
func (p past) after(earlier *caddyhttp.Route, end past, r *caddyhttp.Route) past {
	certain := covers(earlier.MatcherSets, r.MatcherSets)
	switch {
	case earlier.Group != "" && earlier.Group == r.Group:
		if certain && p.answered == "" {
			p.answered = "another route of its group"
		}
		return p
	case certain:
		return p.and(end)
	}
	return p.or(end)
}

func firstOfGroup(earlier caddyhttp.RouteList, group string) bool {
	return group == "" || !slices.ContainsFunc(earlier, func(r caddyhttp.Route) bool { return r.Group == group })
}

// chain walks through the handlers of one route.
func (c *routeCheck) chain(handlers []caddyhttp.MiddlewareHandler, p past, later bool) past {
	for i, handler := range handlers {
		behind := later || slices.ContainsFunc(handlers[i+1:], c.answers)
		switch h := handler.(type) {
		case *Handler:
			c.endpoint(h, p, behind)
			p = past{gate: h, maybe: h, answered: p.answered, removed: allNames}
		case *caddyhttp.Subroute:
			p = c.subroute(h, p, behind)
		case *caddyhttp.Invoke:
			p = c.invoke(h, p, behind)
		case *headers.Handler:
			p = c.remove(h, p)
		case *reverseproxy.Handler:
			p = c.proxy(h, p, behind)
		case *caddyhttp.StaticResponse:
			p = p.and(past{answered: "respond, redir or abort"})
		case *caddyhttp.StaticError:
			p = p.and(past{answered: "error"})
		}
	}
	return p
}

// endpoint says what is wrong with the place of an endpoint.
func (c *routeCheck) endpoint(h *Handler, p past, behind bool) {
	name := h.endpointName()
	switch {
	case p.answered != "":
		c.say("verify_webhook %s never runs: %s in front of it takes every request; put verify_webhook first", name, p.answered)
	case p.gate == h:
	case p.gate != nil:
		c.say("verify_webhook %s is behind verify_webhook %s in one chain: a delivery would have to be from both; give each a handle of its own", name, p.gate.endpointName())
	}
	if !behind && p.answered == "" {
		c.say("nothing behind verify_webhook %s responds: no delivery is handled; put reverse_proxy behind it, in the same handle", name)
	}
}

func (c *routeCheck) subroute(h *caddyhttp.Subroute, p past, behind bool) past {
	if h.Errors != nil {
		c.routes(h.Errors.Routes, p, behind)
	}
	return c.routes(h.Routes, p, behind)
}

func (c *routeCheck) invoke(h *caddyhttp.Invoke, p past, behind bool) past {
	r, ok := c.named[h.Name]
	if !ok || c.depth > 8 {
		return p
	}
	c.depth++
	defer func() { c.depth-- }()
	return c.routes(caddyhttp.RouteList{*r}, p, behind)
}

// proxy notes which upstreams a request reaches, and as what.
func (c *routeCheck) proxy(h *reverseproxy.Handler, p past, behind bool) past {
	p = c.remove(h.Headers, p)
	if p.answered == "" {
		for _, u := range h.Upstreams {
			c.verified[u.Dial] = c.verified[u.Dial] || p.maybe != nil
			c.open[u.Dial] = c.open[u.Dial] || p.removed != allNames
		}
	}
	if len(h.HandleResponse) == 0 {
		return p.and(past{answered: "reverse_proxy"})
	}
	// It may go on, as forward_auth does.
	for _, response := range h.HandleResponse {
		c.routes(response.Routes, p, behind)
	}
	return p
}

// remove notes the identity headers that header operations remove: a client's,
// or by mistake those of an endpoint.
func (c *routeCheck) remove(h *headers.Handler, p past) past {
	removed := removedNames(h)
	if removed != 0 && p.maybe != nil && !c.spoiled[p.maybe] {
		c.spoiled[p.maybe] = true
		c.say("Webhook-Verified-* headers that verify_webhook %s sets are removed behind it: remove them only in routes without verify_webhook", p.maybe.endpointName())
	}
	p.removed |= removed
	return p
}

func (c *routeCheck) say(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(c.found, text) {
		c.found = append(c.found, text)
	}
}

// passing are Caddy's handlers that never respond by themselves.
var passing = []string{"authentication", "copy_response_headers", "encode", "headers", "log_append", "map", "push", "request_body", "rewrite", "templates", "timeouts", "tracing", "vars", "verify_webhook"}

// answers reports whether a handler, or one in it, may respond.
func (c *routeCheck) answers(handler caddyhttp.MiddlewareHandler) bool {
	switch h := handler.(type) {
	case *caddyhttp.Subroute:
		return c.anyAnswers(h.Routes, "")
	case *caddyhttp.Invoke:
		r, ok := c.named[h.Name]
		return !ok || slices.ContainsFunc(r.Handlers, func(h caddyhttp.MiddlewareHandler) bool {
			_, nested := h.(*caddyhttp.Invoke)
			return nested || c.answers(h)
		})
	}
	module, ok := handler.(caddy.Module)
	return !ok || !slices.Contains(passing, module.CaddyModule().ID.Name())
}

// anyAnswers reports whether a route may respond that is not of the group.
func (c *routeCheck) anyAnswers(list caddyhttp.RouteList, group string) bool {
	return slices.ContainsFunc(list, func(r caddyhttp.Route) bool {
		return (group == "" || r.Group != group) && slices.ContainsFunc(r.Handlers, c.answers)
	})
}

// covers reports whether a matches, for certain, all that b matches: it
// matches everything, is the same, or all paths of b are paths of a.
func covers(a, b caddyhttp.MatcherSets) bool {
	if len(a) == 0 || reflect.DeepEqual(a, b) {
		return true
	}
	paths, ok := onlyPaths(a)
	if !ok || len(b) == 0 {
		return false
	}
	for _, set := range b {
		mine, ok := pathsOf(set)
		if !ok || !slices.ContainsFunc(paths, func(p caddyhttp.MatchPath) bool { return matchesAll(p, mine) }) {
			return false
		}
	}
	return true
}

// onlyPaths returns the paths of matcher sets that ask for nothing else.
func onlyPaths(sets caddyhttp.MatcherSets) (paths []caddyhttp.MatchPath, ok bool) {
	for _, set := range sets {
		p, ok := pathsOf(set)
		if !ok || len(set) != 1 {
			return nil, false
		}
		paths = append(paths, p)
	}
	return paths, true
}

func pathsOf(set caddyhttp.MatcherSet) (caddyhttp.MatchPath, bool) {
	for _, m := range set {
		switch p := m.(type) {
		case caddyhttp.MatchPath:
			return p, true
		case *caddyhttp.MatchPath:
			return *p, true
		}
	}
	return nil, false
}

// matchesAll reports whether paths match all that patterns match, by an example
// of each pattern: in it a letter is put for each star.
func matchesAll(paths, patterns caddyhttp.MatchPath) bool {
	for _, pattern := range patterns {
		if strings.ContainsAny(pattern, "%{") {
			return false
		}
		r := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: strings.ReplaceAll(pattern, "*", "x")}, Header: http.Header{}}
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), nil, nil)
		if matches, err := paths.MatchWithError(r); err != nil || !matches {
			return false
		}
	}
	return true
}

// names is a set of identityNames: bit i is the name at i.
type names uint8

var identityNames = [...]string{headerProvider, headerID, headerEvent, headerTimestamp, headerKey, headerUnsigned, headerOutcome}

const allNames = names(1<<len(identityNames) - 1)

// removedNames returns the identity headers that header operations remove from
// a request.
func removedNames(h *headers.Handler) (removed names) {
	if h == nil || h.Request == nil {
		return 0
	}
	for _, pattern := range h.Request.Delete {
		for i, name := range identityNames {
			if deletes(strings.ToLower(pattern), strings.ToLower(name)) {
				removed |= 1 << i
			}
		}
	}
	return removed
}

// deletes reports whether a pattern of Caddy's header operations, which may
// begin or end with a star, matches a name.
func deletes(pattern, name string) bool {
	rest, begins := strings.CutPrefix(pattern, "*")
	rest, ends := strings.CutSuffix(rest, "*")
	switch {
	case begins && ends:
		return strings.Contains(name, rest)
	case begins:
		return strings.HasSuffix(name, rest)
	case ends:
		return strings.HasPrefix(name, rest)
	}
	return pattern == name
}
