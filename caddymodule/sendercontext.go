package caddymodule

import (
	"context"
	"net/netip"

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
		return networkOf(c.d.sender())
	}
	return c.Context.Value(key)
}

// networkOf returns the network of an address: with IPv6, one sender has 64 bits of
// addresses. It returns other texts unchanged.
func networkOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Is4() || ip.Is4In6() {
		return address
	}
	network, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return network.String()
}
