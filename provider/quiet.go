package provider

import (
	"context"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

type quietKey struct{}

// Quietly returns a context in which providers are provisioned without a word
// in the log: for trials, whose secrets are made up and written out.
func Quietly(ctx context.Context) context.Context { return context.WithValue(ctx, quietKey{}, true) }

// logger returns the logger of a provider.
func logger(ctx caddy.Context) *zap.Logger {
	if quiet, _ := ctx.Value(quietKey{}).(bool); quiet {
		return zap.NewNop()
	}
	return ctx.Logger()
}
