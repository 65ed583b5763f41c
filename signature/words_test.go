package signature

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

func TestSuffixAlgorithmsHashContentAndSecret(t *testing.T) {
	one, two := sha1.Sum([]byte("bk")), sha256.Sum256([]byte("bk"))
	turned := sha256.Sum256([]byte("kb"))
	for _, c := range []struct {
		name      string
		algorithm Algorithm
		sig       []byte
		kind      RefusalKind
	}{
		{"SHA-1", SHA1Suffix, one[:], ""},
		{"SHA-256", SHA256Suffix, two[:], ""},
		{"SHA-256 instead of the configured SHA-1", SHA1Suffix, two[:], Malformed},
		{"SHA-1 instead of the configured SHA-256", SHA256Suffix, one[:], Malformed},
		{"the secret before the content", SHA256Suffix, turned[:], InvalidSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := headerScheme()
			s.Algorithm = c.algorithm
			v := compileScheme(t, s, "k", "", "other", "") // each has its own state
			for range 3 {
				wantKind(t, v, schemeRequest("b", "X-Sig", hex.EncodeToString(c.sig)), c.kind)
			}
		})
	}
}

func TestVariablesForTheBodyAndTheRequestLine(t *testing.T) {
	sum := sha256.Sum256([]byte("b?"))
	for _, c := range []struct{ signed, publicURL, content string }{
		{"{body_base64}", "", "Yj8="},
		{"x {body_base64} y", "", "x Yj8= y"},
		{"{body_sha256_base64}", "", base64.StdEncoding.EncodeToString(sum[:])},
		{"{request_target} {body}", "", "/in?a=1 b?"},
		{"{request_target} {body}", "https://other.example.com", "/in?a=1 b?"},
		{"{request_target} {body}", "https://other.example.com/x", "/x?a=1 b?"},
		{"{request_target} {body}", "https://other.example.com/x?b=2", "/x?b=2 b?"},
	} {
		t.Run(c.signed+" "+c.publicURL, func(t *testing.T) {
			s := headerScheme()
			s.Signed = c.signed
			r := schemeRequest("b?", "X-Sig", hexMAC("k", c.content))
			r.PublicURL = c.publicURL
			v := compileScheme(t, s, "k", "")
			wantKind(t, v, r, "")
			r.Body = BytesBody("b!")
			wantKind(t, v, r, InvalidSignature)
			if coverage := v.Coverage(); !coverage.BodySigned || coverage.URLSigned != strings.Contains(c.signed, "request_target") {
				t.Errorf("the coverage is %+v", coverage)
			}
		})
	}
}

// TestBodyInBase64HasNoFixedStart checks a template in which bytes could be moved
// between the body and a URL: an ID in the body counts as signed only if the body is
// one JSON document.
func TestBodyInBase64HasNoFixedStart(t *testing.T) {
	s := headerScheme()
	s.Signed, s.ID = "{url}{body_base64}", &Field{From: "json", Name: "id"}
	v := compileScheme(t, s, "k", "")
	url := "https://hooks.example.com/in?a=1"
	sign := func(body string) *Request {
		return schemeRequest(body, "X-Sig", hexMAC("k", url+base64.StdEncoding.EncodeToString([]byte(body))))
	}
	wantKind(t, v, sign(`{"id":"1"}`), "")
	wantKind(t, v, sign(`x{"id":"1"}`), Malformed)
}

func TestQuotedParts(t *testing.T) {
	s := headerScheme()
	s.Signature.Separator, s.Signature.Spaces, s.Signature.Assign, s.Signature.Element, s.Signature.Quoted = ",", true, "=", "signature", true
	s.KeyID = &Field{From: "element", Name: "keyid"}
	v := compileScheme(t, s, "one", "k1", "two", "k2")
	sig := hexMAC("one", "b")
	for _, c := range []struct {
		name, header string
		kind         RefusalKind
	}{
		{"as sent", `keyid="k1", algorithm="hmac-sha256", signature="` + sig + `", headers="date"`, ""},
		{"another key ID", `keyid="k2",signature="` + sig + `"`, InvalidSignature},
		{"a signature without quotes", `keyid="k1",signature=` + sig, MissingSignature},
		{"an unclosed quote", `keyid="k1",signature="` + sig, MissingSignature},
		{"only an opening quote", `keyid="k1",signature="`, MissingSignature},
		{"a key ID without quotes", `keyid=k1,signature="` + sig + `"`, InvalidSignature},
		{"a duplicate key ID", `keyid="k1",keyid="k1",signature="` + sig + `"`, Malformed},
		{"empty quotes", `keyid="k1",signature=""`, Malformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantKind(t, v, schemeRequest("b", "X-Sig", c.header), c.kind)
		})
	}
	r := schemeRequest("b")
	secret, err := NewSecret("one", "k1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sign(r, SigningKey{Secret: secret}, Draft{Time: schemeNow}); err != nil {
		t.Fatal(err)
	}
	if got := r.Header.Get("X-Sig"); got != `keyid="k1",signature="`+sig+`"` {
		t.Errorf("signed as %s", got)
	}
	s.Signature.Assign, s.Signature.Element = "", ""
	if s.Check() == nil {
		t.Error("quoted parts without names are accepted")
	}
}

