package signature

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"testing"
	"time"
)

var schemeNow = time.Unix(1760000000, 0)

// schemeRequest returns a POST request with headers, given as alternating names and
// values.
func schemeRequest(body string, headers ...string) *Request {
	r := &Request{Method: "POST", Scheme: "https", Host: "hooks.example.com", RequestURI: "/in?a=1", Header: http.Header{}, Body: BytesBody(body), Now: schemeNow}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func hexMAC(secret, text string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil))
}

func compileScheme(t *testing.T, s Scheme, secrets ...string) *Verifier {
	t.Helper()
	var list []Secret
	for i := 0; i < len(secrets); i += 2 {
		secret, err := NewSecret(secrets[i], secrets[i+1])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, secret)
	}
	v, err := s.Compile(list, 0)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// wantKind checks the result of a request. If kind is empty, it must be accepted.
func wantKind(t *testing.T, v *Verifier, r *Request, kind RefusalKind) *Delivery {
	t.Helper()
	d, err := v.Verify(r)
	var refused *Refusal
	switch {
	case kind == "" && err != nil:
		t.Errorf("refused: %v", err)
	case kind != "" && !errors.As(err, &refused):
		t.Errorf("got %v, want %s", err, kind)
	case kind != "" && refused.Kind != kind:
		t.Errorf("got %v, want %s", err, kind)
	}
	return d
}

func headerScheme() Scheme {
	return Scheme{Algorithm: HMACSHA256, Signature: SignatureField{Field: Field{From: "header", Name: "X-Sig"}}}
}

func TestKeyIDNarrowsTheSecretsToThatLabel(t *testing.T) {
	s := headerScheme()
	s.KeyID = &Field{From: "header", Name: "X-Key"}
	v := compileScheme(t, s, "one", "k1", "two", "k2", "three", "")
	for _, c := range []struct {
		name, secret, id string
		kind             RefusalKind
	}{
		{"named", "one", "k1", ""},
		{"another key ID", "one", "k2", InvalidSignature},
		{"no key ID", "one", "", InvalidSignature},
		{"a secret without a label matches any key ID", "three", "k9", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantKind(t, v, schemeRequest("b", "X-Sig", hexMAC(c.secret, "b"), "X-Key", c.id), c.kind)
		})
	}
}

func TestActionIsJoinedToTheEvent(t *testing.T) {
	s := headerScheme()
	s.Event, s.Action = &Field{From: "json", Name: "type"}, &Field{From: "json", Name: "action"}
	v := compileScheme(t, s, "k", "")
	for body, want := range map[string]string{
		`{"type":"Issue","action":"create"}`: "Issue.create",
		`{"type":"Issue"}`:                   "Issue",
		`{"action":"create"}`:                "",
	} {
		if d := wantKind(t, v, schemeRequest(body, "X-Sig", hexMAC("k", body)), ""); d != nil && (d.Event != want || !d.EventSigned) {
			t.Errorf("%s: got %q (signed %t), want %q", body, d.Event, d.EventSigned, want)
		}
	}
}

func TestRepeatedHeaderAndOptionalPrefix(t *testing.T) {
	s := headerScheme()
	v := compileScheme(t, s, "k", "")
	good := hexMAC("k", "b")
	wantKind(t, v, schemeRequest("b", "X-Sig", good, "X-Sig", good), Malformed)
	s.Signature.Repeated, s.Signature.Prefix, s.Signature.PrefixOptional = true, "sha256=", true
	v = compileScheme(t, s, "k", "")
	wantKind(t, v, schemeRequest("b", "X-Sig", hexMAC("other", "b"), "X-Sig", "sha256="+good), "")
	wantKind(t, v, schemeRequest("b", "X-Sig", good), "")
	wantKind(t, v, schemeRequest("b", "X-Sig", "sha1="+good), Malformed)
	wantKind(t, v, schemeRequest("b", "X-Sig", ""), MissingSignature)
}

func TestSpacesAroundParts(t *testing.T) {
	s := headerScheme()
	s.Signature.Separator, s.Signature.Assign, s.Signature.Element = ",", "=", "v1"
	header := "t=1, v1=" + hexMAC("k", "b")
	wantKind(t, compileScheme(t, s, "k", ""), schemeRequest("b", "X-Sig", header), MissingSignature)
	s.Signature.Spaces = true
	wantKind(t, compileScheme(t, s, "k", ""), schemeRequest("b", "X-Sig", header), "")
}

func TestISO8601WithoutZoneIsUTC(t *testing.T) {
	s := headerScheme()
	s.Timestamp = &TimestampField{Field: Field{From: "header", Name: "X-Time"}, Format: "iso8601"}
	s.Signed = "{timestamp}.{body}"
	v := compileScheme(t, s, "k", "")
	for text, kind := range map[string]RefusalKind{
		"2025-10-09T08:53:20":       "",
		"2025-10-09T08:53:20.5Z":    "",
		"2025-10-09T10:53:20+02:00": "",
		"2025-10-09T08:43:20":       Stale,
		"2025-10-09 08:53:20":       Malformed,
	} {
		wantKind(t, v, schemeRequest("b", "X-Time", text, "X-Sig", hexMAC("k", text+".b")), kind)
	}
}

