package caddymodule

import (
	"net/http"
	"strings"
	"testing"
)

// A body that ends before its declared length is incomplete, even if the signature
// matches the received part or does not cover the body. Not every server detects
// it: the HTTP/3 server does not.
func TestInvariant13BodyShorterThanDeclaredIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		config string
		send   func() *http.Request
	}{
		"the signature covers the received part": {config("github", ""), func() *http.Request { return github("1", content) }},
		"the signature does not cover the body": {config("gitlab", ""), func() *http.Request {
			return request(content, "X-Gitlab-Token", secret, "X-Gitlab-Event", "Push Hook")
		}},
		"mode monitor": {config("github", `"mode":"monitor"`), func() *http.Request { return github("1", content) }},
	} {
		t.Run(name, func(t *testing.T) {
			b := trial(t, test.config)
			r := test.send()
			r.ProtoMajor, r.ContentLength = 3, int64(len(content))+1
			got := b.expect(t, r, Malformed, 400)
			if !strings.Contains(got.Reason, "declared length") {
				t.Errorf("the reason is %q", got.Reason)
			}
			for _, declared := range []int64{int64(len(content)), -1} {
				r := test.send()
				r.ProtoMajor, r.ContentLength = 3, declared
				if got := trial(t, test.config).Send(r); !got.Reached {
					t.Errorf("declared as %d: got %s (%s)", declared, got.Outcome, got.Reason)
				}
			}
		})
	}
}
