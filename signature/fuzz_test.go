package signature

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// listFields are the formats of signature headers.
var listFields = []SignatureField{
	{Field: inHeader("X-Sig"), Encoding: Hex, Prefix: "sha256="},
	{Field: inHeader("X-Sig"), Encoding: Hex, Separator: ",", Assign: "=", Element: "v1"},
	{Field: inHeader("X-Sig"), Encoding: Base64, Separator: " ", Assign: ",", Element: "v1"},
	{Field: inHeader("X-Sig"), Encoding: Hex, Separator: ",", SetSeparator: " ", Assign: "=", Element: "v1", Spaces: true},
	{Field: inHeader("X-Sig"), Encoding: Base64URL, Separator: ",", Positional: 1},
	{Field: inHeader("X-Sig"), Encoding: Base64URLPad, Prefix: "HMAC ", PrefixOptional: true},
	{Field: inHeader("X-Sig"), Encoding: Base64Hex, Separator: ",", Assign: "=", Element: "v1", Quoted: true},
	{Field: inHeader("Authorization"), Encoding: Hex, Prefix: "HMAC ", Separator: ":", Positional: 1},
}

// FuzzSignatureHeader checks that reading a header never panics, and that a header
// that is encoded from the parsed values has the same values.
func FuzzSignatureHeader(f *testing.F) {
	for i := range listFields {
		for _, text := range []string{
			"sha256=" + strings.Repeat("0a", 32), "t=1,v1=" + strings.Repeat("0A", 32) + ",v1=00,v0=x", "v1," + base64Of(make([]byte, 32)) + " v1a,x",
			"t=1,v1=00 t=2,v1=11", "1," + Base64URL.Encode(make([]byte, 32)), "HMAC " + Base64URLPad.Encode(make([]byte, 32)), `t="1",v1="` + Base64Hex.Encode(make([]byte, 32)) + `"`, "hmac k:" + strings.Repeat("0a", 32), ",,,", "=", " ", "v1=v1=v1",
		} {
			f.Add(uint8(i), text)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		field := listFields[int(which)%len(listFields)]
		v := compile(t, Scheme{Algorithm: HMACSHA256, Signature: field}, "secret")
		v.perList = field.SetSeparator != ""
		vals := newValues(post("", field.Name, text), v)
		if err := v.candidates(vals); err != nil {
			kindOf(t, err)
			return
		}
		again := newValues(post("", field.Name, encodeLists(field, vals.lists)), v)
		if err := v.candidates(again); err != nil {
			t.Fatalf("re-encoded as %q: %v", encodeLists(field, vals.lists), err)
		}
		if got, want := candidatesOf(again.lists), candidatesOf(vals.lists); got != want {
			t.Fatalf("re-encoded as %q:\ngot  %s\nwant %s", encodeLists(field, vals.lists), got, want)
		}
	})
}

// encodeLists returns the canonical encoding of the signatures and named parts of
// lists.
func encodeLists(f SignatureField, lists []signatureList) string {
	var sets []string
	for _, l := range lists {
		var parts []string
		// White space around the whole does not count, inside it does: a
		// part of no meaning keeps it inside.
		if f.Assign != "" && len(l.named) > 0 && strings.TrimLeft(l.named[0].name, " \t\r\n") != l.named[0].name {
			parts = append(parts, "x")
		}
		for _, n := range l.named {
			if f.Assign == "" {
				parts = append(parts, n.value)
			} else {
				parts = append(parts, f.named(n.name, n.value))
			}
		}
		for _, d := range l.decoded {
			text := f.Encoding.Encode(d)
			if f.Element != "" {
				text = f.named(f.Element, text)
			}
			parts = append(parts, text)
		}
		sets = append(sets, strings.Join(parts, f.Separator))
	}
	return f.Prefix + strings.Join(sets, f.SetSeparator)
}

func candidatesOf(lists []signatureList) string {
	var b strings.Builder
	for _, l := range lists {
		fmt.Fprintf(&b, "%q %x;", l.named, l.decoded)
	}
	return b.String()
}

// FuzzEncodings checks that decoded bytes encode to the same text, except that hex
// becomes lower case.
func FuzzEncodings(f *testing.F) {
	for _, text := range []string{"00ff", "00FF", "MDBmZg==", "MDBGRg==", "AP8Q", "+/8=", "-_8", "-_8=", "+/9=", "A\nA==", "=", "0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, e := range []Encoding{Hex, Base64, Base64URL, Base64URLPad, Base64Hex} {
			decoded, ok := e.decode(nil, text)
			if !ok {
				if len(decoded) != 0 {
					t.Fatalf("%s refuses %q and yields %x", e, text, decoded)
				}
				continue
			}
			canonical := text
			if e == Hex {
				canonical = strings.ToLower(text)
			}
			if got := e.Encode(decoded); got != canonical || e.encodedLen(len(decoded)) != len(text) {
				t.Fatalf("%s: %q decodes to %x, which is %q", e, text, decoded, got)
			}
		}
	})
}

// FuzzTimestamp checks that an accepted timestamp is plausible and canonical, and
// that it is fresh only within the tolerance.
func FuzzTimestamp(f *testing.F) {
	for _, text := range []string{nowText, nowText + "000", "2025-10-09T08:53:20Z", "2025-10-09T08:53:20.5+02:00", "2025-10-09T08:53:20", "Thu, 09 Oct 2025 08:53:20 GMT", "-1", "1e9", "99999999999999"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range []string{"unix", "unix_ms", "rfc3339", "iso8601", "http_date"} {
			at, err := parseTimestamp(format, text)
			if err != nil {
				if kindOf(t, err) != Malformed {
					t.Fatalf("%s: %v", format, err)
				}
				continue
			}
			if at.Before(time.Unix(0, 0).AddDate(0, 0, -2)) || at.Year() > 9999 {
				t.Fatalf("%s %q is %v", format, text, at)
			}
			if canonical := canonicalTexts(format, at); !slices.Contains(canonical, text) && !strings.Contains(text, "T") {
				t.Fatalf("%s %q has the canonical text %q", format, text, canonical)
			}
			near := at.Sub(now).Abs() <= DefaultTolerance
			if fresh := checkFresh(at, now, DefaultTolerance) == nil; fresh != near {
				t.Fatalf("%s %q: fresh %t", format, text, fresh)
			}
		}
	})
}

