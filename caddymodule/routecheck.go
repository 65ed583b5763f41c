package caddymodule

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// checkRoutes looks for endpoints that cannot work: without a handler behind them,
// unreachable, or bypassed by requests with forged identity headers to the same
// app. It reports only what is certain from the order of handlers; matchers other
// than paths are not evaluated, and unknown handlers count as harmless.
func checkRoutes(app *caddyhttp.App) []string {
	var found []string
	c := &routeCheck{verified: make(map[string][]scope), open: make(map[string][]scope), spoiled: make(map[*Handler]bool)}
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		s := app.Servers[name]
		c.named = s.NamedRoutes
		c.routes(s.Routes, past{}, noResponder)
		if s.Errors != nil {
			c.routes(s.Errors.Routes, past{}, noResponder)
		}
		c.errorRoutes(s)
	}
	found = append(found, c.found...)
	for _, upstream := range slices.Sorted(maps.Keys(c.open)) {
		if overlap(c.open[upstream], c.verified[upstream]) {
			found = append(found, fmt.Sprintf("requests that verify_webhook does not check also reach %s, with any Webhook-Verified-* headers that a client sends: write `request_header -Webhook-Verified-*` before reverse_proxy in the other route, or respond 404 there", upstream))
		}
	}
	return found
}

// routeCheck is a traversal of the routes of an HTTP app.
type routeCheck struct {
	named map[string]*caddyhttp.Route
	depth int // of named routes, which can invoke each other
	// onPaths: an endpoint is on some paths only.
	onPaths bool

	found          []string
	verified, open map[string][]scope // of upstreams: on which paths an endpoint is in front, and on which forged headers reach them
	spoiled        map[*Handler]bool  // already reported: its identity headers are removed
}

// past is what has happened to a request before it reaches a handler.
type past struct {
	gate     *Handler // an endpoint that it has definitely passed
	maybe    *Handler // one that it may have passed
	runs     bool     // gate is not behind a handler that has responded
	answered string   // the handler that has definitely responded
	removed  names    // the identity headers that a client definitely cannot forge
	// rewritten: its path may be another than the scope says.
	rewritten bool
	cut       string // the prefix that handle_path has removed from its path
	scope     scope  // its possible paths
	readOnce  func() // makes a second read of the body of a verified delivery fail
}

// and adds what has definitely happened.
func (p past) and(q past) past {
	if p.gate == nil {
		p.gate, p.runs = q.gate, q.runs
	}
	if p.answered == "" {
		p.answered = q.answered
	}
	p.removed |= q.removed
	if q.cut != "" {
		p.cut = q.cut
	}
	return p.or(q)
}

// or adds what may have happened.
func (p past) or(q past) past {
	if p.maybe == nil {
		p.maybe, p.readOnce = q.maybe, q.readOnce
	}
	p.rewritten = p.rewritten || q.rewritten
	return p
}

// responder reports whether a later handler may respond to a request whose path has
// lost the prefix cut, and that had one of the paths in the scope before.
type responder func(cut string, s scope) bool

func noResponder(string, scope) bool { return false }

