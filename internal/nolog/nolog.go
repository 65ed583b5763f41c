// Package nolog marks contexts of trials, in which providers log nothing: their
// secrets are made up and in plaintext.
package nolog

import "context"

type key struct{}

// Context returns a context in which providers are provisioned without logging.
func Context(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// Is reports whether ctx, or one that it comes from, was made by Context.
func Is(ctx context.Context) bool {
	is, _ := ctx.Value(key{}).(bool)
	return is
}
