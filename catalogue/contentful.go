package catalogue

import (
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// contentfulValues spells path and headers as Contentful signs them. Which
// headers are signed stands in one of them, which must list itself and the
// timestamp.
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
			return nil, signature.Refuse(signature.Malformed, "the signed header %s comes %d times", name, len(values))
		}
		lines = append(lines, name+":"+strings.TrimSpace(values[0]))
	}
	if err := checkSignedHeaders(lines); err != nil {
		return nil, err
	}
	if len(r.RequestURI) > maxContentfulURL {
		return nil, signature.Refuse(signature.Malformed, "path and query have more than %d bytes", maxContentfulURL)
	}
	path, query, found := strings.Cut(r.RequestURI, "?")
	if found {
		path += "?" + escapeComponent(query)
	}
	return []map[string]string{{"path": encodeURI(path), "headers": strings.Join(lines, ";")}}, nil
}

// maxContentfulURL is more than a webhook's URL has, in bytes. The query is
// escaped twice, to five times its length.
const maxContentfulURL = 16 << 10

const (
	unreserved    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()"
	uriCharacters = unreserved + ";/?:@&=+$,#"
)

// escapeComponent escapes as querystring.escape of Node does.
func escapeComponent(text string) string { return escapeBut(text, unreserved) }

// encodeURI escapes as encodeURI of JavaScript does.
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
