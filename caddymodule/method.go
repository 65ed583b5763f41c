package caddymodule

import (
	"net/http"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// checkMethod refuses a verified delivery with a method that no provider uses for
// deliveries. Most signatures do not cover the method, and apps, frameworks and
// proxies respond with success to such requests without handling a delivery: a
// recorded delivery sent with OPTIONS would count as handled, and the provider's
// retry would be lost as a duplicate. Methods are case-sensitive, but FastCGI apps get
// them in upper case, so `options` is refused as well.
//
// Handshakes have been answered before, and deliveries that are signed as GET
// requests have no body.
func checkMethod(d *delivery) error {
	switch d.signed.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return nil
	case http.MethodGet:
		if d.body.Size() > 0 {
			return &refusal{outcome: Malformed, reason: "a signed GET request with a body is not a delivery: the app would respond without reading it"}
		}
		return nil
	}
	return &refusal{outcome: Malformed, reason: "a signed " + signature.Excerpt(d.signed.Method, maxName) + " request is not a delivery: the app would respond without handling it"}
}