func TestInflatedBodyIsVerified(t *testing.T) {
	s := headerScheme()
	s.Signed = "{body_inflated}"
	v := compileScheme(t, s, "k", "")
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write([]byte("hello"))
	_ = w.Close()
	sig := hexMAC("k", "hello")
	wantKind(t, v, schemeRequest("hello", "X-Sig", sig), "")
	wantKind(t, v, schemeRequest(zipped.String(), "X-Sig", sig, "Content-Encoding", "gzip"), "")
	wantKind(t, v, schemeRequest(zipped.String(), "X-Sig", sig), InvalidSignature)
	wantKind(t, v, schemeRequest(zipped.String()[:8], "X-Sig", sig, "Content-Encoding", "gzip"), Malformed)
	wantKind(t, v, schemeRequest("hello", "X-Sig", sig, "Content-Encoding", "br"), Malformed)
}

func TestInflatedBodyIsBounded(t *testing.T) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	chunk := make([]byte, 1<<20)
	for range maxInflated>>20 + 1 {
		_, _ = w.Write(chunk)
	}
	_ = w.Close()
	s := headerScheme()
	s.Signed = "{body_inflated}"
	wantKind(t, compileScheme(t, s, "k", ""), schemeRequest(zipped.String(), "X-Sig", hexMAC("k", ""), "Content-Encoding", "gzip"), Malformed)
}

func TestSortedFormIsVerified(t *testing.T) {
	s := headerScheme()
	s.Signed = "{url}{form_sorted}"
	v := compileScheme(t, s, "k", "")
	const form, url = "application/x-www-form-urlencoded", "https://hooks.example.com/in?a=1"
	sig := hexMAC("k", url+"a1b2")
	wantKind(t, v, schemeRequest("b=2&a=1", "X-Sig", sig, "Content-Type", form), "")
	wantKind(t, v, schemeRequest("b=2&a=1&a=1", "X-Sig", sig, "Content-Type", form), Malformed)
	wantKind(t, v, schemeRequest("{}", "X-Sig", hexMAC("k", url), "Content-Type", "application/json"), Malformed)
}

func TestConditionSelectsRequests(t *testing.T) {
	post := schemeRequest("", "Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	for _, c := range []struct {
		name string
		when *Condition
		want bool
	}{
		{"none", nil, true},
		{"method", &Condition{Methods: []string{"GET", "POST"}}, true},
		{"other method", &Condition{Methods: []string{"GET"}}, false},
		{"media type", &Condition{ContentType: "application/x-www-form-urlencoded"}, true},
		{"other media type", &Condition{ContentType: "application/json"}, false},
	} {
		s := headerScheme()
		s.When = c.when
		if got := s.Applies(post); got != c.want {
			t.Errorf("%s: got %t", c.name, got)
		}
	}
}

func TestSHA256PrefixHashesSecretAndContent(t *testing.T) {
	s := headerScheme()
	s.Algorithm = SHA256Prefix
	v := compileScheme(t, s, "k", "")
	sum := sha256.Sum256([]byte("kb"))
	wantKind(t, v, schemeRequest("b", "X-Sig", hex.EncodeToString(sum[:])), "")
	wantKind(t, v, schemeRequest("b", "X-Sig", hexMAC("k", "b")), InvalidSignature)
}

func TestValuesFromTheProvidersCodeAreVerified(t *testing.T) {
	s := headerScheme()
	s.Signed, s.ValuesCoverBody = "{value.content}", true
	s.ID = &Field{From: "json", Name: "id"}
	v := compileScheme(t, s, "k", "")
	if !v.Coverage().BodySigned || !v.Coverage().IDSigned {
		t.Error("the body or the ID counts as unsigned")
	}
	r := schemeRequest("{}", "X-Sig", hexMAC("k", "worked out"))
	wantKind(t, v, r, Malformed)
	r.Values = map[string]string{"content": "worked out"}
	wantKind(t, v, r, "")
}

func TestNumberedHeaders(t *testing.T) {
	s := headerScheme()
	s.Signature.Name = "X-Sig-#"
	v := compileScheme(t, s, "k", "")
	bad, good := hexMAC("other", "b"), hexMAC("k", "b")
	wantKind(t, v, schemeRequest("b", "X-Sig-1", bad, "X-Sig-2", bad, "X-Sig-3", good), "")
	wantKind(t, v, schemeRequest("b", "X-Sig-1", bad, "X-Sig-12", good), "")
	wantKind(t, v, schemeRequest("b", "X-Sig-1", bad), InvalidSignature)
	wantKind(t, v, schemeRequest("b", "X-Sig-101", good), MissingSignature)
	wantKind(t, v, schemeRequest("b", "X-Sig", good), MissingSignature)
}

func TestEmptyBodyIsRefusedIfTheProviderNeverSendsOne(t *testing.T) {
	s := headerScheme()
	wantKind(t, compileScheme(t, s, "k", ""), schemeRequest("", "X-Sig", hexMAC("k", "")), "")
	s.RefuseEmpty = true
	wantKind(t, compileScheme(t, s, "k", ""), schemeRequest("", "X-Sig", hexMAC("k", "")), Malformed)
}
