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
	c.fallsBack("the handle_response of a proxy", h.HandleResponse, p)
	if retriesAnyRequest(h) && needsLength(h) && h.RequestBuffers >= 0 && h.RequestBuffers <= p.maybe.MaxBody {
		c.say("a FastCGI proxy behind verify_webhook %s retries longer deliveries without the part of the body that the failed upstream has read, which looks complete to the app: write request_buffers %dMiB in it, or remove lb_retry_match", p.maybe.endpointName(), wholeBodies(p.maybe))
	}
}

// fallsBack reports a proxy in routes that run after the app has got the delivery. Its
// reads of the body fail: an empty body would look complete to some apps.
func (c *routeCheck) fallsBack(where string, handlers []caddyhttp.ResponseHandler, p past) {
	if p.maybe == nil || p.answered != "" || !slices.ContainsFunc(handlers, func(r caddyhttp.ResponseHandler) bool { return c.anyForwards(r.Routes, 0) }) {
		return
	}
	p.readOnce()
	c.say("a proxy in %s behind verify_webhook %s cannot forward deliveries, because the app before it has read the body: write all upstreams in one reverse_proxy, with lb_retries and request_buffers %dMiB", where, p.maybe.endpointName(), wholeBodies(p.maybe))
}

// wholeBodies returns a size in MiB for request_buffers to keep every body.
func wholeBodies(h *Handler) int64 { return h.MaxBody>>20 + 1 }

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
