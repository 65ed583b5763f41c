package inspector

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("webhook_inspector", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		handler := new(Inspector)
		return handler, handler.UnmarshalCaddyfile(h.Dispenser)
	})
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Its syntax is in the comment
// of [Inspector].
func (h *Inspector) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive
	if d.NextArg() {
		return d.Errf("too many arguments: %s; options go in a block", option.Shown(d.Val()))
	}
	return option.Block(d, func(o *option.Reader) {
		switch o.Name() {
		case "remote":
			o.Flag(&h.Remote)
		case "capture":
			o.Once()
			h.Capture = new(Capture)
			o.Keep(h.Capture.unmarshal(d))
		default:
			o.Misplaced([]string{"last", "bodies", "total", "for"}, "capture { }")
			o.Unknown("remote", "capture")
		}
	})
}

func (c *Capture) unmarshal(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("too many arguments: %s; write the options of capture in a block, one on each line", option.Shown(d.Val()))
	}
	return option.Block(d, func(o *option.Reader) {
		switch o.Name() {
		case "last":
			var n int64
			o.Count(&n)
			c.Last = int(min(n, mostDeliveries+1))
		case "bodies":
			o.Size(&c.Bodies)
		case "total":
			o.Size(&c.Total)
		case "for":
			o.Duration(&c.For)
		default:
			o.Unknown("last", "bodies", "total", "for")
		}
	})
}

// Interface guard.
var _ caddyfile.Unmarshaler = (*Inspector)(nil)
