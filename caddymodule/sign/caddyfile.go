package sign

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

func init() { httpcaddyfile.RegisterHandlerDirective("webhook_sign", parse) }

func parse(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Its syntax is in the comment
// of [Handler].
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive
	secret, err := option.Argument(d, "secret")
	if err != nil {
		return err
	}
	if secret != "" {
		h.Secrets = append(h.Secrets, provider.Secret{Secret: secret})
	}
	return option.Block(d, func(o *option.Reader) {
		if o.Name() != "secret" {
			o.Unknown("secret")
			return
		}
		args := o.Arguments("{env.NAME}")
		if len(args) > 2 {
			o.Fail("too many arguments: write secret {env.NAME} [<label>]")
		}
		if o.Failed() {
			return
		}
		if args[0] == "" {
			o.Fail("empty secret: write one; if it comes from {$NAME}, that variable is not set")
			return
		}
		s := provider.Secret{Secret: args[0]}
		if len(args) == 2 {
			s.Label = args[1]
		}
		h.Secrets = append(h.Secrets, s)
	})
}

// Interface guard.
var _ caddyfile.Unmarshaler = (*Handler)(nil)
