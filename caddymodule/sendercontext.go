package caddymodule

import (
	"context"

	"github.com/verify-webhook/caddy-verify-webhook/provider/keyfetch"
)

// senderContext is the context of a request with the address of its sender, which is
// determined only if keys must be fetched.
type senderContext struct {
	context.Context
	d *delivery
}

// Value implements context.Context.
func (c *senderContext) Value(key any) any {
	if key == keyfetch.SenderKey {
		return c.d.sender()
	}
	return c.Context.Value(key)
}
