package relay

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("webhook_relay", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		handler := new(Relay)
		return handler, handler.UnmarshalCaddyfile(h.Dispenser)
	})
	httpcaddyfile.RegisterHandlerDirective("webhook_listeners", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		handler := new(Listeners)
		return handler, handler.UnmarshalCaddyfile(h.Dispenser)
	})
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Its syntax is in the comment
// of [Relay].
func (h *Relay) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive
	var err error
	if h.Relay, err = option.Argument(d, "name"); err != nil {
		return err
	}
	if h.Relay == "" {
		return d.Err("missing name: write, for example, webhook_relay dev")
	}
	return option.Block(d, func(o *option.Reader) {
		switch o.Name() {
		case "timeout":
			o.Duration(&h.Timeout)
		case "max_in_flight":
			o.Count(&h.MaxInFlight)
		default:
			o.Unknown("timeout", "max_in_flight")
		}
	})
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Its syntax is in the comment
// of [Listeners].
func (h *Listeners) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive
	if !d.Args(&h.Relay, &h.Token) {
		return d.Err("missing name or token: write, for example, webhook_listeners dev {env.RELAY_TOKEN}")
	}
	if d.NextArg() {
		return d.Err("too many arguments: write webhook_listeners <name> {env.NAME}")
	}
	if h.Token == "" {
		return d.Err("empty token: write one; if it comes from {$NAME}, that variable is not set")
	}
	return option.Block(d, func(o *option.Reader) {
		if o.Name() != "heartbeat" {
			o.Unknown("heartbeat")
			return
		}
		o.Duration(&h.Heartbeat)
	})
}

// Interface guards.
var (
	_ caddyfile.Unmarshaler = (*Relay)(nil)
	_ caddyfile.Unmarshaler = (*Listeners)(nil)
)
