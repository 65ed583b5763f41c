package signature

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSignedRequestsAreAccepted signs with every kind of scheme and verifies the result.
func TestSignedRequestsAreAccepted(t *testing.T) {
	header := func(name string) Field { return Field{From: "header", Name: name} }
	at := func(f Field) *Field { return &f }
	in := func(f Field) SignatureField { return SignatureField{Field: f} }
	now := time.Unix(1700000000, 0)
	for name, s := range map[string]Scheme{
		"body":           {Algorithm: HMACSHA256, Signature: SignatureField{Field: header("X-Sig"), Prefix: "sha256="}},
		"base64, sha512": {Algorithm: HMACSHA512, Signature: SignatureField{Field: header("X-Sig"), Encoding: Base64URL}},
		"timestamp element": {
			Algorithm: HMACSHA256, Signature: SignatureField{Field: header("X-Sig"), Separator: ",", Assign: "=", Element: "v1"},
			Signed: "{timestamp}.{body}", Timestamp: &TimestampField{Field: Field{From: "element", Name: "t"}},
		},
		"positional": {
			Algorithm: HMACSHA256, Signature: SignatureField{Field: header("X-Sig"), Separator: ";", Positional: 2},
			Signed: "{element.1}:{element.2}:{body}",
		},
		"ID, event and time in headers": {
			Algorithm: HMACSHA256, Signature: in(header("X-Sig")), Signed: "{id}.{timestamp}.{body}",
			Timestamp: &TimestampField{Field: header("X-Time"), Format: "http_date"}, ID: at(header("X-Id")), Event: at(header("X-Event")),
		},
		"everything in the body": {
			Algorithm: HMACSHA256, Signature: in(Field{From: "json", Name: "signature.signature"}), Signed: "{timestamp}{json.signature.token}",
			Timestamp: &TimestampField{Field: Field{From: "json", Name: "signature.timestamp"}, Format: "unix_ms"}, ID: at(Field{From: "json", Name: "data.id"}),
		},
		"form": {
			Algorithm: HMACSHA1, Signature: in(header("X-Sig")), Signed: "{url}{form_sorted}", ID: at(Field{From: "form", Name: "id"}),
			When: &Condition{ContentType: "application/x-www-form-urlencoded"},
		},
		"query":            {Algorithm: HMACSHA256, Signature: in(header("X-Sig")), Signed: "{method}{url}{body}", ID: at(Field{From: "query", Name: "id"})},
		"require":          {Algorithm: HMACSHA256, Signature: in(header("X-Sig")), Require: map[string]string{"X-Version": "2"}, When: &Condition{Methods: []string{"PUT"}}},
		"key ID":           {Algorithm: HMACSHA256, Signature: in(header("X-Sig")), KeyID: at(header("X-Key"))},
		"token":            {Algorithm: Token, Signature: SignatureField{Field: header("Authorization"), Prefix: "Bearer "}},
		"basic":            {Algorithm: Basic, Signature: in(header("Authorization"))},
		"numbered headers": {Algorithm: HMACSHA256, Signature: SignatureField{Field: header("X-Sig-#")}},
		"ed25519": {
			Algorithm: Ed25519, Key: KeyFormat{Prefix: "whpk_"}, Signature: in(header("X-Sig")), Signed: "{timestamp}{body}",
			Timestamp: &TimestampField{Field: header("X-Time"), Format: "iso8601"},
		},
		"ecdsa":   {Algorithm: ECDSAP256SHA256, Signature: SignatureField{Field: header("X-Sig"), Encoding: Base64}},
		"rsa":     {Algorithm: RSASHA256, Signature: SignatureField{Field: header("X-Sig"), Encoding: Base64}},
		"rsa, 64": {Algorithm: RSASHA512, Signature: SignatureField{Field: header("X-Sig"), Encoding: Base64}},
	} {
		t.Run(name, func(t *testing.T) {
			var key SigningKey
			text := "user:a secret"
			if s.Algorithm.Asymmetric() {
				var err error
				if key.Private, text, err = GenerateKey(s.Algorithm, s.Key); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			if key.Secret, err = NewSecret(text, "key-1"); err != nil {
				t.Fatal(err)
			}
			body := `{"data":{"id":7}}`
			if name == "form" {
				body = "a=1"
			}
			r := &Request{Method: "POST", Scheme: "https", Host: "example.com", RequestURI: "/hook?a=1", Header: make(http.Header), Body: BytesBody(body), Now: now}
			if err := s.Sign(r, key, Draft{ID: "1234", Event: "made", Time: now.Add(-time.Second)}); err != nil {
				t.Fatal(err)
			}
			v, err := s.Compile([]Secret{key.Secret}, 0)
			if err != nil {
				t.Fatal(err)
			}
			if !v.Present(r) {
				t.Errorf("no signature is present in %v", r.Header)
			}
			d, err := v.Verify(r)
			if err != nil {
				t.Fatalf("%v: %v %s", err, r.Header, r.Body)
			}
			if s.ID != nil && d.ID != "1234" || s.Event != nil && d.Event != "made" || !s.Applies(r) {
				t.Errorf("got %+v", d)
			}
			if v.Coverage().TimestampSigned && !d.Timestamp.Equal(now.Add(-time.Second)) {
				t.Errorf("signed at %s", d.Timestamp)
			}
			r.Now = now.Add(time.Hour)
			if _, err := v.Verify(r); (err != nil) != v.Coverage().TimestampSigned {
				t.Errorf("an hour later: %v", err)
			}
		})
	}
}

func TestSigningNeedsTheRightKey(t *testing.T) {
	s := Scheme{Algorithm: Ed25519, Signature: SignatureField{Field: Field{From: "header", Name: "X-Sig"}}}
	r := func() *Request { return &Request{Header: make(http.Header), Body: BytesBody("x")} }
	if err := s.Sign(r(), SigningKey{}, Draft{}); err == nil {
		t.Error("signed without a private key")
	}
	wrong, _, err := GenerateKey(ECDSAP256SHA256, KeyFormat{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sign(r(), SigningKey{Private: wrong}, Draft{}); err == nil {
		t.Error("signed with a key of another kind")
	}
	if _, _, err := GenerateKey(HMACSHA256, KeyFormat{}); err == nil {
		t.Error("an HMAC accepts a private key")
	}
}

func TestFieldsInTheBodyNeedABodyOfThatFormat(t *testing.T) {
	s := Scheme{Algorithm: HMACSHA256, Signature: SignatureField{Field: Field{From: "header", Name: "X-Sig"}}}
	secret, err := NewSecret("secret", "")
	if err != nil {
		t.Fatal(err)
	}
	for field, body := range map[Field]string{
		{From: "json", Name: "id"}:       "no JSON",
		{From: "json", Name: "list.3"}:   `{"list":[1]}`,
		{From: "json", Name: "id.inner"}: `{"id":"text"}`,
		{From: "form", Name: "id"}:       `{"a":1}`,
	} {
		s.ID = &field
		r := &Request{Header: make(http.Header), Body: BytesBody(body)}
		if err := s.Sign(r, SigningKey{Secret: secret}, Draft{ID: "1"}); err == nil {
			t.Errorf("%s was written into %s: %s", field, body, r.Body)
		}
	}
}

func TestPrivateKeysAreReadFromPEM(t *testing.T) {
	if _, err := ParsePrivateKey([]byte("nothing")); err == nil {
		t.Error("an empty text is accepted as a key")
	}
	_, err := ParsePrivateKey([]byte("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"))
	if err == nil || strings.Contains(err.Error(), "c2VjcmV0") {
		t.Errorf("got %v", err)
	}
}
