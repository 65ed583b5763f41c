package provider

import (
	"strings"
	"unicode/utf8"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func hygraphSignature() signature.SignatureField {
	f := listIn("gcms-signature", ", ", "sign")
	f.Encoding = signature.Base64
	return f
}

// hygraphValues spells the JSON document that is signed, which holds the body
// as a string.
// npm @hygraph/utils, index.js
func hygraphValues(_ *Module, r *signature.Request) ([]map[string]string, error) {
	body, err := signature.BodyBytes(r.Body)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(body) {
		return nil, signature.Refuse(signature.Malformed, "the body is not UTF-8, which Hygraph signs alone")
	}
	return []map[string]string{{
		"before": `{"Body":"`, "body": escapeAsJavaScript(string(body)),
		"between": `","EnvironmentName":"`, "after": `","TimeStamp":`, "end": "}",
	}}, nil
}

// escapeAsJavaScript escapes what JSON.stringify does, which is less than
// encoding/json does.
func escapeAsJavaScript(text string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	b.Grow(len(text) + len(text)/8)
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c >= ' ':
			b.WriteByte(c)
		case strings.IndexByte("\b\t\n\f\r", c) >= 0:
			b.WriteByte('\\')
			b.WriteByte("btn fr"[c-'\b'])
		default:
			b.WriteString(`\u00`)
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}
