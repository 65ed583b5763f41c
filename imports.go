// Package verifywebhook registers the verify_webhook handler and its related
// modules with Caddy. Import it for its side effects.
package verifywebhook

import (
	_ "github.com/verify-webhook/caddy-verify-webhook/caddymodule"           // the handler, app, Caddyfile and admin API
	_ "github.com/verify-webhook/caddy-verify-webhook/caddymodule/command"   // caddy verify-webhook …
	_ "github.com/verify-webhook/caddy-verify-webhook/caddymodule/inspector" // webhook_inspector
	_ "github.com/verify-webhook/caddy-verify-webhook/caddymodule/queue"     // webhook_queue and its stores
	_ "github.com/verify-webhook/caddy-verify-webhook/caddymodule/relay"     // webhook_relay and webhook_listeners
	_ "github.com/verify-webhook/caddy-verify-webhook/caddymodule/sign"      // webhook_sign
	_ "github.com/verify-webhook/caddy-verify-webhook/caddymodule/store"     // the replay stores
	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue"             // the presets
)
