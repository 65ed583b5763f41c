package conformance_test

import (
	"bytes"
	"compress/gzip"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
)

// This file changes genuine requests in the ways that need no secret, for
// TestChangedCopyIsNotNew.

// change is one way to change a request without the secret.
type change struct {
	what  string
	apply func(conformance.Request) conformance.Request
}

// changes returns the changes for a request.
func changes(q conformance.Request) []change {
	all := targetChanges(q)
	all = append(all, headerChanges(q)...)
	all = append(all, addedHeaders(q)...)
	return append(all, bodyChanges(q)...)
}

func targetChanges(q conformance.Request) []change {
	var all []change
	method := func(m string) {
		all = append(all, change{"method " + m, func(q conformance.Request) conformance.Request { q = clone(q); q.Method = m; return q }})
	}
	for _, m := range []string{"GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "post", "Post", "get"} {
		method(m)
	}
	at := func(what string, f func(string) string) {
		all = append(all, change{what, func(q conformance.Request) conformance.Request {
			q = clone(q)
			if u := f(q.URL); u != q.URL {
				if _, err := url.Parse(u); err == nil {
					q.URL = u
				}
			}
			return q
		}})
	}
	at("scheme", func(u string) string {
		if s, ok := strings.CutPrefix(u, "https:"); ok {
			return "http:" + s
		}
		return strings.Replace(u, "http:", "https:", 1)
	})
	host := func(what string, f func(string) string) {
		at("host "+what, func(u string) string {
			p, err := url.Parse(u)
			if err != nil {
				return u
			}
			return strings.Replace(u, "//"+p.Host, "//"+f(p.Host), 1)
		})
	}
	host("port 443", func(h string) string { return strings.Split(h, ":")[0] + ":443" })
	host("port 80", func(h string) string { return strings.Split(h, ":")[0] + ":80" })
	host("port 8443", func(h string) string { return strings.Split(h, ":")[0] + ":8443" })
	host("no port", func(h string) string { return strings.Split(h, ":")[0] })
	host("upper", strings.ToUpper)
	host("dot", func(h string) string { return h + "." })
	host("other", func(h string) string { return "evil.test" })
	path := func(what string, f func(string) string) {
		at("path "+what, func(u string) string {
			h, rest, _ := cut(u)
			p, q, has := strings.Cut(rest, "?")
			p = f(p)
			if has {
				p += "?" + q
			}
			return h + p
		})
	}
	path("slash", func(p string) string { return p + "/" })
	path("no slash", func(p string) string { return strings.TrimRight(p, "/") })
	path("double slash", func(p string) string { return "/" + p })
	path("dot", func(p string) string { return "/." + p })
	path("encoded slash", func(p string) string { return p + "%2f" })
	path("semicolon", func(p string) string { return p + ";x=1" })
	path("encoded", func(p string) string {
		if len(p) < 2 {
			return p
		}
		return p[:1] + fmt.Sprintf("%%%02x", p[1]) + p[2:]
	})
	path("ENCODED", func(p string) string {
		if len(p) < 2 {
			return p
		}
		return p[:1] + fmt.Sprintf("%%%02X", p[len(p)-1]) + p[2:]
	})
	path("upper", strings.ToUpper)
	path("other", func(string) string { return "/evil" })
	query := func(what string, f func(string) string) {
		at("query "+what, func(u string) string {
			h, rest, _ := cut(u)
			p, q, _ := strings.Cut(rest, "?")
			if q = f(q); q != "" {
				p += "?" + q
			}
			return h + p
		})
	}
	query("added", func(q string) string { return strings.TrimPrefix(q+"&x=1", "&") })
	query("added before", func(q string) string { return strings.TrimSuffix("x=1&"+q, "&") })
	query("empty", func(q string) string { return "" })
	query("ampersand", func(q string) string { return q + "&" })
	query("ampersand before", func(q string) string { return "&" + q })
	query("semicolon", func(q string) string { return q + ";x=1" })
	query("twice", func(q string) string { return q + "&" + q })
	query("reversed", func(q string) string {
		parts := strings.Split(q, "&")
		slices.Reverse(parts)
		return strings.Join(parts, "&")
	})
	query("plus", func(q string) string { return strings.ReplaceAll(q, "%20", "+") })
	query("space", func(q string) string { return strings.ReplaceAll(q, "+", "%20") })
	query("lower escapes", lowerEscapes)
	query("upper escapes", upperEscapes)
	query("escaped", escapeOne)
	query("bodySHA256", func(q string) string { return strings.TrimPrefix(q+"&bodySHA256=00", "&") })
	if strings.Contains(q.URL, "?") {
		all = append(all, change{"query moved to body", func(q conformance.Request) conformance.Request {
			q = clone(q)
			var query string
			q.URL, query, _ = strings.Cut(q.URL, "?")
			q.Body = append(q.Body, query...)
			return q
		}})
	}
	return all
}

