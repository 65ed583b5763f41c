package catalogue

import (
	"strconv"

	"golang.org/x/text/unicode/norm"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// compatibilityDecomposed normalizes a secret as EasyPost does before using it.
// npm @easypost/api, src/utils/util.js
func compatibilityDecomposed(secret string) (string, error) { return norm.NFKD.String(secret), nil }

// labelled sets the label of an identity to its position if it has none.
func labelled(id signature.Identity, position int) signature.Identity {
	if id.Label == "" {
		id.Label = strconv.Itoa(position + 1)
	}
	return id
}
