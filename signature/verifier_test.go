package signature

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestOnlySignedBytesAreAccepted(t *testing.T) {
	v := compile(t, githubScheme(), "secret")
	genuine := githubPost("secret", `{"a":1}`)
	d := want(t, v, genuine, "")
	if d.ID != "d-1" || d.IDSigned || d.Event != "push" || d.EventSigned || len(d.Matches) != 1 {
		t.Errorf("got %+v", d)
	}
	for i := range `{"a":1}` {
		altered := *genuine
		body := []byte(`{"a":1}`)
		body[i] ^= 1
		altered.Body = BytesBody(body)
		want(t, v, &altered, InvalidSignature)
	}
	for name, body := range map[string]string{"shorter": `{"a":1`, "longer": `{"a":1} `, "empty": ""} {
		altered := *genuine
		altered.Body = BytesBody(body)
		t.Run(name, func(t *testing.T) { want(t, v, &altered, InvalidSignature) })
	}
}

func TestEmptyBodyCanBeSigned(t *testing.T) {
	want(t, compile(t, githubScheme(), "secret"), githubPost("secret", ""), "")
}

func TestAnyOtherSecretIsRefused(t *testing.T) {
	v := compile(t, githubScheme(), "secret")
	for _, other := range []string{"", "Secret", "secre", "secret ", "secret\x00x"} {
		want(t, v, githubPost(other, "body"), InvalidSignature)
	}
}

func TestMissingSignatureIsRefusedBeforeTheBodyIsRead(t *testing.T) {
	for name, r := range map[string]*Request{
		"none":  post("body"),
		"empty": post("body", "X-Hub-Signature-256", ""),
		"blank": post("body", "X-Hub-Signature-256", " \t"),
		"weak":  post("body", "X-Hub-Signature", "sha1=00"),
	} {
		t.Run(name, func(t *testing.T) {
			v := compile(t, githubScheme(), "secret")
			wantHeaders(t, v, r, MissingSignature)
			want(t, v, r, MissingSignature)
			if v.Present(r) {
				t.Error("counts as present")
			}
		})
	}
}

func TestMalformedSignatureIsRefusedBeforeTheBodyIsRead(t *testing.T) {
	good := hexOf(mac("secret", "body"))
	for name, value := range map[string]string{
		"no prefix":              good,
		"other prefix":           "sha1=" + good,
		"prefix in upper case":   "SHA256=" + good,
		"duplicate prefix":       "sha256=sha256=" + good,
		"one digit missing":      "sha256=" + good[1:],
		"one extra digit":        "sha256=" + good + "0",
		"one byte missing":       "sha256=" + good[2:],
		"one extra byte":         "sha256=" + good + "00",
		"not hex":                "sha256=" + strings.Repeat("g", 64),
		"space after the prefix": "sha256= " + good,
		"list":                   "sha256=" + good + "," + good,
		"only the prefix":        "sha256=",
		"base64":                 "sha256=" + base64Of(mac("secret", "body")),
		"very long":              "sha256=" + strings.Repeat("0", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			v := compile(t, githubScheme(), "secret")
			r := post("body", "X-Hub-Signature-256", value)
			wantHeaders(t, v, r, Malformed)
			want(t, v, r, Malformed)
		})
	}
}

