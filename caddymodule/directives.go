package caddymodule

import "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

// directiveOrders is where the module's directives stand among Caddy's standard
// ones, in the order in which a delivery passes them. A directive can be
// ordered only relative to standard ones, since modules are loaded in any
// order; so all of the family's are here.
//
// The gate comes before everything that could answer or change a request:
// authentication of people is not for providers.
var directiveOrders = []struct {
	name     string
	position httpcaddyfile.Positional
	standard string
}{
	{"verify_webhook", httpcaddyfile.Before, "basic_auth"},
	{"webhook_sign", httpcaddyfile.Before, "invoke"},
	{"webhook_relay", httpcaddyfile.Before, "reverse_proxy"},
	{"webhook_listeners", httpcaddyfile.Before, "reverse_proxy"},
	{"webhook_inspector", httpcaddyfile.Before, "reverse_proxy"},
}

func init() {
	for _, d := range directiveOrders {
		httpcaddyfile.RegisterDirectiveOrder(d.name, d.position, d.standard)
	}
}
