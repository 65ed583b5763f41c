package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// checkRequestLine refuses a verified delivery whose method or URL would make an app
// respond with success without handling it.
func checkRequestLine(d *delivery) error {
	if err := checkMethod(d); err != nil {
		return err
	}
	return checkParameters(d)
}

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

// controlParameters lists parameters of the URL that have the same effects as control
// headers: with ?_method=OPTIONS, Laravel answers 200 for every route, and with
// ?_envelope=1, WordPress answers 200 for every failure.
var controlParameters = controlTable{
	"_method":   "makes frameworks see another method",
	"_envelope": "makes WordPress answer 200 to every request",
}

// checkParameters refuses a verified delivery with such a parameter, unless the
// signature covers the URL.
func checkParameters(d *delivery) error {
	_, query, ok := strings.Cut(d.signed.RequestURI, "?")
	if !ok || d.provider.info.Coverage.URLSigned {
		return nil
	}
	for parameter := range strings.FieldsFuncSeq(query, func(c rune) bool { return c == '&' || c == ';' }) {
		name, _, _ := strings.Cut(parameter, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		for control, why := range controlParameters {
			if signature.SameToSomeParser(name, control) {
				return &refusal{outcome: Malformed, reason: fmt.Sprintf("the URL has the parameter %s, which %s, and which the signature does not cover: if it is in the URL that is configured at the provider, remove it there", control, why)}
			}
		}
	}
	return nil
}
