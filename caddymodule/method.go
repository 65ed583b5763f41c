package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// checkMethod refuses a verified delivery with a method that no provider uses for
// deliveries. Most signatures do not cover the method, and apps, frameworks and
// proxies respond with success to such requests without handling a delivery: a
// recorded delivery sent with OPTIONS would count as handled, and the provider's
// retry would be lost as a duplicate. Methods are case-sensitive, but some frameworks
// and FastCGI apps get them in upper case, so `options` is refused as well.
//
// Handshakes have been answered before, and deliveries that are signed as GET
// requests have no body.
func checkMethod(d *delivery) error {
	if reason := notADelivery(d.signed.Method, d.body.Size()); reason != "" {
		return &refusal{outcome: Malformed, reason: reason}
	}
	return nil
}

// notADelivery returns why a request with this method is not a delivery, "" if it can
// be one.
func notADelivery(method string, size int64) string {
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return ""
	case http.MethodGet:
		if size > 0 {
			return "a signed GET request with a body is not a delivery: the app would respond without reading it"
		}
		return ""
	}
	return "a signed " + signature.Excerpt(method, maxName) + " request is not a delivery: the app would respond without handling it"
}

// controlParameters lists query parameters that make frameworks respond with success
// to a delivery that they have not handled, like the headers in controlHeaders.
var controlParameters = map[string]func(value string, size int64) (reason string){
	// Laravel, Symfony and WordPress take the method from it, in any letter case.
	"_method": func(value string, size int64) string { return notADelivery(strings.ToUpper(value), size) },
	// WordPress responds with 200 to everything, and writes the status in the body.
	"_envelope": func(string, int64) string { return "the app would respond with 200 also if it fails" },
}

// checkParameters refuses a query with one of controlParameters, in any spelling that
// some parser accepts, unless the signature covers the URL.
func checkParameters(d *delivery) error {
	_, query, found := strings.Cut(d.signed.RequestURI, "?")
	if !found || d.provider.info.Coverage.URLSigned {
		return nil
	}
	for pair := range strings.FieldsFuncSeq(query, func(c rune) bool { return c == '&' || c == ';' }) {
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescaped(name), unescaped(value)
		for control, check := range controlParameters {
			if !signature.SameToSomeParser(name, control) {
				continue
			}
			if reason := check(value, d.body.Size()); reason != "" {
				return &refusal{outcome: Malformed, reason: fmt.Sprintf("the query has %s: %s; if it is in the URL that is configured at the provider, remove it there", control, reason)}
			}
		}
	}
	return nil
}

// unescaped returns the text as it is if it is not valid: PHP accepts it.
func unescaped(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}
