package catalogue

import (
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// webSubSchemes are the methods that a hub can choose. SHA-1, which the specification
// allows, is used only if it is configured.
// https://www.w3.org/TR/websub/#signing-content
var webSubSchemes = []signature.Scheme{
	scheme(signature.HMACSHA256, hexIn("X-Hub-Signature", "sha256=")),
	scheme(signature.HMACSHA384, hexIn("X-Hub-Signature", "sha384=")),
	scheme(signature.HMACSHA512, hexIn("X-Hub-Signature", "sha512=")),
	scheme(signature.HMACSHA1, hexIn("X-Hub-Signature", "sha1=")),
}
