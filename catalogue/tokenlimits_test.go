package catalogue

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// TestInvariant12ClaimsAreReadWithinLimits: the claims of a token are read before its
// signature is verified.
func TestInvariant12ClaimsAreReadWithinLimits(t *testing.T) {
	numbered := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"c%d":%d,`, i, i)
		}
		return b.String()
	}
	for _, c := range []struct {
		what, claims string
		accepted     bool
	}{
		{"usual", `{"iss":"me"}`, true},
		{"a long list", `{"a":[` + strings.Repeat("[],", 10000) + `[]],"iss":"me"}`, true},
		{"a long name", `{"` + strings.Repeat("n", 10000) + `":1,"iss":"me"}`, true},
		{"as many as are accepted", `{` + numbered(maxClaims-1) + `"iss":"me"}`, true},
		{"one more", `{` + numbered(maxClaims) + `"iss":"me"}`, false},
		{"a duplicate", `{"iss":"you","iss":"me"}`, false},
		{"an escaped duplicate", `{"\u0069ss":"you","iss":"me"}`, false},
		{"an escaped name", `{"\u0069ss":"me"}`, true},
		{"nested too deep", `{"iss":"me","a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, false},
		{"a list", `["iss"]`, false},
		{"data after the end", `{"iss":"me"}{}`, false},
		{"incomplete", `{"iss":"me"`, false},
		{"empty", "", false},
	} {
		values, err := readClaims([]byte(c.claims))
		_, refused := errors.AsType[*signature.Refusal](err)
		if refused == c.accepted || (c.accepted && (claims{values: values}).text("iss") != "me") {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	values, err := readClaims([]byte(`{"text":"t\n","number":1700000000.5,"words":"1700000000","yes":true,"no":false,"null":null,"digits":` + strings.Repeat("1", 100) + `}`))
	if err != nil {
		t.Fatal(err)
	}
	c := claims{values: values}
	if at, ok := c.time("number"); !ok || at.Unix() != 1700000000 {
		t.Errorf("number: %v, %t", at, ok)
	}
	for _, name := range []string{"words", "yes", "null", "digits", "missing"} {
		if at, ok := c.time(name); ok {
			t.Errorf("%s is a time: %v", name, at)
		}
	}
	for _, name := range []string{"number", "yes", "null", "missing"} {
		if text := c.text(name); text != "" {
			t.Errorf("%s is a text: %q", name, text)
		}
	}
	if c.text("text") != "t\n" || !c.isTrue("yes") || c.isTrue("no") || c.isTrue("text") || !c.has("null") || c.has("missing") {
		t.Error("the claims differ")
	}
}

// TestInvariant12HeadersOfTokensAreBounded: the library decodes each member of the
// header before it verifies the signature.
func TestInvariant12HeadersOfTokensAreBounded(t *testing.T) {
	for _, rules := range []*tokenRules{
		{header: "Authorization", algorithms: hs256},
		{header: "X-Signature", algorithms: hs256, detached: detachedBody},
		{algorithms: hs256},
	} {
		for length, accepted := range map[int]bool{100: true, maxTokenHeader: true, maxTokenHeader + 4: false, 1 << 20: false} {
			members := `{"alg":"HS256","x":"` + strings.Repeat("x", length*3/4-len(`{"alg":"HS256","x":""}`)) + `"}`
			token := base64.RawURLEncoding.EncodeToString([]byte(members)) + "."
			if rules.detached == nil {
				token += "e30"
			}
			_, err := (&tokenVerifier{rules: rules}).parse(token + "." + strings.Repeat("x", 43))
			if (err == nil) != accepted {
				t.Errorf("a header of %d bytes, %+v: %v", length, rules, err)
			}
		}
	}
}

// TestSignaturesOfBodyTokensUseOneAlgorithm: tokens that are whole bodies are verified
// without the library, which would copy them.
func TestSignaturesOfBodyTokensUseOneAlgorithm(t *testing.T) {
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for header, accepted := range map[string]bool{
		`{"alg":"RS256"}`:                            true,
		`{"alg":"RS256","typ":"JWT","kid":"1"}`:      true,
		`{"alg":"HS256"}`:                            false,
		`{"alg":"none"}`:                             false,
		`{"alg":"RS256","alg":"RS256"}`:              false,
		`{"alg":"RS256","crit":["exp"]}`:             false,
		`{"alg":"RS256","b64":false,"crit":["b64"]}`: false,
		`{}`:       false,
		`not JSON`: false,
	} {
		text := encode(header) + "." + encode(`{"a":1}`) + "." + encode("signature")
		token, err := parseBodyToken(text, []jose.SignatureAlgorithm{jose.RS256})
		if (err == nil) != accepted {
			t.Errorf("%s: %v", header, err)
		}
		if err == nil && (string(token.payload) != `{"a":1}` || token.signed != encode(header)+"."+encode(`{"a":1}`)) {
			t.Errorf("%s: payload %q, signed %q", header, token.payload, token.signed)
		}
	}
	for _, text := range []string{"", ".", "..", "a.b", encode(`{"alg":"RS256"}`) + "." + encode("{}"), encode(`{"alg":"RS256"}`) + ".e30.x.y"} {
		if _, err := parseBodyToken(text, []jose.SignatureAlgorithm{jose.RS256}); err == nil {
			t.Errorf("%q is a token", text)
		}
	}
}
