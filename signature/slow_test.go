package signature

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
)

// TestLongIDsOfFormsAreNotHashed: no genuine ID is as long, and hashing it takes time.
func TestLongIDsOfFormsAreNotHashed(t *testing.T) {
	s := Scheme{Algorithm: HMACSHA256, Signature: SignatureField{Field: inHeader("X-Sig")}, Signed: "{id}{form.text}", ID: &Field{From: "form", Name: "id"}}
	v := compile(t, s, "secret")
	for _, size := range []int{10, maxFieldText, maxFieldText + 1} {
		id, kind := strings.Repeat("i", size), RefusalKind("")
		if size > maxFieldText {
			kind = Malformed
		}
		text := strings.Repeat("t", 2*maxFieldText)
		want(t, v, post("id="+id+"&text="+text, "X-Sig", hexOf(mac("secret", id+text))), kind)
	}
}

// TestSlowRequests: CheckHeaders reports which bodies take more CPU time than hashing
// with SHA-256, so that the default of max_body is smaller for them.
func TestSlowRequests(t *testing.T) {
	for _, c := range []struct {
		algorithm Algorithm
		signed    string
		encoding  string
		slow      bool
	}{
		{HMACSHA256, "{body}", "", false},
		{HMACSHA256, "{body}", "gzip", false},
		{HMACSHA256, "{body_base64}", "", false},
		{HMACSHA256, "{body_sha256_hex}", "", false},
		{HMACSHA256, "{json.id}", "", false},
		{HMACSHA256, "{form.payload}", "", true},
		{HMACSHA256, "{url}{form_sorted}", "", true},
		{HMACSHA256, "{id}.{timestamp}.{body}", "", false}, // both are short form fields
		{HMACSHA256, "{body_inflated}", "", false},
		{HMACSHA256, "{body_inflated}", "identity", false},
		{HMACSHA256, "{body_inflated}", "gzip", true},
		{HMACSHA256, "{body_inflated}", "GZIP", true},
		{HMACSHA512, "{body}", "", true},
		{HMACSHA512, "{body_sha256_hex}", "", false},
		{HMACSHA512, "{form.payload}", "", true},
	} {
		s := Scheme{Algorithm: c.algorithm, Signature: SignatureField{Field: inHeader("X-Sig")}, Signed: c.signed}
		if strings.Contains(c.signed, "{id}") {
			s.ID, s.Timestamp = &Field{From: "form", Name: "id"}, &TimestampField{Field: Field{From: "form", Name: "time"}, Format: "unix"}
		}
		v := compile(t, s, "secret")
		text := hexOf(make([]byte, c.algorithm.signatureSize()))
		r := post("", "X-Sig", text)
		if c.encoding != "" {
			r.Header.Set("Content-Encoding", c.encoding)
		}
		if err := v.CheckHeaders(r); err != nil {
			t.Errorf("%s of %s: %v", c.algorithm, c.signed, err)
		}
		if r.Slow != c.slow {
			t.Errorf("%s of %s, encoding %q: Slow is %t", c.algorithm, c.signed, c.encoding, r.Slow)
		}
	}
}

// TestSeveralListsOfSignaturesAreSlow: the content is hashed for each list, which has
// a timestamp of its own.
func TestSeveralListsOfSignaturesAreSlow(t *testing.T) {
	for name, change := range map[string]func(*SignatureField){
		"one list":                 func(*SignatureField) {},
		"lists in one header":      func(f *SignatureField) { f.SetSeparator = " " },
		"a header several times":   func(f *SignatureField) { f.Repeated = true },
		"lists in several headers": func(f *SignatureField) { f.Also = []string{"X-Other"} },
	} {
		s := stripeScheme()
		change(&s.Signature)
		r := stripePost("secret", "b")
		if err := compile(t, s, "secret").CheckHeaders(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := name != "one list"; r.Slow != want {
			t.Errorf("%s: slow is %t", name, r.Slow)
		}
	}
}

// TestInvariant12SeveralEd25519SignaturesHashNoMoreThanOne: Ed25519 hashes the content
// for every signature, so a forged request with eight of them would cost eight times
// as much.
func TestInvariant12SeveralEd25519SignaturesHashNoMoreThanOne(t *testing.T) {
	public, private, err := ed25519.GenerateKey(bytes.NewReader(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	v := compile(t, standardEd25519(), "whpk_"+base64Of(public))
	for _, c := range []struct {
		size, forged int
		maxBody      int64
		kind         RefusalKind
	}{
		{maxRepeated + 1, 0, 0, ""},
		{maxRepeated / 2, 1, 0, ""},
		{maxRepeated/2 + 1, 1, 0, Malformed},
		{maxRepeated/2 + 1, 1, maxRepeated + 2, ""},
		{maxRepeated/2 + 1, 1, 1 << 20, Malformed},
		{maxRepeated / maxPublicChecks, maxPublicChecks - 1, 0, ""},
		{maxRepeated/maxPublicChecks + 1, maxPublicChecks - 1, 0, Malformed},
	} {
		body := strings.Repeat("b", c.size)
		forged := strings.Repeat("v1a,"+base64Of(make([]byte, 64))+" ", c.forged)
		sig := ed25519.Sign(private, []byte("m1."+nowText+"."+body))
		r := post(body, "webhook-id", "m1", "webhook-timestamp", nowText, "webhook-signature", forged+"v1a,"+base64Of(sig))
		r.MaxHashed = c.maxBody
		want(t, v, r, c.kind)
	}
}
