package catalogue

import (
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// canonicalToken refuses a token of which a part is not in the only encoding of its
// bytes. The library ignores line breaks and unused bits, so that a copy of a delivery
// could differ from it.
func canonicalToken(text string) (string, error) {
	for part := range strings.SplitSeq(text, ".") {
		_, err := strictURL.DecodeString(part[len(part)-len(part)%4:])
		if err != nil || strings.ContainsAny(part, "\r\n") {
			return "", signature.Refuse(signature.Malformed, "the token is not in canonical base64url")
		}
	}
	return text, nil
}
