// Command caddy is Caddy with its standard modules and verify_webhook, like the result of
// `xcaddy build --with github.com/verify-webhook/caddy-verify-webhook`.
package main

//go:generate go run ../internal/promises .. ../docs/promises.md
//go:generate go run ../internal/licenses . ../THIRD_PARTY_LICENSES

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/verify-webhook/caddy-verify-webhook"
)

func main() { caddycmd.Main() }
