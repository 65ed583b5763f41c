package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"mime"
	"regexp"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
)

// compactToken matches a JSON Web Signature in compact form.
var compactToken = regexp.MustCompile(`[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{16,}`)

// manyTokens replaces header or claims of a genuine token, in a body or in a header,
// by long ones.
func manyTokens(q conformance.Request, size int) []conformance.Request {
	var out []conformance.Request
	if token := compactToken.Find(q.Body); token != nil {
		for _, long := range longTokens(string(token), size) {
			out = append(out, with(q, bytes.Replace(q.Body, token, []byte(long), 1)))
		}
	}
	for name, values := range q.Headers {
		token := compactToken.FindString(values[0])
		if token == "" {
			continue
		}
		for _, most := range []int{min(size, maxHeaders), 7 << 10} { // some limit a token to 8 KiB
			for _, long := range longTokens(token, most) {
				longer := clone(q)
				longer.Headers[name] = []string{strings.Replace(values[0], token, long, 1)}
				out = append(out, longer)
			}
		}
	}
	return out
}

// longTokens returns tokens of about size bytes with the same members and one long
// one more, in the header or in the claims.
func longTokens(token string, size int) []string {
	parts := strings.Split(token, ".")
	room := size*3/4 - len(token)
	if room <= 0 {
		return nil
	}
	var out []string
	for i := range 2 {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		var members map[string]any
		if err != nil || json.Unmarshal(text, &members) != nil || len(members) == 0 {
			continue
		}
		for _, long := range longMembers(room) {
			longer := slices.Clone(parts)
			joined := slices.Concat(text[:bytes.LastIndexByte(text, '}')], []byte(","), long, []byte("}"))
			longer[i] = base64.RawURLEncoding.EncodeToString(joined)
			out = append(out, strings.Join(longer, "."))
		}
		for name := range members {
			longer, changed := slices.Clone(parts), maps.Clone(members)
			changed[name] = strings.Repeat("x", room)
			if raw, err := json.Marshal(changed); err == nil {
				longer[i] = base64.RawURLEncoding.EncodeToString(raw)
				out = append(out, strings.Join(longer, "."))
			}
		}
	}
	return out
}

// withTokenMember adds text to the header (0) or the claims (1) of a genuine token.
func withTokenMember(q conformance.Request, part int, text string) conformance.Request {
	q = clone(q)
	changed := func(token string) string {
		parts := strings.Split(token, ".")
		members, err := base64.RawURLEncoding.DecodeString(parts[part])
		if err != nil || !bytes.HasSuffix(members, []byte("}")) {
			return token
		}
		parts[part] = base64.RawURLEncoding.EncodeToString(slices.Concat(members[:len(members)-1], []byte(text), []byte("}")))
		return strings.Join(parts, ".")
	}
	q.Body = []byte(compactToken.ReplaceAllStringFunc(string(q.Body), changed))
	for _, values := range q.Headers {
		values[0] = compactToken.ReplaceAllStringFunc(values[0], changed)
	}
	return q
}

// withPartHeaders adds text to the headers of parts of a multipart body.
func withPartHeaders(q conformance.Request, text string, times int) conformance.Request {
	const line = "--x"
	part := line + "\r\nContent-Disposition: form-data" + text + "\r\n\r\n\r\n"
	q = with(q, []byte(strings.Repeat(part, times)+line+"--"))
	q.Headers["Content-Type"] = []string{"multipart/form-data; boundary=x"}
	return q
}

// smallCertificate is an X.509 certificate in base64, as in x5c.
const smallCertificate = "MIIBAjCBqaADAgECAgEBMAoGCCqGSM49BAMCMAwxCjAIBgNVBAMMAWEwHhcNMjUwMTAxMDAwMDAwWhcNMzUwMTAxMDAwMDAwWjAMMQowCAYDVQQDDAFhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAA=="

// longMembers returns members with long values, of about size bytes each.
func longMembers(size int) [][]byte {
	size = max(size, 64)
	return [][]byte{
		fill(`"a":[`, "[],", "[]]", size), fill(`"a":[`, "{},", "{}]", size), fill(`"a":[`, "1,", "1]", size), numbered("", `"%x":1,`, `"z":1`, size),
		fill(`"a":"`, `\n`, `"`, size), fill(`"x5c":[`, `"",`, `""]`, size), fill(`"x5c":[`, `"`+smallCertificate+`",`, `""]`, size),
		fill(`"x5c":{"a":"`, `\"`, `"}`, size), fill(`"kid":{"a":"`, `\"`, `"}`, size), fill(`"kid":["`, `\"`, `"]`, size),
		fill(`"jwk":{"kty":"RSA","e":"AQAB","n":"`, "x", `"}`, size), fill(`"jwk":{"kty":"RSA","n":"AQAB","e":"`, "x", `"}`, size),
		fill(`"jwk":{"kty":"RSA","e":"AQAB","n":"xxxx","x5c":[`, `"",`, `""]}`, size), fill(`"jwk":{"a":"`, `\"`, `"}`, size),
	}
}

// longPartHeaders fills the headers of the parts of a multipart body.
func longPartHeaders(q conformance.Request, size int) []conformance.Request {
	for name, values := range q.Headers {
		if !strings.EqualFold(name, "Content-Type") || len(values) == 0 {
			continue
		}
		_, params, err := mime.ParseMediaType(values[0])
		if err != nil || params["boundary"] == "" {
			continue
		}
		line := "--" + params["boundary"]
		var out []conformance.Request
		for _, most := range []int{100, 1000, 7 << 10} {
			for _, parameters := range [][]byte{
				numbered("", ";%x=a", "", 40), numbered("", ";%x=a", "", most), numbered("", `;a*%d=x`, "", most), numbered("", `;a*%d*=%%41`, "", most), fill("", `\"`, "", most), fill(`;name="`, `\"`, `"`, most), fill(`;name="`, `é`, `"`, most),
			} {
				part := line + "\r\nContent-Disposition: form-data" + string(parameters) + "\r\n\r\n\r\n"
				n := min(999, max(1, size/len(part)))
				out = append(out, with(q, []byte(strings.Repeat(part, n)+line+"--")))
			}
			lines := fill(line+"\r\n", "A:\r\n", "Content-Disposition: form-data; name=a\r\n\r\n\r\n", most+100)
			out = append(out, with(q, slices.Concat(bytes.Repeat(lines, min(999, max(1, size/len(lines)))), []byte(line+"--"))))
		}
		return out
	}
	return nil
}

// severalSignatures repeats the genuine signature, in all numbers that some provider
// accepts.
func severalSignatures(q conformance.Request, size int) []conformance.Request {
	var out []conformance.Request
	long := fill("", "x", "", size)
	for name, values := range q.Headers {
		if len(values[0]) < 32 {
			continue // not a signature
		}
		value := spoiled(values[0])
		for _, separator := range []string{" ", ",", ", ", ";", "; "} {
			for _, n := range []int{2, 8} {
				longer := clone(q)
				longer.Headers[name] = []string{strings.Join(slices.Repeat([]string{value}, n), separator)}
				out = append(out, with(longer, long))
			}
		}
		for _, n := range []int{2, 8} {
			longer := clone(q)
			longer.Headers[name] = slices.Repeat([]string{value}, n)
			out = append(out, with(longer, long))
		}
	}
	return out
}
