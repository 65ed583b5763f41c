package caddymodule

import (
	"net/http"
	"strings"
)

// controlHeaders lists request headers that control proxies, servers and
// frameworks instead of describing a delivery. Signatures do not cover them and
// providers do not send them. With one of them added to a copy of a genuine
// delivery, an attacker could make the app fail on the copy or act on another
// request than the verified one.
//
// Headers that describe the content, such as Content-Type, Content-Encoding
// and Accept, are kept: providers send them and apps need them. Caddy handles
// X-Forwarded-* according to its trusted proxies. Expect and Content-Length are
// replaced together with the body.
var controlHeaders = controlTable{
	"Connection":        "names headers for proxies to remove, the provider's or the identity headers",
	"Keep-Alive":        "belongs to the sender's connection",
	"Proxy-Connection":  "belongs to the sender's connection",
	"Te":                "belongs to the sender's connection",
	"Trailer":           "announces trailers, which are not forwarded",
	"Transfer-Encoding": "belongs to the sender's connection; the app gets Content-Length",
	"Upgrade":           "asks for another protocol",
	"Http2-Settings":    "asks for another protocol",
	":protocol":         "asks for another protocol",
	"Proxy":             "sets HTTP_PROXY in CGI apps",
	"Incremental":       "makes reverse_proxy with request_buffers answer 501",
	"Early-Data":        "makes apps answer 425",
	"Prefer":            "makes apps answer success without the work, as PostgREST does with tx=rollback",
	"Precognition":      "makes Laravel validate the request and answer 204 without handling it",

	"Range":               "makes servers answer 206 or 416",
	"Content-Range":       "makes servers answer 400",
	"If-Match":            "makes servers answer 412",
	"If-None-Match":       "makes servers answer 304 or 412",
	"If-Modified-Since":   "makes servers answer 304",
	"If-Unmodified-Since": "makes servers answer 412",
	"If-Range":            "makes servers answer 206",

	"X-Http-Method-Override": "makes frameworks see another method",
	"X-Http-Method":          "makes frameworks see another method",
	"X-Method-Override":      "makes frameworks see another method",
	"X-Original-Url":         "makes frameworks see another path",
	"X-Rewrite-Url":          "makes frameworks see another path",
	"X-Sendfile-Type":        "makes Rack answer with a path for the proxy to serve",
	"X-Accel-Mapping":        "makes Rack answer with a path for the proxy to serve",
}

// controlPrefixes lists name prefixes of further control headers.
var controlPrefixes = controlTable{
	"Proxy-":         "is between the sender and its proxy",
	"Sec-Websocket-": "asks for another protocol",
}

// controlTable maps canonical header names to the reason for their removal.
type controlTable map[string]string

// isControl reports whether a header is one of controlHeaders. Other punctuation in
// its name counts as `-`, because CGI and WSGI apps do not distinguish it.
func isControl(name string) bool {
	if name == "" || controlLengths[name[0]]&(1<<min(len(name), 63)) == 0 {
		return false
	}
	if strings.ContainsAny(name, otherPunctuation) {
		name = http.CanonicalHeaderKey(strings.Map(dashForPunctuation, name))
	}
	if _, ok := controlHeaders[name]; ok {
		return true
	}
	for prefix := range controlPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// otherPunctuation are the characters of header names besides letters, digits and `-`.
const otherPunctuation = "!#$%&'*+.^_`|~"

func dashForPunctuation(c rune) rune {
	if strings.ContainsRune(otherPunctuation, c) {
		return '-'
	}
	return c
}

// controlLengths are the lengths of the names of control headers by their first
// byte, in upper or lower case: bit n is set if one has n bytes. isControl does not
// search the tables for other names, which are almost all.
var controlLengths = func() (lengths [256]uint64) {
	add := func(name string, set uint64) {
		lengths[strings.ToUpper(name)[0]] |= set
		lengths[strings.ToLower(name)[0]] |= set
	}
	for name := range controlHeaders {
		add(name, 1<<len(name))
	}
	for prefix := range controlPrefixes {
		add(prefix, ^uint64(0)<<len(prefix))
	}
	return lengths
}()

// opensWebSocket reports whether a request opens a WebSocket: with an HTTP/1.1
// upgrade, or with CONNECT in HTTP/2 and later.
func opensWebSocket(r *http.Request) bool {
	if r.Method == http.MethodConnect {
		return true
	}
	if r.Method != http.MethodGet {
		return false
	}
	for _, value := range r.Header["Upgrade"] {
		for protocol := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(protocol), "websocket") {
				return true
			}
		}
	}
	return false
}

// stripUntrusted removes the headers that could spoof or drop ours, or that
// control how the app responds.
func stripUntrusted(h http.Header) {
	for name := range h {
		if looksLikeIdentity(name) || isControl(name) {
			delete(h, name)
		}
	}
}
