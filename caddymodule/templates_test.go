package caddymodule

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/templates" // the directive templates
)

// At the top of a site, templates executes the text responses of every handler in it.
// An unsigned challenge must not contain what it executes.
func TestTemplatesInFrontExecuteNoChallenge(t *testing.T) {
	const value = "a value that must not be sent"
	t.Setenv("TEMPLATES_TEST", value)
	c := startCaddy(t, "", `
	templates
	handle /in {
		verify_webhook dropbox {env.`+secretVariable+`}
		reverse_proxy APP
	}`)
	for challenge, want := range map[string]string{
		`{{env "TEMPLATES_TEST"}}`:                     "",
		`{{placeholder "env.TEMPLATES_TEST"}}`:         "",
		`{{.Req.Host}}`:                                "",
		`{{ $x := 1 }}`:                                "",
		`a-challenge_of.letters~and+other/characters=`: `a-challenge_of.letters~and+other/characters=`,
	} {
		r, err := http.NewRequest(http.MethodGet, "http://"+c.addr+"/in?challenge="+url.QueryEscape(challenge), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := c.do(client(t, "HTTP/1.1"), r)
		if got.body != want || strings.Contains(got.body, value) {
			t.Errorf("%s: status %d, %q", challenge, got.status, got.body)
		}
	}
}
