package signature

import (
	"bytes"
	"strings"
	"testing"
)

// Invariant 4.
func TestDuplicateSingleValuedHeaderIsRefused(t *testing.T) {
	for _, name := range []string{"webhook-signature", "webhook-id", "webhook-timestamp"} {
		for what, second := range map[string]func(first string) string{
			"the same":      func(first string) string { return first },
			"another":       func(string) string { return "x" },
			"an empty one":  func(string) string { return "" },
			"a joined copy": func(first string) string { return first + ", " + first },
		} {
			t.Run(name+" and "+what, func(t *testing.T) {
				r := standardPost("k", "m1", "{}")
				r.Header.Add(name, second(r.Header.Get(name)))
				want(t, compile(t, standardScheme(), base64Of([]byte("k"))), r, Malformed)
			})
		}
	}
	t.Run("an ID that is not signed", func(t *testing.T) {
		r := githubPost("secret", "b")
		r.Header.Add("X-GitHub-Delivery", "d-2")
		want(t, compile(t, githubScheme(), "secret"), r, Malformed)
	})
}

func TestDuplicateElementsThatTheSchemeReadsAreRefused(t *testing.T) {
	good := hexOf(mac("secret", nowText+".{}"))
	v := compile(t, stripeScheme(), "secret")
	for name, c := range map[string]struct {
		header string
		kind   RefusalKind
	}{
		"one of each":                {"t=" + nowText + ",v1=" + good, ""},
		"order does not matter":      {"v1=" + good + ",t=" + nowText, ""},
		"several signatures":         {"t=" + nowText + ",v1=" + strings.Repeat("0", 64) + ",v1=" + good, ""},
		"malformed ones are skipped": {"t=" + nowText + ",v1=zz,v1=" + good, ""},
		"duplicate unknown elements": {"t=" + nowText + ",x=1,x=2,y,v1=" + good, ""},
		"two equal timestamps":       {"t=" + nowText + ",t=" + nowText + ",v1=" + good, Malformed},
		"two different timestamps":   {"t=" + nowText + ",v1=" + good + ",t=1", Malformed},
		"no timestamp":               {"v1=" + good, Malformed},
		"an empty timestamp":         {"t=,v1=" + good, Malformed},
		"space before an element":    {"t=" + nowText + ", v1=" + good, MissingSignature},
		"junk after the signature":   {"t=" + nowText + ",v1=" + good + "=junk", Malformed},
		"only malformed signatures":  {"t=" + nowText + ",v1=zz,v1=", Malformed},
		"too many parts":             {"t=" + nowText + ",v1=" + good + strings.Repeat(",x=1", maxElements), Malformed},
		"only separators":            {",,,,", MissingSignature},
	} {
		t.Run(name, func(t *testing.T) {
			r := post("{}", "Stripe-Signature", c.header)
			want(t, v, r, c.kind)
			wantHeaders(t, v, r, c.kind)
		})
	}
}

func TestEveryMatchingSecretIsReported(t *testing.T) {
	v := compile(t, stripeScheme(), "old", "new", "third")
	sign := func(secrets ...string) *Request {
		parts := []string{"t=" + nowText}
		for _, s := range secrets {
			parts = append(parts, "v1="+hexOf(mac(s, nowText+".{}")))
		}
		return post("{}", "Stripe-Signature", strings.Join(parts, ","))
	}
	for _, c := range []struct {
		name   string
		r      *Request
		labels string
	}{
		{"one", sign("new"), "2"},
		{"two, in either order", sign("new", "old"), "12"},
		{"a duplicate signature counts once", sign("old", "old"), "1"},
		{"an attacker's signatures in the list", sign("attacker", "third", "attacker", "old"), "13"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := want(t, v, c.r, "")
			var matched []string
			for _, m := range d.Matches {
				matched = append(matched, m.Secret.Label)
			}
			if labels := strings.Join(matched, ""); labels != c.labels {
				t.Errorf("matched %q, want %q", labels, c.labels)
			}
			for i, m := range d.Matches {
				for _, other := range d.Matches[:i] {
					if bytes.Equal(m.Digest, other.Digest) || m.Secret.Fingerprint == other.Secret.Fingerprint {
						t.Error("two secrets have the same digest or fingerprint")
					}
				}
			}
		})
	}
}

func TestEachSignatureSetHasItsOwnTimestamp(t *testing.T) {
	s := stripeScheme()
	s.Signature.SetSeparator = " "
	v := compile(t, s, "secret")
	set := func(at, signedAt string) string { return "t=" + at + ",v1=" + hexOf(mac("secret", signedAt+".{}")) }
	for name, c := range map[string]struct {
		header string
		kind   RefusalKind
	}{
		"one":                                {set(nowText, nowText), ""},
		"two":                                {set("1759999999", "1759999999") + " " + set(nowText, nowText), ""},
		"only the second is genuine":         {set(nowText, "1") + " " + set(nowText, nowText), ""},
		"swapped timestamps":                 {set(nowText, "1759999999") + " " + set("1759999999", nowText), InvalidSignature},
		"a fresh one and a stale one":        {set(nowText, nowText) + " " + set("1", "1"), Stale},
		"a forged fresh one and a stale one": {set(nowText, "1") + " " + set("1", "1"), Stale},
		"more than four":                     {strings.Repeat(set(nowText, nowText)+" ", 4) + set(nowText, nowText), Malformed},
	} {
		t.Run(name, func(t *testing.T) { want(t, v, post("{}", "Stripe-Signature", c.header), c.kind) })
	}
}

func TestAdditionalHeadersCanContainTheSignature(t *testing.T) {
	s := githubScheme()
	s.Signature = SignatureField{Field: inHeader("X-Sig"), Also: []string{"X-Sig-#"}}
	v := compile(t, s, "secret")
	good, bad := hexOf(mac("secret", "b")), strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		headers []string
		kind    RefusalKind
	}{
		"the first":          {[]string{"X-Sig", good}, ""},
		"an additional one":  {[]string{"X-Sig", bad, "X-Sig-1", bad, "X-Sig-2", good}, ""},
		"after a gap":        {[]string{"X-Sig-1", bad, "X-Sig-3", good}, ""},
		"none genuine":       {[]string{"X-Sig", bad, "X-Sig-1", bad}, InvalidSignature},
		"a duplicate header": {[]string{"X-Sig", good, "X-Sig-1", good, "X-Sig-1", good}, Malformed},
		"none":               {nil, MissingSignature},
	} {
		t.Run(name, func(t *testing.T) {
			r := post("b", c.headers...)
			want(t, v, r, c.kind)
			if got := v.Present(r); got != (c.kind != MissingSignature) {
				t.Errorf("present: %t", got)
			}
		})
	}
}

func TestNumberedHeadersCanContainTheSignature(t *testing.T) {
	s := githubScheme()
	s.Signature = SignatureField{Field: inHeader("X-Sig-#")}
	v := compile(t, s, "secret")
	r := post("b", "X-Sig-1", strings.Repeat("0", 64), "X-Sig-2", hexOf(mac("secret", "b")))
	want(t, v, r, "")
	if !v.Present(r) || !v.Present(post("b", "X-Sig-2", "00")) || v.Present(post("b", "X-Sig-101", "00")) {
		t.Error("Present and Verify find different headers")
	}
}