// TestAuthorizationSchemeIsCaseInsensitive checks RFC 9110, section 11.1.
// Every other prefix is case-sensitive.
func TestAuthorizationSchemeIsCaseInsensitive(t *testing.T) {
	for _, c := range []struct {
		header, prefix string
		kind           RefusalKind
	}{
		{"Authorization", "Application ", ""},
		{"Authorization", "application ", ""},
		{"Authorization", "APPLICATION ", ""},
		{"Authorization", "Application", Malformed},
		{"Authorization", "Basic ", Malformed},
		{"Authorization", "", Malformed},
		{"X-Sig", "Application ", ""},
		{"X-Sig", "application ", Malformed},
	} {
		s := headerScheme()
		s.Signature.Name, s.Signature.Prefix = c.header, "Application "
		wantKind(t, compileScheme(t, s, "k", ""), schemeRequest("b", c.header, c.prefix+hexMAC("k", "b")), c.kind)
	}
}

// TestSignedContentCanContainTheKeyAndItsLabel checks that the signed content contains
// the key and the label of the secret that is tried.
func TestSignedContentCanContainTheKeyAndItsLabel(t *testing.T) {
	s := headerScheme()
	s.Key.Encoding = "pair"
	s.Signed, s.ID = "{url}{key_name}{key}{body}", &Field{From: "json", Name: "id"}
	v := compileScheme(t, s, "a:one", "", "b:two", "")
	if coverage := v.Coverage(); !coverage.IDSigned || !coverage.BodySigned {
		t.Errorf("the coverage is %+v", coverage)
	}
	const url, body = "https://hooks.example.com/in?a=1", `{"id":"1"}`
	for _, c := range []struct {
		name, key, content string
		kind               RefusalKind
	}{
		{"the first secret", "one", url + "aone" + body, ""},
		{"the second", "two", url + "btwo" + body, ""},
		{"the label of the other secret", "one", url + "bone" + body, InvalidSignature},
		{"another secret", "one", url + "atwo" + body, InvalidSignature},
		{"neither", "one", url + body, InvalidSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := wantKind(t, v, schemeRequest(body, "X-Sig", hexMAC(c.key, c.content)), c.kind)
			if c.kind == "" && (d == nil || len(d.Contents) != 2) {
				t.Errorf("got %+v, want a digest for each secret", d)
			}
		})
	}
	r := schemeRequest(body)
	for _, c := range []struct{ secret, want string }{{"a:one", hexMAC("one", url+"aone"+body)}, {"one", ""}, {":one", ""}, {"one:", ""}} {
		secret, err := NewSecret(c.secret, "")
		if err != nil {
			t.Fatal(err)
		}
		err = s.Sign(r, SigningKey{Secret: secret}, Draft{Time: schemeNow})
		if (err == nil) != (c.want != "") || c.want != "" && r.Header.Get("X-Sig") != c.want {
			t.Errorf("%q: signed as %s, %v", c.secret, r.Header.Get("X-Sig"), err)
		}
		if _, err := s.Compile([]Secret{secret}, 0); (err == nil) != (c.want != "") || err != nil && strings.Contains(err.Error(), "one") {
			t.Errorf("%q: Compile: %v", c.secret, err)
		}
	}
	for _, other := range []Scheme{
		{Algorithm: Ed25519, Signature: s.Signature, Signed: "{key}{body}"},
		{Algorithm: HMACSHA256, Signature: s.Signature, Signed: "{key}"},
		{Algorithm: HMACSHA256, Signature: s.Signature, Signed: "{key_name}{body}"},
	} {
		if other.Check() == nil {
			t.Errorf("%s of %s is accepted", other.Algorithm, other.Signed)
		}
	}
}