func cut(u string) (host, rest string, ok bool) {
	i := strings.Index(u, "://")
	if i < 0 {
		return "", u, false
	}
	j := strings.IndexAny(u[i+3:], "/?")
	if j < 0 {
		return u, "/", true
	}
	return u[:i+3+j], u[i+3+j:], true
}

func lowerEscapes(q string) string {
	b := []byte(q)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i:], bytes.ToLower(b[i:i+3]))
		}
	}
	return string(b)
}

func upperEscapes(q string) string {
	b := []byte(q)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i:], bytes.ToUpper(b[i:i+3]))
		}
	}
	return string(b)
}

// escapeOne escapes the last letter.
func escapeOne(q string) string {
	for i := len(q) - 1; i > 2; i-- {
		if 'a' <= q[i] && q[i] <= 'z' && q[i-1] != '%' && q[i-2] != '%' {
			return q[:i] + fmt.Sprintf("%%%02X", q[i]) + q[i+1:]
		}
	}
	return q
}

// headerChanges changes each header of the request.
func headerChanges(q conformance.Request) []change {
	var all []change
	for name, values := range q.Headers {
		set := func(what string, values ...string) {
			all = append(all, change{what + " of " + name, func(q conformance.Request) conformance.Request { return withHeader(q, name, values...) }})
		}
		v := ""
		if len(values) > 0 {
			v = values[0]
		}
		set("removal")
		set("emptying", "")
		set("repetition", append(slices.Clone(values), v)...)
		set("repetition empty", append(slices.Clone(values), "")...)
		set("empty first", append([]string{""}, values...)...)
		set("repetition with another", append(slices.Clone(values), "x")...)
		set("another first", append([]string{"x"}, values...)...)
		set("another value", "x")
		set("space around", " "+v+" ")
		set("tab around", "\t"+v+"\t")
		set("comma after", v+",")
		set("comma before", ","+v)
		set("joined", v+", "+v)
		set("upper case", strings.ToUpper(v))
		set("lower case", strings.ToLower(v))
		set("letter added", v+"a")
		set("nbsp", v+"\u00a0")
		for what, text := range spellings(v) {
			set(what, text)
		}
		for what, text := range signatureSpellings(v) {
			set(what, text)
		}
	}
	return all
}

