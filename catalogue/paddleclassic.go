package catalogue

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// paddleClassicValues serializes the form fields like PHP's serialize() does for an
// array of strings sorted with ksort().
// https://classic.paddle.com/webhooks/verifying-webhooks/
func paddleClassicValues(_ *provider.Module, r *signature.Request) ([]map[string]string, error) {
	form, err := r.Form()
	if err != nil {
		return nil, err
	}
	if single(form, "p_signature") == "" {
		return nil, signature.Refuse(signature.MissingSignature, "missing p_signature")
	}
	var b strings.Builder
	b.Grow(int(r.Body.Size()) + 40*len(form))
	fmt.Fprintf(&b, "a:%d:{", len(form)-1)
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if name == "p_signature" {
			continue
		}
		if len(form[name]) != 1 {
			return nil, signature.Refuse(signature.Malformed, "the form field %s appears %d times", name, len(form[name]))
		}
		for _, text := range []string{name, form[name][0]} {
			b.WriteString("s:" + strconv.Itoa(len(text)) + `:"`)
			b.WriteString(text)
			b.WriteString(`";`)
		}
	}
	b.WriteString("}")
	return []map[string]string{{"serialized": b.String()}}, nil
}
