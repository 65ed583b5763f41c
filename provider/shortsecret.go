package provider

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// ShortSecret is the number of characters below which a shared secret can be found from
// one delivery by trying.
const ShortSecret = 12

// shortSecrets returns the labels of short secrets. Public keys are long, and the part
// before a colon is the name of a user, a key or an algorithm.
func shortSecrets(secrets []signature.Secret) (labels []string) {
	for i, s := range secrets {
		text := string(s.Reveal())
		text = text[strings.IndexByte(text, ':')+1:]
		if len(strings.TrimPrefix(text, "whsec_")) < ShortSecret {
			labels = append(labels, cmp.Or(s.Label(), strconv.Itoa(i+1)))
		}
	}
	return labels
}
