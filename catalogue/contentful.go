package catalogue

import (
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// contentfulValues formats path and headers as Contentful signs them. A header lists
// the signed headers, and must list itself and the timestamp.
// https://www.contentful.com/developers/docs/webhooks/request-verification/
func contentfulValues(_ *provider.Module, r *signature.Request) ([]map[string]string, error) {
	const list, stamp = "x-contentful-signed-headers", "x-contentful-timestamp"
	names := strings.SplitN(strings.ToLower(r.Header.Get(list)), ",", maxSignedHeaders+1)
	if len(names) > maxSignedHeaders {
		return nil, signature.Refuse(signature.Malformed, "%s lists more than %d headers", list, maxSignedHeaders)
	}
	if !slices.Contains(names, list) || !slices.Contains(names, stamp) {
		return nil, signature.Refuse(signature.Malformed, "%s does not list itself and the timestamp", list)
	}
	slices.Sort(names)
	var lines []string
	for i, name := range names {
		values := r.Header.Values(name)
		if len(values) != 1 || (i > 0 && names[i-1] == name) {
			return nil, signature.Refuse(signature.Malformed, "the signed header %s appears %d times", name, len(values))
		}
		lines = append(lines, name+":"+strings.TrimSpace(values[0]))
	}
	if err := checkSignedHeaders(lines); err != nil {
		return nil, err
	}
	if len(r.RequestURI) > maxContentfulURL {
		return nil, signature.Refuse(signature.Malformed, "path and query are longer than %d bytes", maxContentfulURL)
	}
	path, query, found := strings.Cut(r.RequestURI, "?")
	if found {
		path += "?" + escapeComponent(query)
	}
	return []map[string]string{{"path": encodeURI(path), "headers": strings.Join(lines, ";")}}, nil
}

// maxContentfulURL exceeds the length of webhook URLs, in bytes. The query is escaped
// twice, to five times its length.
const maxContentfulURL = 16 << 10

const (
	unreserved    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()"
	uriCharacters = unreserved + ";/?:@&=+$,#"
)

// escapeComponent escapes like querystring.escape in Node.
func escapeComponent(text string) string { return escapeBut(text, unreserved) }

// encodeURI escapes like encodeURI in JavaScript.
func encodeURI(text string) string { return escapeBut(text, uriCharacters) }

func escapeBut(text, keep string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(text))
	for i := range len(text) {
		if c := text[i]; strings.IndexByte(keep, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}
