package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// Laravel responds with 200 to POST /in?_method=OPTIONS, and WordPress with 200 to every
// request with ?_envelope. The provider's retry must still reach the app.
func TestCopyWithAControlParameterDoesNotCountAsHandled(t *testing.T) {
	b := trial(t, config("github", ""))
	for _, query := range []string{"_method=OPTIONS", "a=b&_method=OPTIONS", "_envelope=1"} {
		body := content + query
		forged := httptest.NewRequest(http.MethodPost, "https://hooks.example.com/in?"+query, strings.NewReader(body))
		forged.Header = github("", body).Header
		b.expect(t, forged, Malformed, 400)
		b.expect(t, github("", body), Verified, 200)
	}
}

// Parameters that the operator has chosen are forwarded, whatever they are called.
func TestOtherParametersAreForwarded(t *testing.T) {
	b := trial(t, config("github", ""))
	for _, query := range []string{"token=x", "method=x", "x_method=1", "_methods=1", "x[_method]=1", "envelope=1", "a=_method", "%zz", ";;&&=", "a;b"} {
		body := content + query
		r := httptest.NewRequest(http.MethodPost, "https://hooks.example.com/in?"+query, strings.NewReader(body))
		r.Header = github("", body).Header
		b.expect(t, r, Verified, 200)
	}
}

// In UTF-7, a customer's text in a genuine delivery can contain +ACI-, which is a
// quotation mark. body-parser of Express reads JSON in UTF-7.
func TestBodyInACharsetThatChangesItIsRefused(t *testing.T) {
	b := trial(t, config("github", ""))
	for i, c := range []struct {
		contentType string
		want        Outcome
	}{
		{"application/json", Verified},
		{"application/json; charset=utf-8", Verified},
		{"application/json;charset=UTF-8;", Verified},
		{`application/json; charset="utf-8"`, Verified},
		{"application/json; charset=", Verified},
		{"application/json; charset=ISO-8859-1", Verified},
		{"text/xml; charset=windows-1252", Verified},
		{"text/xml; charset=EUC-JP", Verified},
		{"application/x-charset-list", Verified},
		{"not a media type", Verified},
		{"application/json; charset=utf-7", Malformed},
		{"application/json; CHARSET=UTF-7", Malformed},
		{"application/json; charset = 'utf-7'", Malformed},
		{"application/json; charset=utf-8; charset=utf-7", Malformed},
		{"application/json; charset*=utf-8''utf-7", Malformed},
		{"application/json; a; charset=utf-16", Malformed},
		{"application/json, text/plain; charset=gbk", Malformed},
		{"text/html; charset=unheard-of", Malformed},
	} {
		body := content + string(rune('a'+i))
		r := github("", body)
		r.Header.Set("Content-Type", c.contentType)
		status := map[Outcome]int{Verified: 200, Malformed: 400}[c.want]
		b.expect(t, r, c.want, status)
	}
}

// Of two Content-Types some servers use the first, others the last.
func TestDuplicateHeadersOfTheBodyAreRefused(t *testing.T) {
	b := trial(t, config("github", ""))
	for _, name := range []string{"Content-Type", "Content-Encoding"} {
		r := github("", content)
		r.Header[name] = []string{"identity", "identity"}
		b.expect(t, r, Malformed, 400)
	}
	b.expect(t, github("", content), Verified, 200)
}

func TestEveryControlParameterIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range controlParameters {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/security.md does not document %s", name)
		}
	}
}
