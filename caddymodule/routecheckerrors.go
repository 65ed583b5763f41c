package caddymodule

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// errorRoutes reports error routes that respond with success to a delivery that was
// refused or has failed: the provider would not retry it.
func (c *routeCheck) errorRoutes(s *caddyhttp.Server) {
	if s.Errors == nil {
		return
	}
	for _, e := range s.Errors.Routes {
		what := c.succeeds(e.Handlers, 0)
		if what == "" || !c.guards(s.Routes, e.MatcherSets) {
			continue
		}
		c.say("%s in handle_errors responds with its own status, so a provider whose delivery has failed may get 200 and does not retry it: write replace_status {err.status_code} in reverse_proxy, and respond without a status", what)
	}
}

// guards reports whether errors of an endpoint in the routes reach an error route with
// these matchers.
func (c *routeCheck) guards(list caddyhttp.RouteList, sets caddyhttp.MatcherSets) bool {
	all := onFailures(sets)
	return slices.ContainsFunc(list, func(r caddyhttp.Route) bool {
		return (all || covers(sets, r.MatcherSets)) && c.anyGate(r.Handlers, 0)
	})
}

// anyGate reports whether handlers contain an endpoint.
func (c *routeCheck) anyGate(handlers []caddyhttp.MiddlewareHandler, depth int) bool {
	return depth < 8 && slices.ContainsFunc(handlers, func(handler caddyhttp.MiddlewareHandler) bool {
		switch h := handler.(type) {
		case *Handler:
			return true
		case *caddyhttp.Subroute:
			return slices.ContainsFunc(h.Routes, func(r caddyhttp.Route) bool { return c.anyGate(r.Handlers, depth+1) })
		case *caddyhttp.Invoke:
			named, ok := c.named[h.Name]
			return ok && c.anyGate(named.Handlers, depth+1)
		}
		return false
	})
}

// succeeds returns the first handler that responds with a status of its own, or "".
func (c *routeCheck) succeeds(handlers []caddyhttp.MiddlewareHandler, depth int) string {
	if depth > 8 {
		return ""
	}
	for _, handler := range handlers {
		found := ""
		switch h := handler.(type) {
		case *reverseproxy.Handler:
			if len(h.HandleResponse) == 0 {
				found = "reverse_proxy"
			}
		case *caddyhttp.StaticResponse:
			if status := h.StatusCode.String(); strings.HasPrefix(status, "2") {
				found = "respond " + status
			}
		case *caddyhttp.Subroute:
			for _, r := range h.Routes {
				if found == "" && onFailures(r.MatcherSets) {
					found = c.succeeds(r.Handlers, depth+1)
				}
			}
		case *caddyhttp.Invoke:
			if named, ok := c.named[h.Name]; ok {
				found = c.succeeds(named.Handlers, depth+1)
			}
		}
		if found != "" {
			return found
		}
	}
	return ""
}

// onFailures reports whether an error route has no matchers but those of handle_errors
// for statuses with which deliveries are refused or fail.
func onFailures(sets caddyhttp.MatcherSets) bool {
	return len(sets) == 0 || slices.ContainsFunc(sets, func(set caddyhttp.MatcherSet) bool {
		return !slices.ContainsFunc(set, func(m any) bool {
			e, ok := m.(*caddyhttp.MatchExpression)
			return !ok || !slices.ContainsFunc([]string{">= 400", ">= 500", "401", "500", "502", "503", "504"}, func(status string) bool { return strings.Contains(e.Expr, status) })
		})
	})
}