// routes traverses a list of routes and returns what has happened to a request that
// leaves it. later is what follows the list.
func (c *routeCheck) routes(list caddyhttp.RouteList, before past, later responder) past {
	ends := make([]past, len(list))
	after := before
	for i := range list {
		r := &list[i]
		mine := before
		for j := range i {
			mine = mine.after(&list[j], ends[j], r)
		}
		mine.scope = mine.narrow(r.MatcherSets)
		behind := func(cut string, s scope) bool {
			s = s.after(list[i+1:])
			return !r.Terminal && (c.anyAnswers(list[i+1:], r.Group, cut, s) || later(cut, s))
		}
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

// chain traverses the handlers of one route.
func (c *routeCheck) chain(handlers []caddyhttp.MiddlewareHandler, p past, later responder) past {
	for i, handler := range handlers {
		behind := func(cut string, s scope) bool {
			if slices.ContainsFunc(handlers[i+1:], rewrites) {
				s = nil
			}
			return c.anyHandler(handlers[i+1:], cut, s) || later(cut, s)
		}
		switch h := handler.(type) {
		case *Handler:
			c.endpoint(h, p, behind(p.cut, p.path()))
			p.gate, p.maybe, p.removed, p.runs = h, h, allNames, p.answered == ""
			p.readOnce = func() { h.bodyOnce.Store(true) }
		case *caddyhttp.Subroute:
			p = c.subroute(h, p, behind)
		case *caddyhttp.Invoke:
			p = c.invoke(h, p, behind)
		case *rewrite.Rewrite:
			p.cut, p.rewritten = h.StripPathPrefix, true
		case *headers.Handler:
			p = c.remove(h, p)
		case *reverseproxy.Handler:
			p = c.proxy(h, p, behind)
		case *intercept.Intercept:
			c.fallsBack("intercept", h.HandleResponse, p)
		case deliverer:
			p = c.deliver(h, p, behind)
		case *caddyhttp.StaticResponse:
			p = p.and(past{answered: "respond, redir or abort"})
		case *caddyhttp.StaticError:
			p = p.and(past{answered: "error"})
		default:
			c.family(handler, p)
		}
	}
	return p
}

// maxNesting limits the recursion into routes.
const maxNesting = 32

// family reports errors in the position of a handler that needs the endpoint, or must
// not be behind one.
func (c *routeCheck) family(handler caddyhttp.MiddlewareHandler, p past) {
	module, ok := handler.(caddy.Module)
	if !ok {
		return
	}
	name := module.CaddyModule().ID.Name()
	switch {
	case name == "webhook_listeners" && p.gate != nil && p.answered == "":
		c.say("webhook_listeners is behind verify_webhook %s, which refuses machines that connect: write it in a handle of its own", p.gate.endpointName())
	case name != "webhook_sign" && name != "webhook_relay":
	case p.answered != "":
		c.unreachable(name, p)
	case p.maybe == nil:
		c.say("%s has no verify_webhook before it and refuses every request: write verify_webhook in the same handle", name)
	}
}

// unreachable reports a handler that never gets the deliveries of an endpoint, because
// another one acknowledges them. Behind a proxy it has no effect, and that is harmless.
func (c *routeCheck) unreachable(name string, p past) {
	if p.gate == nil || !p.runs || p.answered == "reverse_proxy" && name == "reverse_proxy" {
		return
	}
	switch p.answered {
	case "respond, redir or abort", "error", "reverse_proxy":
		c.say("%s never gets the deliveries of verify_webhook %s: %s before it responds to every request; remove that, or give it a matcher", name, p.gate.endpointName(), p.answered)
	}
}

// endpoint reports errors in the position of an endpoint.
func (c *routeCheck) endpoint(h *Handler, p past, behind bool) {
	name := h.endpointName()
	c.onPaths = c.onPaths || p.scope != nil
	switch {
	case p.answered != "":
		c.say("verify_webhook %s never runs: %s before it responds to every request; write verify_webhook first", name, p.answered)
	case p.gate == h:
	case p.gate != nil:
		c.say("verify_webhook %s is behind verify_webhook %s in one chain: a delivery would have to be from both; give each its own handle", name, p.gate.endpointName())
	}
	if !behind && p.answered == "" {
		c.say("no handler behind verify_webhook %s responds, so no delivery is handled; write reverse_proxy behind it, in the same handle, without a matcher or with one that matches (handle_path removes the prefix)", name)
	}
}

func (c *routeCheck) subroute(h *caddyhttp.Subroute, p past, behind responder) past {
	if h.Errors != nil {
		c.fallsBack("an error route", []caddyhttp.ResponseHandler{{Routes: h.Errors.Routes}}, p)
		c.routes(h.Errors.Routes, p, behind)
	}
	return c.routes(h.Routes, p, behind)
}

// deliverer is a handler that forwards deliveries in the background, through its own
// routes.
type deliverer interface {
	// ReadOnce makes a second read of a body in the routes fail.
	ReadOnce()
	Routes() caddyhttp.RouteList
	QueueName() string
}

// deliver records which upstreams the routes of webhook_queue reach. They get only
// verified deliveries.
func (c *routeCheck) deliver(h deliverer, p past, behind responder) past {
	if p.maybe == nil && p.answered == "" {
		c.say("webhook_queue %s has no verify_webhook before it and refuses every request: write verify_webhook in the same handle", h.QueueName())
	}
	c.unreachable("webhook_queue", p)
	inside := p
	inside.removed = allNames
	inside.answered, inside.readOnce = "", h.ReadOnce
	c.routes(h.Routes(), inside, behind)
	return p.and(past{answered: "webhook_queue"})
}

func (c *routeCheck) invoke(h *caddyhttp.Invoke, p past, behind responder) past {
	r, ok := c.named[h.Name]
	if !ok || c.depth > 8 {
		return p
	}
	c.depth++
	defer func() { c.depth-- }()
	return c.routes(caddyhttp.RouteList{*r}, p, behind)
}

// proxy records which upstreams a request reaches, verified or not.
func (c *routeCheck) proxy(h *reverseproxy.Handler, p past, behind responder) past {
	p = c.remove(h.Headers, p)
	c.forwardsTwice(h, p)
	c.unreachable("reverse_proxy", p)
	// A fixed URI, as in forward_auth, does not lead to an app's webhooks.
	elsewhere := h.Rewrite != nil && h.Rewrite.URI != "" && !strings.Contains(h.Rewrite.URI, "{")
	for _, u := range h.Upstreams {
		if p.answered == "" && p.maybe != nil {
			c.verified[u.Dial] = append(c.verified[u.Dial], p.scope)
		}
		if p.answered == "" && p.removed != allNames && !elsewhere {
			c.open[u.Dial] = append(c.open[u.Dial], p.scope)
		}
	}
	if len(h.HandleResponse) == 0 {
		return p.and(past{answered: "reverse_proxy"})
	}
	// The request may continue, as with forward_auth.
	for _, response := range h.HandleResponse {
		c.routes(response.Routes, p, behind)
	}
	return p
}

// remove records the identity headers that header operations remove: a client's or,
// by mistake, those of an endpoint.
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

// passing are Caddy's handlers that never respond.
var passing = []string{"authentication", "copy_response_headers", "encode", "headers", "log_append", "map", "push", "request_body", "rewrite", "templates", "timeouts", "tracing", "vars", "verify_webhook"}

// answers reports whether a handler, or one inside it, may respond to a request
// whose path has lost the prefix cut.
func (c *routeCheck) answers(handler caddyhttp.MiddlewareHandler, cut string, s scope) bool {
	switch h := handler.(type) {
	case *caddyhttp.Subroute:
		return c.anyAnswers(h.Routes, "", cut, s)
	case *caddyhttp.Invoke:
		return true // invoked routes can invoke others
	}
	module, ok := handler.(caddy.Module)
	return !ok || !slices.Contains(passing, module.CaddyModule().ID.Name())
}

// anyAnswers reports whether a route outside the group may respond.
func (c *routeCheck) anyAnswers(list caddyhttp.RouteList, group, cut string, s scope) bool {
	return slices.ContainsFunc(list, func(r caddyhttp.Route) bool {
		never := onlyUnder(cut, r.MatcherSets) || cut == "" && s.excludes(r.MatcherSets)
		return (group == "" || r.Group != group) && !never && c.anyHandler(r.Handlers, cut, s)
	})
}

func (c *routeCheck) anyHandler(handlers []caddyhttp.MiddlewareHandler, cut string, s scope) bool {
	return slices.ContainsFunc(handlers, func(h caddyhttp.MiddlewareHandler) bool { return c.answers(h, cut, s) })
}

// path returns the scope, nil if the path may have been rewritten.
func (p past) path() scope {
	if p.rewritten {
		return nil
	}
	return p.scope
}

// after returns the scope behind routes, nil if they may rewrite the path.
func (s scope) after(list caddyhttp.RouteList) scope {
	if slices.ContainsFunc(list, func(r caddyhttp.Route) bool { return slices.ContainsFunc(r.Handlers, rewrites) }) {
		return nil
	}
	return s
}

// rewrites reports whether a handler may change the path.
func rewrites(handler caddyhttp.MiddlewareHandler) bool {
	switch h := handler.(type) {
	case *rewrite.Rewrite, *caddyhttp.Invoke:
		return true
	case *caddyhttp.Subroute:
		return scope{}.after(h.Routes) == nil
	}
	return false
}

// excludes reports whether matchers definitely match no path of the scope.
func (s scope) excludes(sets caddyhttp.MatcherSets) bool {
	if s == nil || len(sets) == 0 {
		return false
	}
	return !slices.ContainsFunc(sets, func(set caddyhttp.MatcherSet) bool {
		paths, ok := pathsOf(set)
		return !ok || slices.ContainsFunc(paths, func(path string) bool {
			return slices.ContainsFunc(s, func(mine string) bool { return !disjoint(path, mine) })
		})
	})
}

// disjoint reports whether no path matches both patterns. Only stars at the end are
// supported.
func disjoint(a, b string) bool {
	if strings.ContainsAny(a+b, "%{") {
		return false
	}
	first, anyFirst := strings.CutSuffix(strings.ToLower(a), "*")
	second, anySecond := strings.CutSuffix(strings.ToLower(b), "*")
	if strings.Contains(first+second, "*") {
		return false
	}
	overlap := first == second || anyFirst && strings.HasPrefix(second, first) || anySecond && strings.HasPrefix(first, second)
	return !overlap
}

// onlyUnder reports whether matchers require a path prefix that the request has
// lost.
func onlyUnder(cut string, sets caddyhttp.MatcherSets) bool {
	if cut == "" || len(sets) == 0 {
		return false
	}
	return !slices.ContainsFunc(sets, func(set caddyhttp.MatcherSet) bool {
		paths, ok := pathsOf(set)
		return !ok || slices.ContainsFunc(paths, func(path string) bool { return !strings.HasPrefix(path, strings.ToLower(cut)) })
	})
}

// covers reports whether a definitely matches everything that b matches: it matches
// everything, is equal, or all paths of b are paths of a.
func covers(a, b caddyhttp.MatcherSets) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == 0
	}
	paths, ok := onlyPaths(a)
	if !ok {
		return reflect.DeepEqual(a, b)
	}
	for _, set := range b {
		mine, ok := pathsOf(set)
		if !ok || !slices.ContainsFunc(paths, func(p caddyhttp.MatchPath) bool { return matchesAll(p, mine) }) {
			return false
		}
	}
	return true
}

