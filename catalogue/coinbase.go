package catalogue

import (
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// coinbaseValues joins the values of the headers listed in h. A missing header counts
// as empty. Together with the body they identify a delivery, since the time differs on
// a retry.
// https://docs.cdp.coinbase.com/webhooks/verify-signatures
func coinbaseValues(_ *provider.Module, r *signature.Request) ([]map[string]string, error) {
	var list string
	var values []string
	for part := range strings.SplitSeq(r.Header.Get("X-Hook0-Signature"), ",") {
		names, ok := strings.CutPrefix(part, "h=")
		if !ok {
			continue
		}
		list = names
		for name := range strings.FieldsSeq(names) {
			if len(values) == maxSignedHeaders {
				return nil, signature.Refuse(signature.Malformed, "the signature lists more than %d headers", maxSignedHeaders)
			}
			if all := r.Header.Values(name); len(all) > 1 {
				return nil, signature.Refuse(signature.Malformed, "the header %s appears %d times", name, len(all))
			}
			values = append(values, r.Header.Get(name))
		}
	}
	if err := checkSignedHeaders(values); err != nil {
		return nil, err
	}
	headers := strings.Join(values, ".")
	return []map[string]string{{"headers": headers, "beside": list + "." + headers + "."}}, nil
}

const (
	// maxSignedHeaders is the maximum number of headers that a signature can list.
	maxSignedHeaders = 32
	// maxSignedHeaderBytes is the maximum total length of the signed headers, in
	// bytes: a long header could be listed many times.
	maxSignedHeaderBytes = 64 << 10
)

func checkSignedHeaders(values []string) error {
	total := 0
	for _, value := range values {
		total += len(value)
	}
	if total > maxSignedHeaderBytes {
		return signature.Refuse(signature.Malformed, "the signed headers are longer than %d bytes", maxSignedHeaderBytes)
	}
	return nil
}