// spellings returns other spellings of a value that can be a time, a token or base64.
func spellings(v string) map[string]string {
	s := map[string]string{
		"plus": "+" + v, "zero before": "0" + v, "zeros": "000" + v, "point": v + ".0", "thousand": v + "000", "minus": "-" + v, "exponent": v + "e0", "underscore": v[:min(1, len(v))] + "_" + v[min(1, len(v)):],
		"one": v + "1", "quoted": `"` + v + `"`, "semicolon": v + ";", "parameter": v + "; x=y",
		"hex 0x":       "0x" + v,
		"url alphabet": strings.NewReplacer("+", "-", "/", "_").Replace(v), "std alphabet": strings.NewReplacer("-", "+", "_", "/").Replace(v),
		"no padding": strings.TrimRight(v, "="), "padding": v + "=", "padding 2": v + "==",
		"truncated": v[:max(0, len(v)-2)], "truncated half": v[:len(v)/2],
		"Z": strings.Replace(v, "Z", "+00:00", 1), "z": strings.Replace(v, "Z", "z", 1), "fraction": strings.Replace(v, "Z", ".000Z", 1), "T": strings.Replace(v, "T", " ", 1), "t": strings.Replace(v, "T", "t", 1),
		"GMT":       strings.Replace(v, "GMT", "UTC", 1),
		"no spaces": strings.ReplaceAll(v, " ", ""), "double spaces": strings.ReplaceAll(v, " ", "  "), "space after comma": strings.ReplaceAll(v, ",", ", "), "no space after comma": strings.ReplaceAll(v, ", ", ","),
		"space around =": strings.ReplaceAll(v, "=", " = "), "percent": escapeOne(v), "lower percent": lowerEscapes(v),
		"more signatures": v + ",v1=00", "more signatures space": v + " v1,AAAA", "unknown part": v + ",zz=1", "unknown part before": "zz=1," + v, "unknown part ;": v + ";zz=1", "unknown part space": v + " v9,AAAA",
	}
	if bits := strayBits(v); bits != "" {
		s["stray bits"] = bits
	}
	for _, sep := range []string{",", " ", ";", "&", ", ", "; ", ".", ":"} {
		parts := strings.Split(v, sep)
		if len(parts) < 2 || len(parts) > 12 {
			continue
		}
		r := slices.Clone(parts)
		slices.Reverse(r)
		s["parts reversed at "+sep] = strings.Join(r, sep)
		s["parts twice at "+sep] = strings.Join(slices.Concat(parts, parts), sep)
		for i := range parts {
			s[fmt.Sprintf("part %d less at %s", i, sep)] = strings.Join(slices.Delete(slices.Clone(parts), i, i+1), sep)
			s[fmt.Sprintf("part %d twice at %s", i, sep)] = strings.Join(slices.Insert(slices.Clone(parts), i, parts[i]), sep)
			p := slices.Clone(parts)
			p[i] = strings.ToUpper(p[i])
			s[fmt.Sprintf("part %d upper at %s", i, sep)] = strings.Join(p, sep)
			p = slices.Clone(parts)
			p[i] = " " + p[i]
			s[fmt.Sprintf("part %d space at %s", i, sep)] = strings.Join(p, sep)
			p[i] = parts[i] + "="
			s[fmt.Sprintf("part %d padded at %s", i, sep)] = strings.Join(p, sep)
			if b := strayBits(parts[i]); b != "" {
				p[i] = b
				s[fmt.Sprintf("part %d stray bits at %s", i, sep)] = strings.Join(p, sep)
			}
			if name, value, ok := strings.Cut(parts[i], "="); ok {
				for what, text := range map[string]string{"0": "0" + value, "+": "+" + value, ".0": value + ".0", "000": value + "000", "upper": strings.ToUpper(value), "quoted": `"` + value + `"`, "unquoted": strings.Trim(value, `"`)} {
					p[i] = name + "=" + text
					s[fmt.Sprintf("part %d %s at %s", i, what, sep)] = strings.Join(p, sep)
				}
				p[i] = strings.ToUpper(name) + "=" + value
				s[fmt.Sprintf("part %d NAME at %s", i, sep)] = strings.Join(p, sep)
			}
		}
	}
	return s
}

// strayBits changes the unused bits of the last character of unpadded base64.
func strayBits(v string) string {
	text := strings.TrimRight(v, "=")
	if len(text)%4 == 0 || len(text)%4 == 1 || len(text) < 8 {
		return ""
	}
	for _, alphabet := range []string{"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"} {
		i := strings.IndexByte(alphabet, text[len(text)-1])
		if i < 0 {
			continue
		}
		return text[:len(text)-1] + string(alphabet[i^1]) + v[len(text):]
	}
	return ""
}

