package conformance_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
)

func isJSONDelivery(v conformance.Vector) bool {
	body := bytes.TrimSpace(v.Request.Body)
	return v.Request.Method == http.MethodPost && len(body) > 0 && (body[0] == '{' || body[0] == '[')
}

// If a provider signs JSON and forms with one key, an app for its forms must not get JSON
// that is declared to be a form: the text of a member can be one.
func TestJSONOfAProviderThatSendsFormsIsNotForwardedAsAForm(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{}
	for _, name := range []string{"adyen", "forgejo", "gitea", "gogs", "slack"} {
		for _, v := range accepted(t, name) {
			if !isJSONDelivery(v) {
				continue
			}
			tested[name] = true
			for _, kind := range []string{"application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8", "Application/X-WWW-Form-Urlencoded ;x", "multipart/form-data; boundary=b", "multipart/mixed"} {
				if tried := send(t, open(t, v), withHeader(v.Request, "Content-Type", kind)); tried.Reached {
					t.Errorf("%s %s: JSON is forwarded as %s", name, v.Name, kind)
				}
			}
			if tried := send(t, open(t, v), withHeader(v.Request, "Content-Type", "application/json; charset=utf-8")); !tried.Reached {
				t.Errorf("%s %s: JSON is refused: %s", name, v.Name, tried.Reason)
			}
		}
		if !tested[name] {
			t.Errorf("%s is not tested", name)
		}
	}
}

// A sender that declares its JSON wrongly must not lose its deliveries.
func TestJSONDeclaredWronglyIsForwarded(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"github", "shopify", "standard-webhooks", "stripe"} {
		for _, v := range accepted(t, name) {
			for _, kind := range []string{"application/x-www-form-urlencoded", "text/plain; charset=utf-8", ""} {
				if tried := send(t, open(t, v), withHeader(v.Request, "Content-Type", kind)); isJSONDelivery(v) && !tried.Reached {
					t.Errorf("%s %s: JSON is refused as %q: %s", name, v.Name, kind, tried.Reason)
				}
			}
		}
	}
}

// The fields of an item are signed, not the bytes: in a form and in JSON they have the
// same signature.
func TestAdyenFormIsReadAsThatForm(t *testing.T) {
	for _, v := range accepted(t, "adyen") {
		if !isFormDelivery(v) {
			continue
		}
		for _, kind := range []string{"", "multipart/form-data; boundary=b", "application/json", "text/plain"} {
			if tried := send(t, open(t, v), withHeader(v.Request, "Content-Type", kind)); tried.Reached {
				t.Errorf("%s: the form is forwarded as %s", v.Name, kind)
			}
		}
		for _, parameter := range []string{"eventCode=REFUND", "[eventCode]=REFUND", "success=false"} {
			q := clone(v.Request)
			q.URL = joinQuery(q.URL, parameter)
			if tried := send(t, open(t, v), q); tried.Reached {
				t.Errorf("%s: forwarded with %s in the query", v.Name, parameter)
			}
		}
		return
	}
	t.Error("no form of Adyen")
}
