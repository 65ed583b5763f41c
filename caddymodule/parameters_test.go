package caddymodule

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

// A recorded delivery that the app has not handled is sent with a parameter that makes
// frameworks respond with success. It does not count as handled.
func TestCopyWithAControlParameterDoesNotCountAsHandled(t *testing.T) {
	b := trial(t, config("github", ""))
	for _, query := range []string{
		"?_method=OPTIONS", "?x=1&_method=HEAD", "?_METHOD=get", "?%5fmethod=OPTIONS", "?.method=OPTIONS", "?+_method=OPTIONS", "?_method[]=OPTIONS", "?_method%5B%5D=OPTIONS",
		"?_method%00x=OPTIONS", "?x=1;_method=OPTIONS", "?_method", "?_method=POST&_method=HEAD", "?_method=GET", "?%5fmethod=%4fPTIONS", "?x=%zz&_method=HEAD", "?_Envelope=1", "?_envelope=1", "?_envelope", "?a&&_envelope&",
	} {
		r := github(query, content+query)
		r.RequestURI = "/in" + query
		got := b.expect(t, r, Malformed, 400)
		if got.Reached || !strings.Contains(got.Reason, "the query has _") {
			t.Errorf("%s: reached the app: %t, %s", query, got.Reached, got.Reason)
		}
		b.expect(t, github(query, content+query), Verified, 200)
	}
	for _, query := range []string{"", "?", "?x=_method", "?method=POST", "?_method=POST", "?_method=put", "?rest_route=/hooks/v1", "?my_method=1", "?_methods=1", "?envelope=1", "?token=a%zz"} {
		r := github(query+"2", content+query+"2")
		r.RequestURI = "/in" + query
		b.expect(t, r, Verified, 200)
	}
}

// A provider that signs the URL has signed the parameter.
func TestSignedControlParameterIsForwarded(t *testing.T) {
	b := trial(t, `{"provider":{"name":"custom","algorithm":"hmac-sha256","signature":{"from":"header","name":"X-Signature"},"signed":"{url}{body}","secrets":[{"secret":"{env.`+secretVariable+`}"}]}}`)
	r := request(content)
	r.RequestURI = "/in?_method=OPTIONS"
	r.Header.Set("X-Signature", sign(secret, "https://hooks.example.com/in?_method=OPTIONS"+content))
	if got := b.Send(r); !got.Reached || got.Status != http.StatusOK {
		t.Errorf("status %d, %s", got.Status, got.Reason)
	}
}

func TestEveryControlParameterIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range controlParameters {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/security.md does not document %s", name)
		}
	}
}