// signatureSpellings finds signatures in a value and returns it with other
// signatures of the same content that need no key: ECDSA with n-s, other DER,
// Ed25519 with S plus the order, RSA with a zero in front.
func signatureSpellings(v string) map[string]string {
	found := map[string]string{}
	for _, part := range strings.FieldsFunc(v, func(c rune) bool { return strings.ContainsRune(" ,;:.\"&", c) }) {
		for _, text := range []string{part, strings.TrimPrefix(part, "v1="), strings.TrimPrefix(part, "sha256="), strings.TrimPrefix(part, "signature=")} {
			for name, code := range map[string]struct {
				decode func(string) ([]byte, error)
				encode func([]byte) string
			}{
				"hex": {hex.DecodeString, hex.EncodeToString},
				"std": {base64.StdEncoding.DecodeString, base64.StdEncoding.EncodeToString},
				"raw": {base64.RawURLEncoding.DecodeString, base64.RawURLEncoding.EncodeToString},
				"url": {base64.URLEncoding.DecodeString, base64.URLEncoding.EncodeToString},
			} {
				sig, err := code.decode(text)
				if err != nil || len(sig) < 16 {
					continue
				}
				for what, other := range otherSignatures(sig) {
					found["signature "+name+" "+what] = strings.Replace(v, text, code.encode(other), 1)
				}
			}
		}
	}
	return found
}

func otherSignatures(sig []byte) map[string][]byte {
	found := map[string][]byte{"zero before": append([]byte{0}, sig...), "zero after": append(bytes.Clone(sig), 0), "truncated": sig[:len(sig)-1], "half": sig[:len(sig)/2]}
	var rs struct{ R, S *big.Int }
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		n := curve.Params().N
		if rest, err := asn1.Unmarshal(sig, &rs); err == nil && len(rest) == 0 && rs.S.Cmp(n) < 0 {
			der, _ := asn1.Marshal(struct{ R, S *big.Int }{rs.R, new(big.Int).Sub(n, rs.S)})
			found["n-s "+curve.Params().Name] = der
			der, _ = asn1.Marshal(struct{ R, S *big.Int }{rs.R, new(big.Int).Add(n, rs.S)})
			found["n+s "+curve.Params().Name] = der
			if len(sig) < 127 {
				found["long form"] = append([]byte{sig[0], 0x81}, sig[1:]...)
			}
		}
		size := (n.BitLen() + 7) / 8
		if len(sig) == 2*size {
			s := new(big.Int).SetBytes(sig[size:])
			if s.Cmp(n) < 0 {
				other := bytes.Clone(sig)
				new(big.Int).Sub(n, s).FillBytes(other[size:])
				found["raw n-s "+curve.Params().Name] = other
			}
		}
	}
	if len(sig) == 64 {
		order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
		s := bytes.Clone(sig[32:])
		slices.Reverse(s)
		sum := new(big.Int).Add(new(big.Int).SetBytes(s), order)
		if sum.BitLen() <= 256 {
			other := bytes.Clone(sig)
			sum.FillBytes(other[32:])
			slices.Reverse(other[32:])
			found["S+L"] = other
		}
	}
	return found
}

