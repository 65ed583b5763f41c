package conformance_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// isFormDelivery reports whether a vector is a form in the body.
func isFormDelivery(v conformance.Vector) bool {
	for name, values := range v.Request.Headers {
		if strings.EqualFold(name, "Content-Type") && strings.HasPrefix(values[0], "application/x-www-form-urlencoded") {
			return true
		}
	}
	return false
}

// If the signature covers the fields of a form instead of the bytes of the body, an app
// must not be able to read the bytes as anything else, or fields from somewhere else.
func TestFormWhoseFieldsAreSignedIsReadAsThatForm(t *testing.T) {
	t.Parallel()
	var tested []string
	for _, p := range provider.Presets() {
		for _, v := range accepted(t, p.Name) {
			form, err := url.ParseQuery(string(v.Request.Body))
			if !isFormDelivery(v) || err != nil {
				continue
			}
			respelled := withBody(v.Request, respell(string(v.Request.Body)))
			if tried := send(t, open(t, v), respelled); !tried.Reached || listsBody(tried) {
				continue // the bytes are signed, or the body is unsigned
			}
			tested = append(tested, p.Name)
			var attacks []attack
			for _, kind := range []string{"", "text/plain", "application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded; charset=iso-8859-1"} {
				attacks = append(attacks, attack{"as " + kind, withHeader(v.Request, "Content-Type", kind)})
			}
			for name := range form {
				for _, spelled := range []string{url.QueryEscape(name), "+" + url.QueryEscape(name), url.QueryEscape(name) + "[]", "[" + url.QueryEscape(name) + "]", strings.ToUpper(url.QueryEscape(name))} {
					c := clone(v.Request)
					c.URL = joinQuery(v.Request.URL, spelled+"=forged")
					attacks = append(attacks, attack{"with " + spelled + " in the query", c})
				}
			}
			for _, a := range attacks {
				if tried := send(t, open(t, v), a.request); tried.Reached {
					t.Errorf("%s %s: the form is forwarded %s", p.Name, v.Name, a.what)
				}
			}
			other := clone(v.Request)
			other.URL = joinQuery(v.Request.URL, "chosen_by_the_operator=x")
			if tried := send(t, open(t, v), other); !tried.Reached {
				t.Errorf("%s %s: refused with a parameter of the operator: %s", p.Name, v.Name, tried.Reason)
			}
		}
	}
	for _, name := range []string{"braintree", "forgejo", "gitea", "gogs", "paddle-classic", "travis-ci"} {
		if !strings.Contains(strings.Join(tested, " "), name) {
			t.Errorf("%s is not tested; tested were %v", name, tested)
		}
	}
}

// respell returns another encoding of the same form.
func respell(form string) string {
	_, value, _ := strings.Cut(form, "=")
	if value == "" || value[0] == '%' {
		return strings.NewReplacer("%7B", "%7b", "%2B", "%2b").Replace(form)
	}
	return strings.Replace(form, "="+value, fmt.Sprintf("=%%%02X%s", value[0], value[1:]), 1)
}
