package conformance_test

import (
	"net/http"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// copiesReadDifferently returns copies of a genuine request in which some apps read
// another document, although the bytes are the same.
func copiesReadDifferently(q conformance.Request) []attack {
	contentType := "application/json"
	for name, values := range q.Headers {
		if http.CanonicalHeaderKey(name) == "Content-Type" {
			contentType = values[0]
		}
	}
	var attacks []attack
	for _, charset := range []string{"utf-7", "UTF-7", "\"utf-7\"", "utf7", "unicode-1-1-utf-7", "utf-16", "utf-16le", "utf-32", "shift_jis", "gbk", "gb18030", "big5", "iso-2022-jp", "hz-gb-2312", "ibm037", "cp500", "unicode_escape"} {
		for _, kind := range []string{"application/json; charset=" + charset, contentType + ";charset=" + charset, contentType + "; x; charset = " + charset, contentType + "; charset=utf-8; charset=" + charset} {
			attacks = append(attacks, attack{"the Content-Type " + kind, withHeader(q, "Content-Type", kind)})
		}
	}
	attacks = append(attacks,
		attack{"a charset in pieces", withHeader(q, "Content-Type", contentType+"; charset*0=utf; charset*1=-7")},
		attack{"two Content-Types", withHeader(q, "Content-Type", contentType, "text/plain")},
		attack{"one Content-Type twice", withHeader(q, "Content-Type", contentType, contentType)},
		attack{"two Content-Encodings", withHeader(q, "Content-Encoding", "identity", "br")},
	)
	return attacks
}

// A copy must not be forwarded if an app could read another document in it.
func TestCopyThatAppsReadDifferentlyIsRefused(t *testing.T) {
	t.Parallel()
	total := 0
	for _, p := range provider.Presets() {
		for _, v := range accepted(t, p.Name) {
			trial := open(t, v)
			for _, a := range copiesReadDifferently(v.Request) {
				total++
				if tried := send(t, trial, a.request); tried.Reached || tried.Status < 400 || tried.Status > 499 {
					t.Errorf("%s %s: with %s it gets %d, and reached the app: %v", p.Name, v.Name, a.what, tried.Status, tried.Reached)
				}
			}
			if tried := send(t, trial, v.Request); !tried.Reached {
				t.Errorf("%s %s: after the refused copies, the delivery is refused: %s", p.Name, v.Name, tried.Reason)
			}
		}
	}
	if total < 10000 {
		t.Errorf("only %d copies", total)
	}
}