// addedHeaders adds headers that the request does not have.
func addedHeaders(q conformance.Request) []change {
	var all []change
	have := map[string]bool{}
	for name := range q.Headers {
		have[http.CanonicalHeaderKey(name)] = true
	}
	for name, values := range map[string][]string{
		"Content-Type":     {"application/json", "text/plain", "application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8", "multipart/form-data; boundary=x", "application/cloudevents+json", "application/cloudevents-batch+json", "application/jwt", "application/secevent+jwt", "", "text/xml"},
		"Content-Encoding": {"gzip", "identity", "deflate", "br", "GZIP", "gzip, gzip", ""},
		"Content-Language": {"de"}, "User-Agent": {"x"}, "Accept-Encoding": {"gzip"}, "Date": {"Thu, 01 Jan 1970 00:00:00 GMT"}, "Digest": {"SHA-256=AA=="}, "Authorization": {"Bearer x", "Basic eDp5"},
		"X-Forwarded-Host": {"evil.test"}, "X-Forwarded-Proto": {"http", "https"}, "X-Forwarded-For": {"1.2.3.4"}, "Forwarded": {"host=evil"}, "X-Original-Url": {"/x"}, "X-Http-Method-Override": {"GET"},
		"X-Request-Id": {"forged"}, "X-Delivery-Id": {"forged"}, "Webhook-Id": {"forged"}, "Svix-Id": {"forged"}, "Idempotency-Key": {"forged"}, "Webhook-Timestamp": {"1"}, "X-Timestamp": {"1"}, "Webhook-Signature": {"v1,AAAA"}, "X-Signature": {"00"}, "X-Hub-Signature": {"sha1=00"}, "X-Hub-Signature-256": {"sha256=00"}, "Signature": {"x=:AAAA:"},
		"Ce-Id": {"forged"}, "Ce-Type": {"forged"}, "Ce-Source": {"forged"}, "Ce-Specversion": {"1.0"}, "Ce-Time": {"2020-01-01T00:00:00Z"}, "Transfer-Encoding": {"chunked"}, "Cookie": {"a=b"},
	} {
		for _, v := range values {
			if have[name] && v == "" {
				continue
			}
			all = append(all, change{"header " + name + ": " + v, func(q conformance.Request) conformance.Request { return withHeader(q, name, v) }})
		}
	}
	return all
}

func bodyChanges(q conformance.Request) []change {
	var all []change
	body := func(what string, f func(string) string) {
		if text := f(string(q.Body)); text == string(q.Body) {
			return
		}
		all = append(all, change{"body " + what, func(q conformance.Request) conformance.Request { return withBody(q, f(string(q.Body))) }})
	}
	body("newline after", func(b string) string { return b + "\n" })
	body("CRLF after", func(b string) string { return b + "\r\n" })
	body("space before", func(b string) string { return " " + b })
	body("BOM", func(b string) string { return "\ufeff" + b })
	body("NUL after", func(b string) string { return b + "\x00" })
	body("trimmed", strings.TrimSpace)
	body("emptied", func(string) string { return "" })
	body("CRLF", func(b string) string { return strings.ReplaceAll(b, "\n", "\r\n") })
	body("LF", func(b string) string { return strings.ReplaceAll(b, "\r\n", "\n") })
	body("forged", func(string) string { return forged })
	body("ampersand", func(b string) string { return b + "&" })
	body("ampersand before", func(b string) string { return "&" + b })
	body("empty field", func(b string) string { return b + "&x=" })
	body("semicolon", func(b string) string { return b + ";" })
	body("plus", func(b string) string { return strings.ReplaceAll(b, "%20", "+") })
	body("space", func(b string) string { return strings.ReplaceAll(b, "+", "%20") })
	body("lower escapes", lowerEscapes)
	body("upper escapes", upperEscapes)
	body("escaped", escapeOne)
	body("reversed fields", func(b string) string {
		parts := strings.Split(b, "&")
		slices.Reverse(parts)
		return strings.Join(parts, "&")
	})
	body("fields twice", func(b string) string { return b + "&" + b })
	body("gzip", func(b string) string { return zip(b, gzip.DefaultCompression) })
	for level := gzip.NoCompression; level <= gzip.BestCompression; level += 3 {
		body(fmt.Sprintf("recompressed %d", level), func(b string) string { return rezip(b, level) })
	}
	body("unzipped", func(b string) string { return unzip(b) })
	body("two members", func(b string) string {
		if p := unzip(b); p != b {
			return zip(p[:len(p)/2], 6) + zip(p[len(p)/2:], 6)
		}
		return b
	})
	// JSON.
	var document any
	if json.Unmarshal(q.Body, &document) == nil {
		body("compact", func(b string) string {
			var out bytes.Buffer
			if json.Compact(&out, []byte(b)) != nil {
				return b
			}
			return out.String()
		})
		body("indented", func(b string) string {
			var out bytes.Buffer
			if json.Indent(&out, []byte(b), "", " ") != nil {
				return b
			}
			return out.String()
		})
		body("sorted", func(b string) string {
			var d any
			if json.Unmarshal([]byte(b), &d) != nil {
				return b
			}
			out, err := json.Marshal(d)
			if err != nil {
				return b
			}
			return string(out)
		})
		body("escaped letters", func(b string) string { return jsonEscape(b, false) })
		body("escaped names", func(b string) string { return jsonEscape(b, true) })
		body("escaped slash", func(b string) string { return strings.ReplaceAll(b, "/", `\/`) })
		body("unescaped slash", func(b string) string { return strings.ReplaceAll(b, `\/`, "/") })
		body("member added", func(b string) string { return strings.Replace(b, "{", `{"forged":1,`, 1) })
		body("member added at end", func(b string) string {
			if i := strings.LastIndexByte(b, '}'); i > 0 {
				return b[:i] + `,"forged":1` + b[i:]
			}
			return b
		})
		body("list", func(b string) string { return "[" + b + "]" })
		for _, name := range []string{"id", "timestamp", "event", "type", "attempt", "deliveryAttempt", "webhook_delivery_attempt", "retry"} {
			body("member "+name, func(b string) string { return strings.Replace(b, "{", `{"`+name+`":7,`, 1) })
		}
		for i, n := range numbersIn(string(q.Body)) {
			for what, text := range map[string]string{"e0": n + "e0", ".0": n + ".0", "E+0": n + "E+0", "+1": n + "1"} {
				body(fmt.Sprintf("number %d %s", i, what), func(b string) string { return strings.Replace(b, n, text, 1) })
			}
		}
	}
	if rest, multipart := strings.CutPrefix(string(q.Body), "--"); multipart {
		boundary, _, _ := strings.Cut(rest, "\r\n")
		all = append(all, change{"boundary", func(q conformance.Request) conformance.Request {
			q = withBody(q, strings.ReplaceAll(string(q.Body), boundary, "Other"))
			return withHeader(q, "Content-Type", "multipart/form-data; boundary=Other")
		}})
		body("preamble", func(b string) string { return "preamble\r\n" + b })
		body("epilogue", func(b string) string { return b + "\r\nepilogue" })
	}
	for what, text := range signatureSpellings(string(q.Body)) {
		body(what, func(string) string { return text })
	}
	return all
}

