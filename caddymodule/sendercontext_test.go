package caddymodule

import (
	"context"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/provider/keyfetch"
)

// TestKeysAreFetchedForTheSender: fetches are shared fairly between senders, which
// are not the trusted proxies in front.
func TestKeysAreFetchedForTheSender(t *testing.T) {
	for _, client := range []string{"", "198.51.100.7"} {
		r := request(content)
		r.RemoteAddr = "192.0.2.1:1234"
		want := "192.0.2.1"
		if client != "" {
			r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: client}))
			want = client
		}
		ctx, cancel := context.WithCancel(&senderContext{r.Context(), &delivery{r: r}})
		defer cancel()
		if got := ctx.Value(keyfetch.SenderKey); got != want {
			t.Errorf("the sender is %v, want %s", got, want)
		}
	}
}

func TestNetworksOfAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1":            "192.0.2.1",
		"::ffff:192.0.2.1":     "::ffff:192.0.2.1",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"fe80::1%eth0":         "fe80::/64",
		"@":                    "@",
		"":                     "",
	} {
		if got := networkOf(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}
