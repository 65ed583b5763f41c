package conformance_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

func isJSONDelivery(v conformance.Vector) bool {
	body := bytes.TrimSpace(v.Request.Body)
	return v.Request.Method == http.MethodPost && len(body) > 0 && (body[0] == '{' || body[0] == '[')
}

// sendsForms are providers that send forms of which there is no vector.
var sendsForms = map[string]bool{"slack": true}

// If a provider sends JSON and forms, an app for its forms must not get JSON that is
// declared to be a form: the text of a member can be one.
func TestJSONOfAProviderThatSendsFormsIsNotForwardedAsAForm(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{}
	for _, p := range provider.Presets() {
		vectors := accepted(t, p.Name)
		forms := sendsForms[p.Name]
		for _, v := range vectors {
			forms = forms || isFormDelivery(v)
		}
		for _, v := range vectors {
			if !forms || !isJSONDelivery(v) {
				continue
			}
			tested[p.Name] = true
			for _, kind := range []string{"application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8", "Application/X-WWW-Form-Urlencoded ;x", "multipart/form-data; boundary=b", "multipart/mixed"} {
				if tried := send(t, open(t, v), withHeader(v.Request, "Content-Type", kind)); tried.Reached {
					t.Errorf("%s %s: JSON is forwarded as %s", p.Name, v.Name, kind)
				}
			}
			if tried := send(t, open(t, v), withHeader(v.Request, "Content-Type", "application/json; charset=utf-8")); !tried.Reached {
				t.Errorf("%s %s: JSON is refused: %s", p.Name, v.Name, tried.Reason)
			}
		}
	}
	for name := range strings.FieldsSeq("adyen forgejo gitea github gogs mailgun slack twilio") {
		if !tested[name] {
			t.Errorf("%s is not tested", name)
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
