package inspector

import (
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// checkListeners refuses to serve on an address that other machines can reach.
func (h *Inspector) checkListeners() error {
	if h.Remote {
		return nil // checkAuthentication follows when the config starts
	}
	for _, address := range h.server.Listen {
		if !isLoopbackListener(address) {
			return fmt.Errorf("webhook_inspector would listen on %s, which other machines can reach: write `bind 127.0.0.1` in its site; or, to serve it to others, `remote` in its block and an authentication handler in front, such as basic_auth", address)
		}
	}
	return nil
}

func isLoopbackListener(address string) bool {
	a, err := caddy.ParseNetworkAddress(address)
	if err != nil {
		return false
	}
	return a.IsUnixNetwork() || !a.IsFdNetwork() && isLoopback(a.Host)
}

// isLoopback reports whether a host name or address is only for this machine.
func isLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// checkAuthentication refuses `remote` without an authentication handler that
// applies to every request. It cannot run while provisioning, because the routes
// are incomplete then.
func (h *Inspector) checkAuthentication() error {
	if !h.Remote {
		return nil
	}
	found, guarded := h.findIn(h.server.Routes, false, 0)
	if h.server.Errors != nil { // a request without authentication gets there
		inErrors, _ := h.findIn(h.server.Errors.Routes, false, 0)
		guarded = guarded && !inErrors
	}
	if found && guarded {
		return nil
	}
	return errors.New("webhook_inspector: remote needs an authentication handler in front that applies to every request, such as basic_auth or forward_auth in the same site without a matcher")
}

// maxRouteDepth limits the recursion, because named routes can invoke each other.
const maxRouteDepth = 32

// findIn looks for the handler in routes, and reports whether authentication is in
// front of it wherever it is found: named routes can be invoked several times. guarded
// is true if authentication is in front of the routes.
func (h *Inspector) findIn(routes caddyhttp.RouteList, guarded bool, depth int) (found, isGuarded bool) {
	isGuarded = true
	if depth > maxRouteDepth {
		return false, true
	}
	for i := range routes {
		within := guarded
		for _, handler := range routes[i].Handlers {
			if handler == caddyhttp.MiddlewareHandler(h) {
				found, isGuarded = true, isGuarded && within
			}
			inner := h.routesOf(handler)
			if there, andGuarded := h.findIn(inner, within, depth+1); there {
				found, isGuarded = true, isGuarded && andGuarded
			}
			if subroute, ok := handler.(*caddyhttp.Subroute); ok && subroute.Errors != nil {
				if there, _ := h.findIn(subroute.Errors.Routes, false, depth+1); there {
					found, isGuarded = true, false
				}
			}
			within = within || authenticates(handler) || alwaysAuthenticate(inner)
		}
		if alwaysRuns(routes, i) {
			guarded = within
		}
	}
	return found, isGuarded
}

// alwaysRuns reports whether every request that passes a list of routes runs route i.
// Only the first matching route of a group runs.
func alwaysRuns(routes caddyhttp.RouteList, i int) bool {
	group := routes[i].Group
	return len(routes[i].MatcherSets) == 0 &&
		(group == "" || !slices.ContainsFunc(routes[:i], func(r caddyhttp.Route) bool { return r.Group == group }))
}

// routesOf returns the routes inside a handler.
func (h *Inspector) routesOf(handler caddyhttp.MiddlewareHandler) caddyhttp.RouteList {
	switch inner := handler.(type) {
	case *caddyhttp.Subroute:
		return inner.Routes
	case *caddyhttp.Invoke:
		if named, ok := h.server.NamedRoutes[inner.Name]; ok {
			return caddyhttp.RouteList{*named}
		}
	}
	return nil
}

// alwaysAuthenticate reports whether every request that passes routes is authenticated.
func alwaysAuthenticate(routes caddyhttp.RouteList) bool {
	for i := range routes {
		if alwaysRuns(routes, i) && slices.ContainsFunc(routes[i].Handlers, authenticates) {
			return true
		}
	}
	return false
}

// authenticates reports whether a handler refuses requests without authentication.
func authenticates(handler caddyhttp.MiddlewareHandler) bool {
	switch a := handler.(type) {
	case caddyauth.Authentication, *caddyauth.Authentication:
		return true
	case *reverseproxy.Handler: // forward_auth
		acceptsAll := slices.ContainsFunc(a.HandleResponse, func(r caddyhttp.ResponseHandler) bool { return r.Match == nil })
		return a.Rewrite != nil && len(a.HandleResponse) > 0 && !acceptsAll
	}
	m, ok := handler.(caddy.Module)
	return ok && m.CaddyModule().ID == "http.handlers.authentication"
}

// setSecurityHeaders sets the headers that keep other sites and senders' input from
// running in the page.
func setSecurityHeaders(header http.Header) {
	header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
}

// checkRequest refuses cross-site requests, and requests from other machines.
func (h *Inspector) checkRequest(r *http.Request) error {
	if !h.Remote {
		if err := checkLocal(r); err != nil {
			return err
		}
	}
	if err := checkOrigin(r); err != nil {
		return err
	}
	if r.Method != http.MethodPost {
		return nil
	}
	// A form on another site cannot send this type.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return errors.New("Content-Type must be application/json")
	}
	return nil
}

// proxyHeaders are set by proxies.
var proxyHeaders = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"}

// checkLocal refuses host names other than this machine's, which would allow DNS
// rebinding, and requests through a proxy or a tunnel.
func checkLocal(r *http.Request) error {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if !isLoopback(host) {
		return errors.New("the Host is not this machine's: open the page as localhost")
	}
	for _, name := range proxyHeaders {
		if len(r.Header.Values(name)) > 0 {
			return errors.New("the request came through a proxy: to serve the page to others, write `remote` in its block and an authentication handler in front")
		}
	}
	return nil
}

// checkOrigin refuses requests from pages of another origin. Links to the page are
// allowed.
func checkOrigin(r *http.Request) error {
	if origins := r.Header.Values("Origin"); len(origins) > 0 {
		origin, err := url.Parse(origins[0])
		if err != nil || len(origins) > 1 || origin.Host == "" || !strings.EqualFold(origin.Host, r.Host) {
			return errors.New("the request comes from another site")
		}
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "same-origin", "none":
		return nil
	default:
		if r.URL.Path == "/" && r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" {
			return nil // a link
		}
		return errors.New("the request comes from another site")
	}
}
