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
	// A respond beside them is for when they do not respond: in front of them it
	// would acknowledge deliveries that reach nobody.
	{"webhook_queue", httpcaddyfile.Before, "respond"},
	{"webhook_relay", httpcaddyfile.Before, "respond"},
	{"webhook_listeners", httpcaddyfile.Before, "respond"},
	{"webhook_inspector", httpcaddyfile.Before, "respond"},
}

func init() {
	for _, d := range directiveOrders {
		httpcaddyfile.RegisterDirectiveOrder(d.name, d.position, d.standard)
	}
}