// Invariant 5.
func TestWeakerAlgorithmIsNeverAccepted(t *testing.T) {
	key := "0123456789abcdef"
	public, private, err := ed25519.GenerateKey(bytes.NewReader(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	publicText := "whpk_" + base64Of(public)
	content := "m1." + nowText + ".{}"
	standard := func(signature string) *Request {
		return post("{}", "webhook-id", "m1", "webhook-timestamp", nowText, "webhook-signature", signature)
	}
	hmacSHA1 := Scheme{Algorithm: HMACSHA1, Signature: SignatureField{Field: inHeader("X-Hub-Signature"), Prefix: "sha1="}}
	for _, c := range []struct {
		name string
		v    *Verifier
		r    *Request
		kind RefusalKind
	}{
		{"genuine v1", compile(t, standardScheme(), base64Of([]byte(key))), standard("v1," + base64Of(mac(key, content))), ""},
		{"genuine v1a", compile(t, standardEd25519(), publicText), standard("v1a," + base64Of(ed25519.Sign(private, []byte(content)))), ""},
		{"HMAC keyed with the public key", compile(t, standardEd25519(), publicText), standard("v1a," + base64Of(mac(string(public), content))), Malformed},
		{"HMAC keyed with the public key, as v1", compile(t, standardEd25519(), publicText), standard("v1," + base64Of(mac(string(public), content))), MissingSignature},
		{"the name of another version", compile(t, standardScheme(), base64Of([]byte(key))), standard("v0," + base64Of(mac(key, content))), MissingSignature},
		{"SHA-1 beside a wrong SHA-256", compile(t, githubScheme(), "secret"), post("{}", "X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64), "X-Hub-Signature", "sha1="+hexOf(mac("secret", "{}")[:20])), InvalidSignature},
		{"a SHA-256 truncated to the length of SHA-1", compile(t, hmacSHA1, "secret"), post("{}", "X-Hub-Signature", "sha1="+hexOf(mac("secret", "{}")[:20])), InvalidSignature},
		{"Stripe's v0", compile(t, stripeScheme(), "secret"), post("{}", "Stripe-Signature", "t="+nowText+",v0="+hexOf(mac("secret", nowText+".{}"))), MissingSignature},
	} {
		t.Run(c.name, func(t *testing.T) { want(t, c.v, c.r, c.kind) })
	}
}

// Invariant 3: every accepted encoding gives the same digest, and no other encoding is
// accepted.
func TestEveryEncodingOfASignatureGivesTheSameDigest(t *testing.T) {
	genuine := want(t, compile(t, githubScheme(), "secret"), githubPost("secret", "b"), "").Matches[0].Digest
	for name, spell := range map[string]func(string) string{
		"upper case": strings.ToUpper,
		"mixed case": func(s string) string { return strings.ToUpper(s[:7]) + s[7:] },
	} {
		r := post("b", "X-Hub-Signature-256", "sha256="+spell(hexOf(mac("secret", "b"))))
		if d := want(t, compile(t, githubScheme(), "secret"), r, ""); !bytes.Equal(d.Matches[0].Digest, genuine) {
			t.Errorf("%s: the digest differs", name)
		}
	}
	r := githubPost("secret", "b")
	r.Header["X-Hub-Signature-256"][0] = " " + r.Header["X-Hub-Signature-256"][0] + "\t"
	if d := want(t, compile(t, githubScheme(), "secret"), r, ""); !bytes.Equal(d.Matches[0].Digest, genuine) {
		t.Error("white space around the header: the digest differs")
	}
}

func TestDigestDependsOnlyOnTheSignedContent(t *testing.T) {
	v := compile(t, stripeScheme(), "secret")
	plain := want(t, v, stripePost("secret", "{}"), "")
	more := stripePost("secret", "{}")
	more.Header.Set("Stripe-Signature", "x=y,"+more.Header.Get("Stripe-Signature")+",v1="+strings.Repeat("0", 64))
	if d := want(t, v, more, ""); !bytes.Equal(d.Matches[0].Digest, plain.Matches[0].Digest) {
		t.Error("an addition to the header changes the digest")
	}
	other := post("{}", "Stripe-Signature", "t=1759999999,v1="+hexOf(mac("secret", "1759999999.{}")))
	if d := want(t, v, other, ""); bytes.Equal(d.Matches[0].Digest, plain.Matches[0].Digest) {
		t.Error("different signed contents have the same digest")
	}
}

// Invariant 6.
func TestTimestampsAreRefusedNotWrapped(t *testing.T) {
	v := compile(t, stripeScheme(), "secret")
	for text, kind := range map[string]RefusalKind{
		nowText:                "",
		"1759999700":           "", // exactly the tolerance
		"1760000300":           "",
		"1759999699":           Stale,
		"1760000301":           Stale,
		"1":                    Stale,
		"99999999999":          Stale,
		"1760000000000":        Malformed, // milliseconds
		"9223372036854775807":  Malformed,
		"18446744075469551616": Malformed, // 2^64 + now
		"-1760000000":          Malformed,
		"+1760000000":          Malformed,
		"01760000000":          Malformed,
		"0":                    Malformed,
		"1760000000.0":         Malformed,
		"1760000000.9":         Malformed,
		"1.76e9":               Malformed,
		"0x68e77a00":           Malformed,
		"176_0000000":          Malformed,
		" 1760000000":          Malformed,
		"1760000000 ":          Malformed,
		"NaN":                  Malformed,
		"١٧٦٠٠٠٠٠٠٠":           Malformed,
		"1760000000\x00":       Malformed,
	} {
		t.Run(text, func(t *testing.T) {
			r := post("{}", "Stripe-Signature", "t="+text+",v1="+hexOf(mac("secret", text+".{}")))
			wantHeaders(t, v, r, kind)
			want(t, v, r, kind)
		})
	}
}

func TestOperatorsToleranceOverridesTheSchemes(t *testing.T) {
	s := stripeScheme()
	s.Timestamp.Tolerance = 60
	for _, c := range []struct {
		scheme    Scheme
		tolerance time.Duration
		want      time.Duration
	}{{stripeScheme(), 0, 5 * time.Minute}, {s, 0, time.Minute}, {s, time.Hour, time.Hour}} {
		v, err := c.scheme.Compile(secretsOf(t, "secret"), c.tolerance)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Coverage().Tolerance; got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
		r := stripePost("secret", "{}")
		r.Now = now.Add(c.want)
		want(t, v, r, "")
		r.Now = now.Add(c.want + time.Second)
		want(t, v, r, Stale)
		r.Now = now.Add(-c.want - time.Second)
		want(t, v, r, Stale)
	}
}

func TestTimestampInTheSignedBodyIsChecked(t *testing.T) {
	s := githubScheme()
	s.Timestamp = &TimestampField{Field: Field{From: "json", Name: "sent"}}
	v := compile(t, s, "secret")
	for body, kind := range map[string]RefusalKind{
		`{"sent":1760000000}`:   "",
		`{"sent":"1760000000"}`: "",
		`{"sent":1}`:            Stale,
		`{"sent":1.76e9}`:       Malformed,
		`{}`:                    Malformed,
		`{"sent":null}`:         Malformed,
	} {
		r := githubPost("secret", body)
		wantHeaders(t, v, r, "")
		want(t, v, r, kind)
		forged := githubPost("other", body)
		want(t, v, forged, InvalidSignature)
	}
}

func TestUnsignedTimestampIsIgnored(t *testing.T) {
	s := githubScheme()
	s.Timestamp = &TimestampField{Field: inHeader("X-Sent")}
	v := compile(t, s, "secret")
	if v.Coverage().TimestampSigned {
		t.Fatal("the timestamp counts as signed")
	}
	for _, text := range []string{"", "1", nowText, "junk"} {
		r := githubPost("secret", "b")
		r.Header.Set("X-Sent", text)
		want(t, v, r, "")
	}
}

func TestIDThatIsInvalidInAHeaderCountsAsMissing(t *testing.T) {
	v := compile(t, stripeScheme(), "secret")
	for body, id := range map[string]string{
		`{"id":"evt_1","type":"a.b"}`: "evt_1",
		`{"id":"zwölf"}`:              "zwölf",
		`{"id":7}`:                    "7",
		`{"id":""}`:                   "",
		`{"id":null}`:                 "",
		`{"id":{}}`:                   "",
		`{}`:                          "",
		``:                            "",
		`not JSON`:                    "",
		`{"id":"a\r\nX: y"}`:          "",
		`{"id":"a\u0000"}`:            "",
		`{"id":"` + strings.Repeat("x", maxID) + `"}`:   strings.Repeat("x", maxID),
		`{"id":"` + strings.Repeat("x", maxID+1) + `"}`: "",
		`{"id":"first","id":"second"}`:                  "first",
	} {
		if d := want(t, v, stripePost("secret", body), ""); d.ID != id || !d.IDSigned {
			t.Errorf("%.40s: got %q (signed %t)", body, d.ID, d.IDSigned)
		}
	}
}

func TestRequiredHeadersMustHaveTheirValue(t *testing.T) {
	s := githubScheme()
	s.Require = map[string]string{"x-version": "1"}
	v := compile(t, s, "secret")
	for name, c := range map[string]struct {
		values []string
		kind   RefusalKind
	}{
		"the required value": {[]string{"1"}, ""},
		"other":              {[]string{"2"}, Malformed},
		"missing":            {nil, Malformed},
		"twice":              {[]string{"1", "1"}, Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			r := githubPost("secret", "b")
			r.Header["X-Version"] = c.values
			wantHeaders(t, v, r, c.kind)
			want(t, v, r, c.kind)
		})
	}
}

func TestUnauthenticatedWorkIsBounded(t *testing.T) {
	public, _, err := ed25519.GenerateKey(bytes.NewReader(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	v := compile(t, standardEd25519(), "whpk_"+base64Of(public))
	header := func(n int) *Request {
		one := "v1a," + base64Of(make([]byte, 64)) + " "
		return post("{}", "webhook-id", "m1", "webhook-timestamp", nowText, "webhook-signature", strings.TrimSpace(strings.Repeat(one, n)))
	}
	want(t, v, header(maxPublicChecks), InvalidSignature)
	want(t, v, header(maxPublicChecks+1), Malformed)
	wantHeaders(t, v, header(maxPublicChecks+1), Malformed)

	s := githubScheme()
	s.Signature = SignatureField{Field: inHeader("X-Sig"), Also: []string{"X-Sig-#"}, Separator: ","}
	r := post("b")
	for _, name := range []string{"X-Sig", "X-Sig-1", "X-Sig-2"} {
		r.Header.Set(name, strings.TrimSuffix(strings.Repeat(strings.Repeat("0", 64)+",", 12), ","))
	}
	want(t, compile(t, s, "secret"), r, Malformed)
}

func TestBodyReadErrorIsNotARefusal(t *testing.T) {
	for name, s := range map[string]Scheme{"github": githubScheme(), "stripe": stripeScheme()} {
		r := githubPost("secret", "b")
		if name == "stripe" {
			r = stripePost("secret", "b")
		}
		r.Body = brokenBody{}
		_, err := compile(t, s, "secret").Verify(r)
		if refused := (*Refusal)(nil); !errors.Is(err, errBroken) || errors.As(err, &refused) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	r := githubPost("secret", "b")
	r.Body = nil
	if _, err := compile(t, githubScheme(), "secret").Verify(r); err == nil {
		t.Error("a body that was not read was verified")
	}
}

func TestRefusalsContainNoSignatureAndNoSecret(t *testing.T) {
	genuine := hexOf(mac("topsecret", "b"))
	v := compile(t, githubScheme(), "topsecret")
	for _, header := range []string{"", "sha256=" + strings.Repeat("7", 64), "sha256=junk", genuine} {
		_, err := v.Verify(post("b", "X-Hub-Signature-256", header))
		if err == nil {
			t.Fatal("accepted")
		}
		for _, secret := range []string{"topsecret", genuine, strings.Repeat("7", 8), "junk"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%v contains %s", err, secret)
			}
		}
	}
}

// A verifier uses memory that later requests reuse.
func TestDeliveriesDoNotShareMemory(t *testing.T) {
	v := compile(t, stripeScheme(), "secret", "other")
	first := want(t, v, stripePost("secret", `{"id":"evt_1","type":"t1"}`), "")
	digest := hex.EncodeToString(first.Matches[0].Digest)
	done := make(chan bool)
	for range 4 {
		go func() {
			defer func() { done <- true }()
			for range 50 {
				_, _ = v.Verify(stripePost("other", `{"id":"evt_2","type":"t2"}`))
				_, _ = v.Verify(stripePost("unknown", `{"id":"evt_3","type":"t3"}`))
			}
		}()
	}
	for range 4 {
		<-done
	}
	if first.ID != "evt_1" || first.Event != "t1" || hex.EncodeToString(first.Matches[0].Digest) != digest {
		t.Errorf("a later request changed the delivery: %+v", first)
	}
}

func TestMalformedRequestsDoNotPanic(t *testing.T) {
	for name, s := range map[string]Scheme{"github": githubScheme(), "stripe": stripeScheme(), "standard": standardScheme()} {
		v := compile(t, s, "c2VjcmV0")
		for _, r := range []*Request{
			{Body: BytesBody(nil)},
			{Body: BytesBody(nil), Header: http.Header{"Stripe-Signature": {}, "X-Hub-Signature-256": nil}},
			{Body: BytesBody(nil), Header: http.Header{"Stripe-Signature": {"t=1,v1="}}, RequestURI: "*"},
		} {
			if _, err := v.Verify(r); err == nil {
				t.Errorf("%s: accepted %+v", name, r)
			}
			if err := v.CheckHeaders(r); err == nil {
				t.Errorf("%s: accepted the headers of %+v", name, r)
			}
		}
	}
}
