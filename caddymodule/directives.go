package caddymodule

import "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

// directiveOrders is the order of the module's directives relative to Caddy's
// standard ones. All of them are here, because modules are loaded in any order and a
// directive can only be ordered relative to standard ones.
//
// The gate comes before every directive that responds to or changes a request,
// including authentication, because providers cannot log in.
var directiveOrders = []struct {
	name     string
	position httpcaddyfile.Positional
	standard string
}{
	{"verify_webhook", httpcaddyfile.Before, "basic_auth"},
	{"webhook_sign", httpcaddyfile.Before, "invoke"},
	// A respond next to them is the fallback: before them, it would acknowledge
	// deliveries that are not handled.
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
