// Package caddymodule is the Caddy side of webhook verification.
package caddymodule
