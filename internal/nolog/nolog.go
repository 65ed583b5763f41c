// Package nolog marks contexts of dry runs, in which providers log nothing, because
// their secrets are generated and in plaintext.
package nolog

import "context"

type key struct{}

// Context returns a context in which providers are provisioned without logging.
func Context(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// Is reports whether ctx is derived from a context made by Context.
func Is(ctx context.Context) bool {
	is, _ := ctx.Value(key{}).(bool)
	return is
}