// canonicalTexts returns the canonical texts of a time.
func canonicalTexts(format string, at time.Time) []string {
	switch format {
	case "unix":
		return []string{strconv.FormatInt(at.Unix(), 10)}
	case "unix_ms":
		return []string{strconv.FormatInt(at.UnixMilli(), 10)}
	case "http_date":
		return []string{at.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}
	}
	return nil
}

// FuzzTemplate checks that no template panics and that the content it writes can be
// verified.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{
		"{body}", "{timestamp}.{body}", "v0:{timestamp}:{body}", "{id}.{timestamp}.{body}", "{method}{lf}{url}{lf}{host}{path}{query}",
		"{header.X-Any}{query.q}{form.f}{json.a.b}{element.t}", "{body_sha256}{body_sha256_hex}{form_sorted}{body_inflated}", "{request_target}{body_sha256_base64}{body_base64}", "{", "}", "{}", "{{body}}", "{header.}",
	} {
		f.Add(text, "m1", "{}")
	}
	f.Fuzz(func(t *testing.T, text, id, body string) {
		s := stripeScheme()
		s.Signed, s.ID = text, new(inHeader("X-Id"))
		v, err := s.Compile(secretsOf(t, "secret"), 0)
		if err != nil {
			return
		}
		r := post(body, "X-Id", id, "X-Any", "v", "Stripe-Signature", "t="+nowText+",v1="+strings.Repeat("0", 64))
		r.RequestURI = "/in?q=1"
		vals := newValues(r, v)
		if err := v.candidates(vals); err != nil {
			t.Fatal(err)
		}
		var content bytes.Buffer
		if _, err := v.template.write(&content, vals, nil); err != nil {
			kindOf(t, err)
			return
		}
		r.Header.Set("Stripe-Signature", "t="+nowText+",v1="+hexOf(mac("secret", content.String())))
		if trimmed := strings.TrimSpace(body); v.wholeJSON && (!json.Valid([]byte(body)) || !strings.ContainsAny(trimmed[:1], "{[")) {
			want(t, v, r, Malformed) // the start of such a body is not fixed
			return
		}
		d := want(t, v, r, "")
		if d.IDSigned && d.ID != "" && !strings.Contains(content.String(), d.ID) {
			t.Fatalf("%s: the ID %q is not in %q", text, d.ID, content.String())
		}
	})
}

// FuzzVerify checks that no request is accepted that was not signed.
func FuzzVerify(f *testing.F) {
	public := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	verifiers := []*Verifier{
		compile(f, githubScheme(), "secret", "other"),
		compile(f, stripeScheme(), "secret", "other"),
		compile(f, standardScheme(), base64Of([]byte("secret"))),
		compile(f, standardEd25519(), "whpk_"+base64Of(public)),
	}
	f.Add("sha256="+hexOf(mac("secret", "{}")), "m1", nowText, []byte("{}"))
	f.Add("t="+nowText+",v1="+hexOf(mac("secret", nowText+`.{"id":"e"}`)), "m1", nowText, []byte(`{"id":"e"}`))
	f.Add("v1,"+base64Of(mac("secret", "m1."+nowText+".{}")), "m1", nowText, []byte("{}"))
	f.Add("v1a,"+base64Of(make([]byte, 64)), "m1", nowText, []byte("{}"))
	f.Fuzz(func(t *testing.T, signature, id, at string, body []byte) {
		for i, v := range verifiers {
			r := post(string(body), "webhook-id", id, "X-GitHub-Delivery", id, "webhook-timestamp", at,
				"X-Hub-Signature-256", signature, "Stripe-Signature", signature, "webhook-signature", signature)
			headers := *r
			headers.Body = nil
			early := v.CheckHeaders(&headers)
			kindOf(t, early)
			d, err := v.Verify(r)
			kindOf(t, err)
			if early != nil && err == nil {
				t.Fatalf("CheckHeaders = %v, but Verify accepts the request", early)
			}
			if err == nil && !genuine(i, d, signature, id, at, string(body)) {
				t.Fatalf("scheme %d accepted %q for %q", i, signature, body)
			}
		}
	})
}

// genuine reports whether the signature is genuine. It does not use the verifier.
func genuine(scheme int, d *Delivery, signature, id, at, body string) bool {
	var content string
	switch scheme {
	case 0:
		content = body
	case 1:
		_, rest, _ := strings.Cut(","+signature, ",t=")
		at, _, _ = strings.Cut(rest, ",")
		content = at + "." + body
	case 2:
		content = strings.Trim(id, " \t\r\n") + "." + strings.Trim(at, " \t\r\n") + "." + body
	default:
		return false // the fuzzer does not have the private key
	}
	lower := strings.ToLower(signature)
	for _, secret := range []string{"secret", "other"} {
		sum := mac(secret, content)
		if hmac.Equal(d.Matches[0].Digest, sum) && (strings.Contains(lower, hexOf(sum)) || strings.Contains(signature, base64Of(sum))) {
			return true
		}
	}
	return false
}