func numbersIn(b string) []string {
	var found []string
	for i := 0; i < len(b) && len(found) < 4; i++ {
		if (b[i] >= '0' && b[i] <= '9') && i > 0 && strings.ContainsRune(":,[ ", rune(b[i-1])) {
			j := i
			for j < len(b) && b[j] >= '0' && b[j] <= '9' {
				j++
			}
			if j < len(b) && strings.ContainsRune(",}] ", rune(b[j])) {
				found = append(found, b[i:j])
			}
			i = j
		}
	}
	return found
}

// jsonEscape escapes the first letter of each string: of names, or of values.
func jsonEscape(b string, names bool) string {
	var out strings.Builder
	for i := 0; i < len(b); i++ {
		out.WriteByte(b[i])
		if b[i] != '"' {
			continue
		}
		j := i + 1
		for j < len(b) && b[j] != '"' {
			if b[j] == '\\' {
				j++
			}
			j++
		}
		if j >= len(b) {
			continue
		}
		rest := strings.TrimLeft(b[j+1:], " \t\r\n")
		text := b[i+1 : j]
		if isName := strings.HasPrefix(rest, ":"); isName == names && text != "" && text[0] != '\\' && text[0] < 0x80 {
			text = fmt.Sprintf(`\u%04x`, text[0]) + text[1:]
		}
		out.WriteString(text + `"`)
		i = j
	}
	return out.String()
}

func zip(b string, level int) string {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, level)
	_, _ = io.WriteString(w, b)
	_ = w.Close()
	return out.String()
}

func unzip(b string) string {
	r, err := gzip.NewReader(strings.NewReader(b))
	if err != nil {
		return b
	}
	p, err := io.ReadAll(r)
	if err != nil {
		return b
	}
	return string(p)
}

func rezip(b string, level int) string {
	if p := unzip(b); p != b {
		return zip(p, level)
	}
	return b
}