// onlyPaths returns the paths of matcher sets that contain nothing else.
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

// matchesAll reports whether paths definitely match everything that patterns match.
func matchesAll(paths, patterns caddyhttp.MatchPath) bool {
	return !slices.ContainsFunc(patterns, func(pattern string) bool {
		return !slices.ContainsFunc(paths, func(path string) bool { return matchesPath(path, pattern) })
	})
}

// matchesPath compares two path patterns, which Caddy has converted to lower case.
// Only stars at the end are supported.
func matchesPath(path, pattern string) bool {
	if strings.ContainsAny(path+pattern, "%{") {
		return false
	}
	begin, star := strings.CutSuffix(path, "*")
	if strings.Contains(begin, "*") {
		return false
	}
	return path == pattern || star && strings.HasPrefix(pattern, begin)
}

// scope are the path patterns of the innermost route with path matchers: nil
// is all paths.
type scope []string

// narrow returns the scope inside a route with these matchers.
func (p past) narrow(sets caddyhttp.MatcherSets) scope {
	if p.cut != "" {
		return p.scope // its matchers get another path
	}
	var patterns scope
	for _, set := range sets {
		paths, ok := pathsOf(set)
		if !ok {
			return p.scope
		}
		patterns = append(patterns, paths...)
	}
	if patterns == nil {
		return p.scope
	}
	return patterns
}

// overlap reports whether an app may treat a path in the scopes of open as one in
// those of verified.
func overlap(open, verified []scope) bool {
	return slices.ContainsFunc(open, func(o scope) bool {
		return slices.ContainsFunc(verified, func(v scope) bool { return o.overlaps(v) })
	})
}

func (s scope) overlaps(other scope) bool {
	if s == nil || other == nil {
		return true
	}
	return slices.ContainsFunc(s, func(a string) bool {
		return slices.ContainsFunc(other, func(b string) bool { return overlapping(a, b) })
	})
}

// overlapping compares the beginnings of two patterns. PHP treats the text after the
// name of a script as the path.
func overlapping(a, b string) bool {
	a, _, _ = strings.Cut(a, "*")
	b, _, _ = strings.Cut(b, "*")
	a, b = strings.ToLower(a), strings.ToLower(b)
	return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) || strings.Contains(a, ".php")
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
