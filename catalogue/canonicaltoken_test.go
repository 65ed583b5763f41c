package catalogue

import (
	"strings"
	"testing"
)

// A token has one spelling: the library accepts line breaks inside of it, and bits that
// are not used.
func TestTokenHasOneSpelling(t *testing.T) {
	const token = "eyJhbGciOiJIUzI1NiJ9.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for _, genuine := range []string{token, "eyJhbGciOiJIUzI1NiJ9..AAAA"} {
		if _, err := canonicalToken(genuine); err != nil {
			t.Errorf("%s: %v", genuine, err)
		}
	}
	for what, other := range map[string]string{
		"a line break":                    "eyJhbGciOiJIUzI1\nNiJ9.e30.AAAA",
		"a carriage return in the claims": strings.Replace(token, "e30", "e\r30", 1),
		"a line break at the start":       "\n" + token,
		"unused bits in the claims":       strings.Replace(token, "e30", "e31", 1),
		"unused bits in the signature":    token[:len(token)-1] + "B",
		"a part of one character":         "eyJhbGciOiJIUzI1NiJ9.e.AAAA",
	} {
		if _, err := canonicalToken(other); err == nil {
			t.Errorf("a token with %s is accepted", what)
		}
	}
}
