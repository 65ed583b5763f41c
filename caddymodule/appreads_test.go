package caddymodule

import "testing"

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
