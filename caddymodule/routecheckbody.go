package caddymodule

import (
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// forwardsTwice reports upstreams that get a delivery after another one has read its
// body. reverse_proxy sends them what is left of it.
func (c *routeCheck) forwardsTwice(h *reverseproxy.Handler, p past) {
	if p.maybe == nil || p.answered != "" || !forwardsBody(h) {
		return
	}
	name, whole := p.maybe.endpointName(), p.maybe.MaxBody>>20+1 // in MiB, for bodies of max_body
	if slices.ContainsFunc(h.HandleResponse, func(r caddyhttp.ResponseHandler) bool { return c.anyForwards(r.Routes, 0) }) {
		c.say("a proxy in handle_response behind verify_webhook %s cannot forward deliveries, because the proxy around it has read the body: write all upstreams in one reverse_proxy, with lb_retries and request_buffers %dMiB", name, whole)
	}
	if retriesAnyRequest(h) && needsLength(h) && h.RequestBuffers >= 0 && h.RequestBuffers <= p.maybe.MaxBody {
		c.say("a FastCGI proxy behind verify_webhook %s retries longer deliveries without the part of the body that the failed upstream has read, which looks complete to the app: write request_buffers %dMiB in it, or remove lb_retry_match", name, whole)
	}
}

// forwardsBody reports whether a proxy forwards the body. forward_auth does not.
func forwardsBody(h *reverseproxy.Handler) bool {
	return h.Rewrite == nil || (h.Rewrite.Method != http.MethodGet && h.Rewrite.Method != http.MethodHead)
}

// retriesAnyRequest reports whether a proxy retries requests that an upstream may have
// read.
func retriesAnyRequest(h *reverseproxy.Handler) bool {
	lb := h.LoadBalancing
	return lb != nil && len(lb.RetryMatch) > 0 && (lb.Retries > 0 || lb.TryDuration > 0)
}

// needsLength reports whether the transport is FastCGI or similar: HTTP transports
// fail if the body is shorter than its length.
func needsLength(h *reverseproxy.Handler) bool {
	t, ok := h.Transport.(reverseproxy.ContentLengthRequiredTransport)
	return ok && t.RequiresContentLength()
}

// anyForwards reports whether routes contain a proxy that forwards the body.
func (c *routeCheck) anyForwards(list caddyhttp.RouteList, depth int) bool {
	return depth < 8 && slices.ContainsFunc(list, func(r caddyhttp.Route) bool {
		return slices.ContainsFunc(r.Handlers, func(handler caddyhttp.MiddlewareHandler) bool {
			switch h := handler.(type) {
			case *reverseproxy.Handler:
				return forwardsBody(h)
			case *caddyhttp.Subroute:
				return c.anyForwards(h.Routes, depth+1)
			case *caddyhttp.Invoke:
				named, ok := c.named[h.Name]
				return ok && c.anyForwards(caddyhttp.RouteList{*named}, depth+1)
			}
			return false
		})
	})
}
