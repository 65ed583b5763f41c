package caddymodule

import (
	"strconv"
	"testing"
)

// FastCGI apps and others read the length from the header, some of them numbers with
// leading zeros as octal.
func TestContentLengthReachesTheAppInOneSpelling(t *testing.T) {
	b := trial(t, config("github", ""))
	length := strconv.Itoa(len(content) + 1)
	for i, sent := range [][]string{{length}, {"0" + length}, {"0000000" + length}, {length, length}, {"1"}, {}} {
		r := github("", content+strconv.Itoa(i))
		r.Header["Content-Length"] = sent
		got := b.expect(t, r, Verified, 200)
		if values := got.ReachedHeader["Content-Length"]; len(values) != 1 || values[0] != length {
			t.Errorf("%q: the app received %q, want %q", sent, values, length)
		}
	}
}
